package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// assets is the page: all its files in memory, each with its hash as ETag and, where that helps,
// compressed once.
type assets struct {
	files map[string]asset
}

type asset struct {
	kind       string
	body       []byte
	compressed []byte // nil: not worth it
	etag       string
}

// index is served for every path of the page: the page itself finds out what it shows.
const index = "index.html"

// kinds are the types of what a page consists of; nothing else is served.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".json": "application/json",
	".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8", ".map": "application/json",
}

func newAssets(from fs.FS) (*assets, error) {
	a := &assets{files: map[string]asset{}}
	if from == nil {
		return a, nil
	}
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		kind, ok := kinds[path.Ext(name)]
		if !ok {
			return nil
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		a.files[name], err = newAsset(kind, body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the page's files: %w", err)
	}
	return a, nil
}

func newAsset(kind string, body []byte) (asset, error) {
	sum := sha256.Sum256(body)
	made := asset{kind: kind, body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if out.Len() < len(body)*9/10 {
		made.compressed = out.Bytes()
	}
	return made, err
}

// serve answers with a file of the page, or with the page itself for an address that it shows.
func (a *assets) serve(c echo.Context) error {
	name := strings.TrimPrefix(path.Clean("/"+c.Request().URL.Path), "/")
	file, ok := a.files[name]
	if !ok && path.Ext(name) == "" && !isProgram(name) {
		file, ok = a.files[index]
		if !ok {
			return c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte("Tachograph answers here, but this build has no page: web/ui/dist is empty.\nThe interface for programs is described at /api/openapi.yaml.\n"))
		}
	}
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-cache") // kept, but asked for each time: names do not change with content
	h.Set("ETag", file.etag)
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(c.Request().Header.Get("If-None-Match"), file.etag) {
		return c.NoContent(http.StatusNotModified)
	}
	body := file.body
	if file.compressed != nil && accepts(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.compressed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return c.Blob(http.StatusOK, file.kind, body)
}

// isProgram says whether a path belongs to the interface for programs, where a page is no answer.
func isProgram(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == "api" || first == "v1" || first == "owner"
}

func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && name == coding && params["q"] != "0" {
			return true
		}
	}
	return false
}
