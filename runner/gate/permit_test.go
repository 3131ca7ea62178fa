package gate_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const (
	gatePath    = "tachograph/runner/gate"
	toolsPath   = "tachograph/runner/tools"
	sandboxPath = "tachograph/runner/sandbox"
)

// load type-checks packages of this module, without their tests.
func load(t *testing.T, mode packages.LoadMode, patterns ...string) []*packages.Package {
	t.Helper()
	list, err := packages.Load(&packages.Config{Mode: mode, Dir: "../.."}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// No package but the gate reaches what runs: of the sandbox, the tools' package uses words (a
// command, a result, a tier) and nobody else uses anything; of the tools, nobody uses anything.
func TestNobodyElseReachesSandboxOrTools(t *testing.T) {
	t.Parallel()
	var importers []string
	for _, p := range load(t, packages.NeedName|packages.NeedImports, "./...") {
		_, box := p.Imports[sandboxPath]
		_, tools := p.Imports[toolsPath]
		if (box || tools) && p.PkgPath != gatePath {
			importers = append(importers, p.PkgPath)
		}
	}
	if !slices.Contains(importers, toolsPath) {
		t.Fatalf("the test looks in the wrong place: importers are %q", importers)
	}
	for _, p := range load(t, packages.LoadSyntax, importers...) {
		for _, e := range p.Errors {
			t.Error(e)
		}
		for id, object := range p.TypesInfo.Uses {
			if object.Pkg() == nil || object.Pkg().Path() == p.PkgPath {
				continue
			}
			where := p.Fset.Position(id.Pos())
			switch path := object.Pkg().Path(); {
			case path == toolsPath:
				t.Errorf("%s: %s reaches %s of the tools: every call passes runner/gate", where, p.PkgPath, object.Name())
			case path == sandboxPath && runs(object):
				t.Errorf("%s: %s reaches %s of the sandbox: every call passes runner/gate", where, p.PkgPath, object.Name())
			}
		}
	}
}

// runs says whether an object of the sandbox does something: a function, or a method of Sandbox.
func runs(o types.Object) bool {
	f, ok := o.(*types.Func)
	if !ok {
		return o.Name() == "Sandbox"
	}
	recv := f.Signature().Recv()
	return recv == nil || strings.Contains(recv.Type().String(), ".Sandbox")
}

// The gate gives nobody what runs: none of its exported names leads to a Set, a Sandbox or a Shell.
func TestGateHandsOutNothingThatRuns(t *testing.T) {
	t.Parallel()
	p := load(t, packages.LoadSyntax, gatePath)[0]
	scope := p.Types.Scope()
	seen := map[types.Type]bool{}
	var look func(where string, typ types.Type)
	look = func(where string, typ types.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch u := typ.(type) {
		case *types.Named:
			if pkg := u.Obj().Pkg(); pkg != nil {
				name := pkg.Path() + "." + u.Obj().Name()
				if name == toolsPath+".Set" || name == toolsPath+".Shell" || name == sandboxPath+".Sandbox" {
					t.Errorf("%s leads to %s", where, name)
				}
				if pkg.Path() != gatePath {
					return
				}
			}
			for m := range u.Methods() {
				if m.Exported() {
					look(where+"."+m.Name(), m.Type())
				}
			}
			look(where, u.Underlying())
		case *types.Pointer:
			look(where, u.Elem())
		case *types.Slice:
			look(where, u.Elem())
		case *types.Map:
			look(where, u.Elem())
		case *types.Signature:
			for v := range u.Results().Variables() {
				look(where, v.Type())
			}
		case *types.Struct:
			for f := range u.Fields() {
				if f.Exported() {
					look(where+"."+f.Name(), f.Type())
				}
			}
		}
	}
	for _, name := range scope.Names() {
		if o := scope.Lookup(name); o.Exported() {
			look(name, o.Type())
		}
	}
}

// There is one constructor of a runnable call, and it takes an allowance; a tool runs in one
// function, and that takes a permit.
func TestOnePermit(t *testing.T) {
	t.Parallel()
	p := load(t, packages.LoadSyntax, gatePath)[0]
	for _, e := range p.Errors {
		t.Error(e)
	}
	permit := p.Types.Scope().Lookup("permit").Type()
	made, ran := map[string]bool{}, map[string]bool{}
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			name := "(package level)"
			if f, ok := d.(*ast.FuncDecl); ok {
				name = f.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if types.Identical(p.TypesInfo.TypeOf(n), permit) {
						made[name] = true
					}
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && types.Identical(p.TypesInfo.TypeOf(n.Args[0]), permit) {
						made[name] = true
					}
				case *ast.ValueSpec:
					if n.Type != nil && types.Identical(p.TypesInfo.TypeOf(n.Type), permit) {
						made[name] = true
					}
				case *ast.SelectorExpr:
					if f, ok := p.TypesInfo.Uses[n.Sel].(*types.Func); ok && f.Name() == "Run" && f.Pkg() != nil && f.Pkg().Path() == toolsPath {
						ran[name] = true
					}
				}
				return true
			})
		}
	}
	if len(made) != 1 || !made["permit"] {
		t.Errorf("permits are made in %v", made)
	}
	if len(ran) != 1 || !ran["run"] {
		t.Errorf("tools are run in %v", ran)
	}
	takes(t, p, "permit", "allowance")
	takes(t, p, "run", "permit")
	if token.IsExported(permit.(*types.Named).Obj().Name()) {
		t.Error("permit is exported")
	}
}

// takes checks that the method of call has a parameter of that type.
func takes(t *testing.T, p *packages.Package, method, want string) {
	t.Helper()
	object, _, _ := types.LookupFieldOrMethod(types.NewPointer(p.Types.Scope().Lookup("call").Type()), true, p.Types, method)
	for v := range object.Type().(*types.Signature).Params().Variables() {
		if strings.HasSuffix(v.Type().String(), "."+want) {
			return
		}
	}
	t.Errorf("%s takes no %s: %s", method, want, object.Type())
}
