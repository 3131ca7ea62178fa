package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mostScript is what a browser loads before it shows anything, compressed.
const mostScript = 250_000

// notSources are files of this folder that dist/ does not depend on.
var notSources = regexp.MustCompile(`\.test\.tsx?$`)

// TestBuiltFromTheseSources holds dist/ to the sources beside it.
func TestBuiltFromTheseSources(t *testing.T) {
	t.Parallel()
	listing := built(t, "sources.sha256")
	listed := map[string]bool{}
	for line := range strings.Lines(string(listing)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			t.Fatalf("dist/sources.sha256 has the line %q", line)
		}
		listed[name] = true
		source, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Errorf("%v: dist/ was built of it; run `npm ci && npm run build` in web/ui", err)
			continue
		}
		if got := sha256.Sum256(source); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s changed since dist/ was built: run `npm ci && npm run build` in web/ui", name)
		}
	}
	for _, folder := range []string{"src", "public"} {
		err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !notSources.MatchString(name) && !listed[filepath.ToSlash(name)] {
				t.Errorf("%s is not in dist/: run `npm ci && npm run build` in web/ui", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPolicyHolds: nothing in the page needs more than the strict policy that it is served with.
func TestPolicyHolds(t *testing.T) {
	t.Parallel()
	page := string(built(t, "index.html"))
	for what, pattern := range map[string]string{
		"an inline script": `<script[^>]*>\s*[^<\s]`, "an inline style": `<style|\sstyle=`, "a handler in markup": `\son[a-z]+=`,
		"something from another place": `(src|href)="(https?:)?//`,
	} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("index.html has %s, which the policy forbids: %q", what, found)
		}
	}
	for _, asset := range regexp.MustCompile(`(?:src|href)="/([^"]+)"`).FindAllStringSubmatch(page, -1) {
		built(t, asset[1])
	}
	if script := built(t, "assets/app.js"); bytes.Contains(script, []byte("eval(")) || bytes.Contains(script, []byte("new Function(")) {
		t.Error("the script makes code of text, which the policy forbids")
	}
}

// TestFirstLoadIsSmall bounds what a browser has to load before it shows anything.
func TestFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".js") {
			size += compressed(t, built(t, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 || size > mostScript {
		t.Errorf("all scripts have %d bytes compressed, want 1 to %d", size, mostScript)
	}
}

func built(t *testing.T, name string) []byte {
	t.Helper()
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	b, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compressed(t *testing.T, b []byte) int {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}
