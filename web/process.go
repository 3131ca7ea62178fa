package web

import (
	"bytes"
	"context"

	"tachograph/schemas/access"
	"tachograph/web/api"
)

// About says what answers here.
func (s *Server) About(ctx context.Context, _ api.AboutRequestObject) (api.AboutResponseObject, error) {
	return api.About200JSONResponse(s.about(access.From(ctx))), nil
}

func (s *Server) about(caller access.Caller) api.About {
	a := api.About{Version: s.Version, Project: s.Project, Foreign: s.Traces != nil, Runs: caller.May(access.Steer), Person: &s.Person}
	if caller.Name != "" {
		a.Person, a.Role = &caller.Name, ptr(api.AboutRole(caller.Role))
	}
	return a
}

// SignIn has the browser keep a token that may look: with any other, it would show nothing.
func (s *Server) SignIn(_ context.Context, request api.SignInRequestObject) (api.SignInResponseObject, error) {
	if s.Gate == nil {
		return api.SignIn200JSONResponse{Body: s.about(access.Caller{Role: access.Admin})}, nil
	}
	caller, err := s.Gate.Whose(request.Body.Token, access.Look)
	if err != nil {
		return nil, notAllowed(err)
	}
	return api.SignIn200JSONResponse{Body: s.about(caller), Headers: api.SignIn200ResponseHeaders{SetCookie: ptr(access.SignIn(request.Body.Token).String())}}, nil
}

// SignOut has the browser forget it.
func (s *Server) SignOut(context.Context, api.SignOutRequestObject) (api.SignOutResponseObject, error) {
	return api.SignOut200JSONResponse{Body: api.Nothing{}, Headers: api.SignOut200ResponseHeaders{SetCookie: ptr(access.SignIn("").String())}}, nil
}

// OpenAPI answers with the contract.
func (s *Server) OpenAPI(context.Context, api.OpenAPIRequestObject) (api.OpenAPIResponseObject, error) {
	return api.OpenAPI200ApplicationyamlResponse{Body: bytes.NewReader(api.Document), ContentLength: int64(len(api.Document))}, nil
}

// Health says that the process answers.
func (s *Server) Health(context.Context, api.HealthRequestObject) (api.HealthResponseObject, error) {
	return api.Health200JSONResponse{Ok: true, Parts: []api.HealthPart{}}, nil
}

// Ready asks every part.
func (s *Server) Ready(ctx context.Context, _ api.ReadyRequestObject) (api.ReadyResponseObject, error) {
	health := api.Health{Ok: true, Parts: []api.HealthPart{}}
	for _, p := range s.Parts {
		told := api.HealthPart{Name: p.Name, Ok: true}
		if err := p.Check(ctx); err != nil {
			told.Ok = false
			if access.From(ctx).May(access.Look) { // it may name files and addresses
				told.Detail = ptr(err.Error())
			}
		}
		health.Ok = health.Ok && told.Ok
		health.Parts = append(health.Parts, told)
	}
	if !health.Ok {
		return api.Ready503JSONResponse(health), nil
	}
	return api.Ready200JSONResponse(health), nil
}
