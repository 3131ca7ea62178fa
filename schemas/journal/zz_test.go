package journal_test
import ("testing";"syscall";"time";"tachograph/schemas/journal")
func cpu() time.Duration { var r syscall.Rusage; syscall.Getrusage(0,&r); return time.Duration(r.Utime.Nano()+r.Stime.Nano()) }
func TestCPU(t *testing.T){
 var b testing.B
 _ = b
 r := newRecorder(t, runID(1), nil); r.add("/", start(r.run)); for i:=0; len(r.lines)<4096; i++ { r.longTurn(i) }
 var bodies int
 for round:=0; round<3; round++ {
 c:=cpu(); n:=0
 for range 10 { s:=journal.Start(nil); for _,l:=range r.lines { s.Apply(l); n++ } }
 t.Log("apply", (cpu()-c)/time.Duration(n))
 c=cpu(); n=0
 for range 10 { for _,l:=range r.lines { journal.Decode(l); n++ } }
 t.Log("decode", (cpu()-c)/time.Duration(n))
 c=cpu(); n=0
 for range 10 { for _,l:=range r.lines { e,_:=journal.Decode(l); journal.DecodeBody(e.Kind,e.Body); n++ } }
 t.Log("decode+body", (cpu()-c)/time.Duration(n))
 store:=chunks{}; rec,_:=store.save(r.state)
 c=cpu(); n=0
 for range 200 { store.load(t,rec); n++ }
 t.Log("load", (cpu()-c)/time.Duration(n), bodies)
 }
}
