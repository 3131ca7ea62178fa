// Package loopback is the one rule of who may reach the ports that this program opens: this machine, and on it
// no web page but our own. It stands among the words because everything that listens shares it (pages and API,
// OTLP over HTTP and gRPC), and it must never know what a request asks for.
//
// Loopback has no token, because who may connect may also read the files. But a browser connects for whoever
// wrote the page that it shows, so a request is refused if
//
//   - its Host is not this machine's: a foreign name that resolves to 127.0.0.1 (DNS rebinding) makes
//     a page of that name same-origin with us;
//   - its Origin is not the Host that it asks: another site's script;
//   - the browser says that another site's page makes it (Sec-Fetch-Site).
//
// No page can send "Content-Type: application/json" or protobuf elsewhere without asking first, and nobody answers
// that question here; but with a rebound name it need not ask. Hence the Host.
package loopback

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// ErrAddress: the address cannot be listened on, whatever the machine does. Callers call it a wrong use.
var ErrAddress = errors.New("only addresses of this machine alone (127.0.0.1:PORT, [::1]:PORT, localhost:PORT) are listened on: " +
	"others need TLS and a token, which are not built yet. " +
	"From elsewhere, tunnel (ssh -L), or put a proxy that has them in front, which sets Host to this address")

// Listen listens on an address of this machine alone.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !Is(host) {
		return nil, fmt.Errorf("listen on %.80q: %w", address, ErrAddress)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; port 0 picks a free one", address, err)
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a name may resolve to anything
		return nil, errors.Join(fmt.Errorf("listen on %s: it is %s: %w", address, l.Addr(), ErrAddress), l.Close())
	}
	return l, nil
}

// Is says whether a host is this machine and nobody else, by name or number.
func Is(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}

// Check says why a request may be another site's page speaking, nil if it is not.
func Check(r *http.Request) error {
	if err := CheckHost(r.Host); err != nil {
		return err
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return fmt.Errorf("the page %.100q may not ask here: only pages that this server served may", origin)
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
		return nil
	default:
		return fmt.Errorf("another site's page may not ask here (Sec-Fetch-Site: %.40q)", site)
	}
}

// CheckHost says what is wrong with a Host, or an :authority, with or without a port.
func CheckHost(host string) error {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	if !Is(strings.Trim(name, "[]")) {
		return fmt.Errorf("the host %.100q is not this machine: ask for 127.0.0.1 or localhost and the port", host)
	}
	return nil
}

// Guard refuses what Check refuses, in plain text, for handlers that have no way of their own.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := Check(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
