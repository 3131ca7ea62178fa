//go:build linux

package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tachograph/web/browser/chrome"
)

var themes = map[string]bool{"light": false, "dark": true}

// TestScreenshots takes pictures of every view, for people to look at:
//
//	TACHO_SCREENSHOTS=DIR go test -count=1 -run TestScreenshots ./web/browser
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("TACHO_SCREENSHOTS")
	if dir == "" {
		t.Skip("set TACHO_SCREENSHOTS=DIR to take pictures of every view")
	}
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs", desk)
	views := append(s.views(), view{name: "hostile", path: "/runs/" + s.hostile}, view{name: "span", path: "/runs/" + s.failed + "/timeline?failed=1"},
		view{name: "empty", path: "/runs?q=nothing+matches"}, view{name: "unknown", path: "/runs/00000000-0000-0000-0000-000000000000"})
	for _, v := range views {
		for theme, dark := range themes {
			for _, width := range []int{1280, 2560} {
				must(t, p.Look(chrome.Look{Width: width, Height: width * 10 / 16, Dark: dark, Calm: true}))
				must(t, p.Navigate(s.HTTP+v.path))
				must(t, p.Settle())
				save(t, p, filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", v.name, width, theme)))
			}
		}
	}
}

// TestPictures makes the pictures of the README again:
//
//	TACHO_PICTURES=. go test -count=1 -run TestPictures ./web/browser
func TestPictures(t *testing.T) {
	if os.Getenv("TACHO_PICTURES") == "" {
		t.Skip("set TACHO_PICTURES=. to make the README's pictures again")
	}
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs", desk)
	for _, picture := range []struct {
		name, path string
		height     int
	}{
		{"transcript", fmt.Sprintf("/runs/%s/transcript?seq=%d", s.failed, s.mistake), 750},
		{"compare", "/runs/" + s.fork + "/compare", 1120},
	} {
		for theme, dark := range themes {
			must(t, p.Look(chrome.Look{Width: 1200, Height: picture.height, Dark: dark, Calm: true}))
			must(t, p.Navigate(s.HTTP+picture.path))
			must(t, p.Settle())
			save(t, p, filepath.Join("pictures", picture.name+"-"+theme+".png"))
		}
	}
}

func save(t *testing.T, p *chrome.Page, file string) {
	t.Helper()
	shot, err := p.Screenshot()
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	small, err := paletted(shot)
	must(t, err)
	must(t, os.WriteFile(file, small, 0o644))
}

// paletted stores a picture in 256 colours: pages have few, and the file is a third. They are those it has
// most of, without those that are all but one of them: else shades of grey at the edges of letters crowd
// out the red of a small dot.
func paletted(shot []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	counts := map[color.RGBA]int{}
	box := from.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var palette color.Palette
	for _, c := range colours {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(chosen color.Color) bool { return alike(c, chosen.(color.RGBA)) }) {
			palette = append(palette, c)
		}
	}
	index := map[color.RGBA]uint8{}
	to := image.NewPaletted(box, palette)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

func alike(a, b color.RGBA) bool {
	near := func(x, y uint8) bool { return max(x, y)-min(x, y) <= 6 }
	return near(a.R, b.R) && near(a.G, b.G) && near(a.B, b.B)
}
