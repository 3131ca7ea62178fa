package spans_test
import ("testing";"math/rand/v2";"tachograph/schemas/journal"; sdktrace "go.opentelemetry.io/otel/sdk/trace")
func TestAdhoc(t *testing.T){
 dir:=t.TempDir()
 for i:=range 6000 {
  r:=rand.New(rand.NewPCG(uint64(i),7))
  ref := journal.Salt{}.Name([]byte("x"))
  s := &tape{id: journal.RunID{1, 2, byte(i), byte(i>>8), 5, 6, 0x70, 8, 0x80, 10}, content: map[journal.Ref][]byte{ref: []byte(`{"role":"user","content":"x"}`)}}
  s.add("/", senseless(0,0,0,ref))
  for range r.IntN(80) {
    agent := []string{"/", "/1", "/1/1", "/2"}[r.IntN(4)]
    k:=r.IntN(32); if k==1 {k=3}
    s.add(agent, senseless(k, int64(len(s.lines)), int64(r.IntN(6)), ref))
  }
  s.add("/", &journal.RunEnded{Outcome:"done"})
  got := &census{spans: map[string]sdktrace.ReadOnlySpan{}}
  got.send(t, dir, s)
  if len(got.doubled)>0 { t.Fatal(i, got.doubled) }
  for _, made := range got.spans { if p := made.Parent().SpanID(); p.IsValid() && got.spans[p.String()] == nil { t.Fatal(i, made.Name()) } }
 }
}
