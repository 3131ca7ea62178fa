package web

import (
	"bytes"
	"context"

	"tachograph/web/api"
)

// About says what answers here.
func (s *Server) About(context.Context, api.AboutRequestObject) (api.AboutResponseObject, error) {
	return api.About200JSONResponse{Version: s.Version, Project: s.Project, Foreign: s.Traces != nil, Runs: true, Person: &s.Person}, nil
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
			told.Ok, told.Detail = false, ptr(err.Error())
		}
		health.Ok = health.Ok && told.Ok
		health.Parts = append(health.Parts, told)
	}
	if !health.Ok {
		return api.Ready503JSONResponse(health), nil
	}
	return api.Ready200JSONResponse(health), nil
}
