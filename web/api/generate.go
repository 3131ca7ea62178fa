package api

// The contract is openapi.yaml: edit it, then run go generate. A test compares the digest that
// openapi.gen.sha256 holds with that of the yaml, so that neither can be changed alone.
//
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi.yaml openapi.yaml
//go:generate sh -c "cat openapi.yaml oapi.yaml openapi.gen.go | sha256sum | cut -d' ' -f1 > openapi.gen.sha256"
