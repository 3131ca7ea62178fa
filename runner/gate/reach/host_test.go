package reach_test

import (
	"testing"

	"tachograph/runner/gate/reach"
)

func TestReadHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, name, port, kind string }{
		{"example.com", "example.com", "", reach.Public},
		{"EXAMPLE.Com.", "example.com", "", reach.Public},
		{"https://Example.com:8443/a?b#c", "example.com", "8443", reach.Public},
		{"http://user:pw@example.com/", "example.com", "", reach.Public},
		{"http://good.com@evil.example/", "evil.example", "", reach.Public},
		{"http://good.com#@evil.example/", "good.com", "", reach.Public},
		{`http://evil.example\@good.com/`, "evil.example", "", reach.Public},
		{"http://evil.example?@good.com/", "evil.example", "", reach.Public},
		{"//example.com/x", "example.com", "", reach.Public},
		{"git@github.com", "github.com", "", reach.Public},
		{"http://%65xample.com", "example.com", "", reach.Public},
		{"http://bücher.example", "xn--bcher-kva.example", "", reach.Public},
		{"http://ｅxample。com", "example.com", "", reach.Public},
		{"http://_dmarc.example.com", "_dmarc.example.com", "", reach.Public},
		{"127.0.0.1:80", "127.0.0.1", "80", reach.Loopback},
		{"http://127.1/", "127.0.0.1", "", reach.Loopback},
		{"http://2130706433/", "127.0.0.1", "", reach.Loopback},
		{"http://0x7f000001/", "127.0.0.1", "", reach.Loopback},
		{"http://0177.0.0.1/", "127.0.0.1", "", reach.Loopback},
		{"http://0x7f.1/", "127.0.0.1", "", reach.Loopback},
		{"http://①②⑦.0.0.1/", "127.0.0.1", "", reach.Loopback},
		{"http://0/", "0.0.0.0", "", reach.Loopback},
		{"http://[::1]:9/", "::1", "9", reach.Loopback},
		{"http://[::ffff:127.0.0.1]/", "127.0.0.1", "", reach.Loopback},
		{"http://[::ffff:7f00:1]/", "127.0.0.1", "", reach.Loopback},
		{"http://[64:ff9b::a9fe:a9fe]/", "169.254.169.254", "", reach.Metadata},
		{"http://[fe80::1%25eth0]/", "fe80::1", "", reach.Private},
		{"LOCALHOST", "localhost", "", reach.Loopback},
		{"a.localhost.", "a.localhost", "", reach.Loopback},
		{"10.1.2.3", "10.1.2.3", "", reach.Private},
		{"192.168.257", "192.168.1.1", "", reach.Private},
		{"[fd00::1]", "fd00::1", "", reach.Private},
		{"intranet", "intranet", "", reach.Private},
		{"db.internal", "db.internal", "", reach.Private},
		{"169.254.169.254", "169.254.169.254", "", reach.Metadata},
		{"http://0xa9fea9fe/", "169.254.169.254", "", reach.Metadata},
		{"http://0251.0376.0251.0376", "169.254.169.254", "", reach.Metadata},
		{"http://metadata.google.internal/", "metadata.google.internal", "", reach.Metadata},
		{"[fd00:ec2::254]", "fd00:ec2::254", "", reach.Metadata},
		{"1.2.3.4.5", "1.2.3.4.5", "", reach.Public},
	} {
		got, err := reach.ReadHost(c.in)
		if err != nil || got != (reach.Host{Name: c.name, Port: c.port, Kind: c.kind}) {
			t.Errorf("ReadHost(%q) = %+v, %v; want %s %s %s", c.in, got, err, c.name, c.port, c.kind)
		}
	}
	for _, in := range []string{"", "http://", "exa mple.com", "[::1", "[::1]x", "a:b:c", "example.com:99999", "example.com:http",
		"%zz", "%", "..", "a\x00b"} {
		if got, err := reach.ReadHost(in); err == nil {
			t.Errorf("ReadHost(%q) = %+v, want an error", in, got)
		}
	}
}

func FuzzReadHost(f *testing.F) {
	for _, s := range []string{"example.com", "http://a:b@c:1/", "[::1]:2", "0x7f.1", "bücher.de", "%65", "::ffff:1.2.3.4", "[64:ff9b::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := reach.ReadHost(s)
		if err != nil {
			return
		}
		again, err := reach.ReadHost(h.Name)
		if err != nil || again.Name != h.Name || again.Kind != h.Kind {
			t.Errorf("ReadHost(%q) = %+v, and of its name %+v, %v: not one spelling", s, h, again, err)
		}
	})
}

// FuzzShell holds the reader's bounds and that it is a pure function of its input.
func FuzzShell(f *testing.F) {
	for _, a := range attacks {
		f.Add(a.command, "")
	}
	f.Add("cd x && rm -rf $PWD", "sub")
	f.Add("(0)&0\xff", "") // the parser calls on after it gave an error
	tree := reach.Tree{Mount: "/home/user/project", Home: "/home/agent"}
	f.Fuzz(func(t *testing.T, command, dir string) {
		r := tree.Reach(reach.Claim{Command: command, Dir: dir})
		if len(r.Read) > 512 || len(r.Written) > 512 || len(r.Deleted) > 512 || len(r.Hosts) > 64 || len(r.Programs) > 128 {
			t.Error("more is listed than the bounds allow")
		}
		if again := tree.Reach(reach.Claim{Command: command, Dir: dir}); !equal(r, again) {
			t.Errorf("read twice, %q gives %+v and %+v", command, r, again)
		}
	})
}
