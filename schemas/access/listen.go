package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrAddress: the address cannot be listened on, whatever the machine does. Callers call it a wrong use.
var ErrAddress = errors.New("addresses of this machine alone (127.0.0.1:PORT, [::1]:PORT, localhost:PORT) need nothing more; " +
	"others need TLS (--tls-cert, --tls-key) and a token (`tacho token add`). " +
	"Or tunnel from elsewhere (ssh -L), or put a proxy that has both in front, which sets Host to this address")

// Fits says why an address cannot be listened on, before anything is started for it.
func Fits(address string, others *Gate) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !IsLoopback(host) && others == nil {
		return fmt.Errorf("listen on %.80q: %w", address, ErrAddress)
	}
	return nil
}

// Listen listens on an address. That of this machine alone gets the gate of loopback, nil; any other needs one, and
// gets it.
func Listen(address string, others *Gate) (net.Listener, *Gate, error) {
	if err := Fits(address, others); err != nil {
		return nil, nil, err
	}
	host, _, _ := net.SplitHostPort(address)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w; port 0 picks a free one", address, err)
	}
	if !IsLoopback(host) {
		return l, others, nil
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a name may resolve to anything
		return nil, nil, errors.Join(fmt.Errorf("listen on %s: it is %s: %w", address, l.Addr(), ErrAddress), l.Close())
	}
	return l, nil, nil
}

// TLS is what a listener of that gate speaks; nil on loopback. Protocols are those of ALPN.
func (g *Gate) TLS(protocols ...string) *tls.Config {
	if g == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.Certificate.current(), nil }}
}

// Certificate is a certificate with its key, in PEM files. They may be replaced while they are used: certificates
// last for less time than runs.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	cert   stamp // of the files when they were read
	key    stamp
}

// OpenCertificate reads them. log gets what is wrong with files that replace them; what was read before is used on.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificate) read() error {
	cert, key := stampOf(c.certFile), stampOf(c.keyFile)
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate %s with its key %s: %w", c.certFile, c.keyFile, err)
	}
	if len(pair.Leaf.DNSNames)+len(pair.Leaf.IPAddresses) == 0 {
		return fmt.Errorf("the certificate %s is for no name: it needs a subject alternative name (RFC 2818), which requests are to name as their host", c.certFile)
	}
	c.loaded, c.cert, c.key = &pair, cert, key
	return nil
}

func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cert, key := stampOf(c.certFile), stampOf(c.keyFile); !cert.same(c.cert) || !key.same(c.key) {
		if err := c.read(); err != nil {
			c.cert, c.key = cert, key // said once; the next change is read again
			c.log.Error("the new certificate cannot be used; the old one is used on", "error", err)
		}
	}
	return c.loaded
}

// Names are those that the certificate is for.
func (c *Certificate) Names() []string {
	leaf := c.current().Leaf
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (c *Certificate) covers(host string) error {
	if err := c.current().Leaf.VerifyHostname(host); err != nil {
		var not x509.HostnameError
		if !errors.As(err, &not) {
			return fmt.Errorf("the host %.100q: %w", host, err)
		}
		return fmt.Errorf("the host %.100q is none of this server's certificate, which is for %s", host, strings.Join(c.Names(), ", "))
	}
	return nil
}

// stamp tells versions of a file apart.
type stamp struct{ info fs.FileInfo } // nil: there is none

func stampOf(file string) stamp {
	info, _ := os.Stat(file)
	return stamp{info}
}

func (s stamp) same(as stamp) bool {
	if s.info == nil || as.info == nil {
		return s.info == as.info
	}
	return os.SameFile(s.info, as.info) && s.info.ModTime().Equal(as.info.ModTime()) && s.info.Size() == as.info.Size()
}
