package embed_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"tachograph/inference/embed"
)

var update = flag.Bool("update", false, "rewrite the golden file")

const goldenFile = "testdata/hashed-ngrams-1.golden"

// goldenTexts are one of each kind of script and oddity.
var goldenTexts = []string{
	"Fix the failing login test.",
	"fix the failing LOGIN test",
	"a",
	"to to to to be or not to be to be",
	"Größe prüfen, ÄÖÜ ß; naïve café",
	"検索インデックスを再構築する",
	"重构支付模块并运行测试",
	"Исправить ошибку входа",
	"أصلح اختبار تسجيل الدخول",
	"ﬁne ｆｕｌｌｗｉｄｔｈ ① ½ x²",
	"rename_user_table -> users; SELECT * FROM t WHERE id=42",
	"🙂 fire 🔥 2026-11-25T22:30:00Z\x00\xff\xfe end",
	strings.Repeat("The quick brown fox jumps over the lazy dog. ", 200),
}

// TestGolden holds the bits of vectors, which must be those of every machine and every release.
func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		writeGolden(t)
	}
	f, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		bits, quoted, _ := strings.Cut(lines.Text(), " ")
		text, err := strconv.Unquote(quoted)
		if err != nil || n >= len(goldenTexts) || text != goldenTexts[n] {
			t.Fatalf("line %d: text %.60q, %v", n+1, text, err)
		}
		if got := hexOf(embed.Vector(text)); got != bits {
			t.Errorf("%.60q has another vector than when the algorithm was named %s", text, embed.Name)
		}
	}
	if err := lines.Err(); err != nil || n != len(goldenTexts) {
		t.Errorf("%d lines, want %d: %v", n, len(goldenTexts), err)
	}
}

func writeGolden(t *testing.T) {
	var b strings.Builder
	for _, text := range goldenTexts {
		fmt.Fprintf(&b, "%s %+q\n", hexOf(embed.Vector(text)), text)
	}
	if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hexOf writes a vector as hexadecimal digits of big-endian IEEE 754.
func hexOf(vector []float32) string {
	var b []byte
	for _, x := range vector {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(x))
	}
	return hex.EncodeToString(b)
}

func cosine(a, b []float32) float64 {
	var dot float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
	}
	return dot
}

// TestNearer: of two texts, the one that says nearly the same is nearer.
func TestNearer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, near, far string }{
		{"Fix the failing login test", "Repair the login tests that fail", "Deploy the website to production"},
		{"Read the configuration file", "Reading config files", "Delete the old database backups"},
		{"Run the unit tests of the parser", "Run parser tests", "Run the web server on port 8080"},
		{"Install dependencies with npm", "npm install the missing dependency", "Install a new carpet in the office"},
		{"Add retries to the HTTP client", "Make the http client retry", "Add colours to the terminal output"},
		{"Search for usages of parseSpec", "Find where parseSpec is used", "Write a summary of the meeting"},
		{"Refactor the payment module", "payment module refactoring", "Check the weather in Berlin"},
		{"Datenbankverbindung prüfen", "Prüfe die Datenbankverbindungen", "Bericht an den Kunden schicken"},
		{"重构支付模块", "支付模块的重构", "查询北京天气"},
		{"検索インデックスを再構築", "インデックスの再構築", "天気を調べる"},
		{"Исправить тест входа", "исправляем тесты входа", "Удалить старые резервные копии"},
	} {
		text := embed.Vector(tc.text)
		near, far := cosine(text, embed.Vector(tc.near)), cosine(text, embed.Vector(tc.far))
		t.Logf("%.3f %.3f  %s | %s | %s", near, far, tc.text, tc.near, tc.far)
		if near < far+0.1 {
			t.Errorf("%q: %q has cosine %.3f, %q %.3f", tc.text, tc.near, near, tc.far, far)
		}
	}
}

// TestSameWriting: what differs only in how it is written down has one vector.
func TestSameWriting(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"Café déjà vu":    "CAFE\u0301  DE\u0301JA\u0300\tVU!", // composed or not
		"file full-width": "ﬁle ｆｕｌｌ－ｗｉｄｔｈ",                    // compatibility forms
		"a, b; c":         "a b\nc",
		"x\xff y":         "x y",
	} {
		if hexOf(embed.Vector(a)) != hexOf(embed.Vector(b)) {
			t.Errorf("%q and %q have different vectors", a, b)
		}
	}
	for a, b := range map[string]string{"ab c": "abc", "dog bites man": "man bites dog", "a a": "a", "x": "y"} {
		if hexOf(embed.Vector(a)) == hexOf(embed.Vector(b)) {
			t.Errorf("%q and %q have the same vector", a, b)
		}
	}
}

func TestEmbed(t *testing.T) {
	t.Parallel()
	var e embed.Hashed
	texts := append([]string{"", " \n", "🙂 — !", "\xff"}, goldenTexts...)
	vectors, err := e.Embed(t.Context(), texts)
	if err != nil || len(vectors) != len(texts) || e.Dimensions() != 256 || e.Name() != "hashed-ngrams-1" {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for i, v := range vectors {
		if i < 4 {
			if v != nil {
				t.Errorf("%q has a direction", texts[i])
			}
			continue
		}
		if length := math.Sqrt(cosine(v, v)); len(v) != embed.Dimensions || math.Abs(length-1) > 1e-6 {
			t.Errorf("%.60q: %d dimensions, length %v", texts[i], len(v), length)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Embed(ended, texts); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// FuzzVector: whatever comes, a vector has length 1 or there is none, and white space around and
// after it changes nothing.
func FuzzVector(f *testing.F) {
	for _, text := range goldenTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := embed.Vector(text)
		if v != nil && math.Abs(cosine(v, v)-1) > 1e-6 {
			t.Errorf("length² %v", cosine(v, v))
		}
		if hexOf(v) != hexOf(embed.Vector(" \n"+text+" .")) {
			t.Error("white space around it changes the vector")
		}
	})
}

// BenchmarkVector embeds an intent as agents write them, and 4 KiB of prose.
func BenchmarkVector(b *testing.B) {
	for name, text := range map[string]string{
		"intent": "Read the failing test and the function it calls, to see why the login is refused.",
		"4KiB":   strings.Repeat("Read the failing test and the function it calls, to see why the login is refused. ", 50)[:4096],
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				embed.Vector(text)
			}
		})
	}
}
