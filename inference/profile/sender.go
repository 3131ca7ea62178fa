package profile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Bounds of one upload.
const (
	uploadTime = 30 * time.Second
	maxAnswer  = 64 << 10 // bytes of the server's answer that are read
)

// sender sends requests as long as it may, and logs when they begin to fail and when that is over. It
// is used by one goroutine at a time, but for stop.
type sender struct {
	http    *http.Client
	ctx     context.Context
	stop    context.CancelFunc // ends the request under way, and all to come
	log     *slog.Logger
	failing bool
}

func newSender(log *slog.Logger) *sender {
	s := &sender{log: log, http: &http.Client{
		// A transport of its own, so that close can end its connections.
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       uploadTime,
	}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *sender) close() {
	s.stop()
	s.http.CloseIdleConnections()
}

// Do sends a request, without a context of its own.
func (s *sender) Do(r *http.Request) (*http.Response, error) {
	resp, err := s.http.Do(r.WithContext(s.ctx))
	if err != nil {
		s.note(err)
		return nil, err
	}
	resp.Body = &bounded{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	if resp.StatusCode != http.StatusOK {
		s.note(fmt.Errorf("status %d", resp.StatusCode))
		return resp, nil
	}
	s.note(nil)
	return resp, nil
}

// note logs a change. A server that is away for a day is one warning, not one every 15 seconds.
func (s *sender) note(err error) {
	switch {
	case err != nil && !s.failing && !errors.Is(err, context.Canceled):
		s.failing = true
		s.log.Warn("CPU profiles cannot be sent to Pyroscope; those of this time are lost", "error", err)
	case err == nil && s.failing:
		s.failing = false
		s.log.Info("CPU profiles are sent to Pyroscope again")
	}
}

// bounded is a body of which not more than some bytes are read.
type bounded struct {
	io.Reader
	io.Closer
}

// logger is what pyroscope-go logs to. What it says about uploads, sender has said.
type logger struct{ log *slog.Logger }

func (l logger) Debugf(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }

func (l logger) Errorf(format string, args ...any) {
	if strings.HasPrefix(format, "upload profile") {
		l.log.Debug(fmt.Sprintf(format, args...))
		return
	}
	l.log.Warn("profile this process: " + fmt.Sprintf(format, args...))
}
