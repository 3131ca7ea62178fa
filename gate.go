package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"tachograph/schemas/access"
)

// openGate is who may ask at addresses that are not this machine's alone; nil: there are to be none. What is wrong with an
// address is said here, before an engine is started for it.
func (c *cli) openGate() (*access.Gate, error) {
	gate, err := c.gateOfOthers()
	for _, f := range []struct{ flag, address string }{{"--otlp-grpc", c.receive.otlpGRPC}, {"--otlp-http", c.receive.otlpHTTP}, {"--http", c.receive.http}} {
		if err == nil {
			err = ofFlag(f.flag, access.Fits(f.address, gate))
		}
	}
	return gate, err
}

func (c *cli) gateOfOthers() (*access.Gate, error) {
	cert, key := c.receive.tlsCert, c.receive.tlsKey
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, usage(errors.New("--tls-cert and --tls-key belong together: the certificate, with those that lead to its root, and its key, in PEM files"))
	}
	certificate, err := access.OpenCertificate(cert, key, c.log())
	if err != nil {
		return nil, usage(fmt.Errorf("--tls-cert: %w", err))
	}
	return &access.Gate{Certificate: certificate, Tokens: access.TokensOf(c.data)}, nil
}

// listen listens on the address of a flag: on one of this machine alone with the gate of loopback, nil, on others
// with that of others.
func listen(address, flag string, others *access.Gate) (net.Listener, *access.Gate, error) {
	l, gate, err := access.Listen(address, others)
	return l, gate, ofFlag(flag, err)
}

func ofFlag(flag string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", flag, err)
	}
	if errors.Is(err, access.ErrAddress) {
		err = usage(err)
	}
	return err
}

// secured speaks TLS where the gate wants it.
func secured(l net.Listener, gate *access.Gate) net.Listener {
	if gate == nil {
		return l
	}
	return tls.NewListener(l, gate.TLS("h2", "http/1.1"))
}

// shownHost is the host:port that others use: by a name of the certificate where the gate wants to hear one.
func shownHost(l net.Listener, gate *access.Gate) string {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	if gate == nil || gate.Host(host) == nil {
		return l.Addr().String()
	}
	for _, name := range gate.Certificate.Names() {
		if !strings.Contains(name, "*") {
			host = name
			break
		}
	}
	return net.JoinHostPort(host, port)
}

func shownAddress(l net.Listener, gate *access.Gate) string {
	if gate == nil {
		return "http://" + shownHost(l, gate)
	}
	return "https://" + shownHost(l, gate)
}
