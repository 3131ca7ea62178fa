package owner

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"tachograph/runner"
	"tachograph/schemas/journal"
)

// operator answers the requests that steer.
type operator struct{ to Operator }

// The bodies of requests and answers.
type (
	started struct {
		RunID journal.RunID `json:"run_id"`
	}
	forkRequest struct {
		Seq    int64         `json:"seq"`
		Change runner.Change `json:"change"`
	}
	steerRequest struct {
		By  string `json:"by"`
		Now bool   `json:"now,omitempty"`
	}
	shipped struct {
		Shipped int64 `json:"shipped"`
		Total   int64 `json:"total"`
	}
	approvalRequest struct {
		By       string `json:"by"`
		Decision string `json:"decision"`
		Reason   string `json:"reason,omitempty"`
	}
)

func (o operator) start(c echo.Context) error {
	var spec runner.Spec
	if err := c.Bind(&spec); err != nil {
		return err
	}
	if err := spec.Validate(); err != nil {
		return err
	}
	run, err := o.to.Start(c.Request().Context(), spec)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, started{run})
}

func (o operator) fork(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	var request forkRequest
	if err := c.Bind(&request); err != nil {
		return err
	}
	fork, err := o.to.Fork(c.Request().Context(), run, request.Seq, request.Change)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, started{fork})
}

func (o operator) steer(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	var request steerRequest
	if err := c.Bind(&request); err != nil {
		return err
	}
	ctx := c.Request().Context()
	switch verb := c.Param("verb"); verb {
	case "pause":
		err = o.to.Pause(ctx, run, request.By)
	case "resume":
		err = o.to.Resume(ctx, run, request.By)
	case "stop":
		err = o.to.Stop(ctx, run, request.By, request.Now)
	default:
		return echo.NewHTTPError(http.StatusNotFound, fmt.Sprintf("%.40q is none of pause, resume, stop", verb))
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (o operator) approval(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	call, err := strconv.ParseInt(c.Param("call"), 10, 64)
	if err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("call %.40q is not a number", c.Param("call")))
	}
	var request approvalRequest
	if err := c.Bind(&request); err != nil {
		return err
	}
	ctx := c.Request().Context()
	switch request.Decision {
	case "approve":
		err = o.to.Approve(ctx, run, call, request.By, request.Reason)
	case "deny":
		err = o.to.Deny(ctx, run, call, request.By, request.Reason)
	default:
		return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("decision %.40q is none of approve, deny", request.Decision))
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (o operator) remove(c echo.Context) error {
	family, err := runParam(c)
	if err != nil {
		return err
	}
	if err := o.to.Remove(c.Request().Context(), family); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (o operator) ship(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	at, of, err := o.to.Ship(c.Request().Context(), run)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shipped{at, of})
}
