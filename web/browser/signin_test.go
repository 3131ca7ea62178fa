//go:build linux

package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tachograph/schemas/access/accesstest"
	"tachograph/web/browser/chrome"
)

// TestSignIn: a server that other machines reach asks a browser for its token once, keeps it from scripts, and lets go of it.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	other := &stage{program: s.program, dir: t.TempDir(), model: newModel(), done: make(chan error, 1)}
	t.Cleanup(func() { must(t, other.close()) })
	files := accesstest.Certificate(t, t.TempDir(), "127.0.0.1")
	must(t, other.up("0.0.0.0:0", "--tls-cert", files.Cert, "--tls-key", files.Key))
	token, err := exec.Command(s.program, "token", "add", "ada", "--data", filepath.Join(other.dir, "data")).Output()
	must(t, err)

	p := open(t, s, "about:blank", "", desk)
	must(t, p.Trust(true))
	t.Cleanup(func() { must(t, p.Trust(false)) })
	must(t, p.Navigate(other.HTTP+"/runs?q=month"))
	must(t, p.Wait(shows(".signin h1", "Who asks?")))
	for theme, dark := range themes {
		must(t, p.Look(chrome.Look{Width: desk.Width, Height: desk.Height, Dark: dark}))
		var found []string
		must(t, p.Eval(contrast, &found))
		for _, f := range found {
			t.Errorf("%s: contrast %s", theme, f)
		}
		if dir := os.Getenv("TACHO_SCREENSHOTS"); dir != "" {
			save(t, p, filepath.Join(dir, "signin-"+theme+".png"))
		}
	}
	must(t, p.Type("tacho_wrong")) // the field has the focus
	must(t, p.Press("Enter"))
	must(t, p.Wait(shows(".signin .notice", "this one is unknown")))
	must(t, p.Eval(`document.querySelector(".signin input").select()`, nil))
	must(t, p.Type(strings.TrimSpace(string(token))))
	must(t, p.Press("Enter"))
	must(t, p.Wait(shows(".topbar", "ada · viewer")))
	must(t, p.Wait(shows(".empty", "No run matches"))) // what was asked for
	must(t, p.Wait(shows(".following", "live")))
	var scripts string
	must(t, p.Eval("document.cookie + JSON.stringify(localStorage)", &scripts))
	if strings.Contains(scripts, "tacho_") {
		t.Errorf("scripts can read the token: %s", scripts)
	}
	p.Forget() // the console says of each 401 that there was one
	must(t, p.Reload())
	must(t, p.Wait(shows(".topbar", "ada · viewer")))
	clean(t, p)
	must(t, p.Click(button("button", "Sign out")))
	must(t, p.Wait(shows(".signin h1", "Who asks?")))
	p.Forget()
}
