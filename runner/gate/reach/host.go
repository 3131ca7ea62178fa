package reach

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Kinds of host, by how far a connection to it goes.
const (
	Public   = "public"
	Private  = "private"  // RFC 1918, RFC 4193, link-local: the operator's own network
	Loopback = "loopback" // this machine; inside a sandbox, the sandbox
	Metadata = "metadata" // a cloud's instance metadata service, which hands out credentials
)

// Host is where a connection goes, in one spelling.
type Host struct {
	Name string // lower-case ASCII name without trailing dot, or a canonical IP address
	Port string // decimal, empty if not said
	Kind string
}

// ReadHost reads a host from a URL, an authority (user@host:port) or a bare name. It undoes the
// ways in which one host is written as another: user information, percent signs, letters that
// only look like ASCII (UTS 46), trailing dots, IPv4 in decimal, octal, hexadecimal or with parts
// missing (as inet_aton reads it), IPv4 inside IPv6.
func ReadHost(s string) (Host, error) {
	authority, err := authorityOf(s)
	if err != nil {
		return Host{}, fmt.Errorf("read host %.80q: %w", s, err)
	}
	name, port, err := splitPort(authority)
	if err != nil {
		return Host{}, fmt.Errorf("read host %.80q: %w", s, err)
	}
	h, err := normalHost(name)
	if err != nil {
		return Host{}, fmt.Errorf("read host %.80q: %w", s, err)
	}
	h.Port = port
	return h, nil
}

// maxHost bounds what is looked at; a DNS name has at most 253 bytes, and each can be written in
// at most nine (%XX of a three-byte letter).
const maxHost = 4096

// authorityOf cuts scheme, path and user information off. A backslash ends the authority as in
// browsers (WHATWG URL §4.4): a reader that takes it for a part of the host sees another host.
func authorityOf(s string) (string, error) {
	s = strings.Trim(s, " \t\r\n")
	if len(s) > maxHost {
		return "", fmt.Errorf("%d bytes are more than a host has", len(s))
	}
	if i := strings.Index(s, "://"); i >= 0 {
		s = s[i+3:]
	}
	s = strings.TrimLeft(s, "/\\")
	if i := strings.IndexAny(s, "/\\?#"); i >= 0 {
		s = s[:i]
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	if s == "" {
		return "", errors.New("there is none")
	}
	return s, nil
}

func splitPort(s string) (name, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New("bracket is not closed")
		}
		name, port = s[1:end], s[end+1:]
		if port != "" && port[0] != ':' {
			return "", "", errors.New("text after the bracket")
		}
		return name, strings.TrimPrefix(port, ":"), checkPort(strings.TrimPrefix(port, ":"))
	}
	if strings.Count(s, ":") > 1 { // a bare IPv6 address
		return s, "", nil
	}
	name, port, _ = strings.Cut(s, ":")
	return name, port, checkPort(port)
}

func checkPort(port string) error {
	if port == "" {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 32); err != nil || n > 65535 {
		return fmt.Errorf("port %.20q is no number up to 65535", port)
	}
	return nil
}

func normalHost(raw string) (Host, error) {
	name, err := unescape(raw)
	if err != nil {
		return Host{}, err
	}
	if strings.Contains(name, ":") {
		zone := strings.IndexByte(name, '%')
		if zone >= 0 {
			name = name[:zone]
		}
		addr, err := netip.ParseAddr(name)
		if err != nil {
			return Host{}, errors.New("not an IPv6 address")
		}
		return addressHost(addr), nil
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		// Names with an underscore or a leading hyphen exist in practice and are plain ASCII.
		if ascii = strings.ToLower(name); !plainName(ascii) {
			return Host{}, fmt.Errorf("not a host name: %w", err)
		}
	}
	ascii = strings.ToLower(strings.TrimRight(ascii, "."))
	if ascii == "" || len(ascii) > 253 || !plainName(ascii) {
		return Host{}, errors.New("not a host name")
	}
	if addr, ok := inetAton(ascii); ok {
		return addressHost(addr), nil
	}
	return Host{Name: ascii, Kind: nameKind(ascii)}, nil
}

// unescape undoes %XX once, as curl and browsers do for the host.
func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") || strings.Contains(s, ":") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("percent sign without two digits")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("percent sign without two digits")
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
			continue
		}
		return false
	}
	return s != ""
}

// inetAton reads IPv4 as the C library does: one to four parts, each decimal, octal (0…) or
// hexadecimal (0x…), the last filling the bytes that are left.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var total uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(octal(p), 0, 33)
		if err != nil || strings.ContainsAny(p, "_boBO") {
			return netip.Addr{}, false
		}
		left := 4 - i // bytes
		switch {
		case i < len(parts)-1 && n > 255:
			return netip.Addr{}, false
		case i < len(parts)-1:
			total |= n << (8 * (left - 1))
		case n >= 1<<(8*left):
			return netip.Addr{}, false
		default:
			total |= n
		}
	}
	return netip.AddrFrom4([4]byte{byte(total >> 24), byte(total >> 16), byte(total >> 8), byte(total)}), true
}

// octal lets ParseUint accept "00", which inet_aton takes, and "0x", which it takes for zero.
func octal(p string) string {
	if p == "0x" || p == "0X" {
		return "0"
	}
	return p
}

func addressHost(a netip.Addr) Host {
	a = a.WithZone("").Unmap()
	if b := a.As16(); a.Is6() && embedsIPv4(b) {
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return Host{Name: a.String(), Kind: addressKind(a)}
}

// embedsIPv4 knows NAT64 (RFC 6052, 64:ff9b::/96) and the deprecated ::a.b.c.d (RFC 4291 §2.5.5.1).
func embedsIPv4(b [16]byte) bool {
	nat64 := [12]byte{0x00, 0x64, 0xff, 0x9b}
	head := [12]byte(b[:12])
	return head == nat64 || head == [12]byte{} && (b[12] != 0 || b[13] != 0)
}

func addressKind(a netip.Addr) string {
	switch {
	case a == netip.AddrFrom4([4]byte{169, 254, 169, 254}), a == netip.AddrFrom4([4]byte{169, 254, 170, 2}),
		a == netip.AddrFrom4([4]byte{100, 100, 100, 200}), a.String() == "fd00:ec2::254":
		return Metadata
	case a.IsLoopback(), a.IsUnspecified(): // Linux connects 0.0.0.0 and :: to loopback
		return Loopback
	case a.IsPrivate(), a.IsLinkLocalUnicast(), a.IsMulticast():
		return Private
	}
	return Public
}

func nameKind(name string) string {
	switch {
	case name == "localhost", strings.HasSuffix(name, ".localhost"), name == "ip6-localhost", name == "ip6-loopback":
		return Loopback
	case name == "metadata", name == "metadata.google.internal", name == "instance-data":
		return Metadata
	case !strings.Contains(name, "."), strings.HasSuffix(name, ".local"), strings.HasSuffix(name, ".internal"),
		strings.HasSuffix(name, ".lan"), strings.HasSuffix(name, ".home.arpa"):
		return Private
	}
	return Public
}
