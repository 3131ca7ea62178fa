// Package accesstest makes what tests of ports that are reached from elsewhere need: certificates that sign themselves,
// and tokens.
package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tachograph/schemas/access"
)

// Files are a certificate with its key, as PEM, and the pool that trusts it.
type Files struct {
	Cert, Key string
	Pool      *x509.CertPool
}

// Certificate writes one for those names and addresses into a directory.
func Certificate(t testing.TB, dir string, names ...string) Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	f := Files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(f.Cert, cert, 0o644))
	must(t, os.WriteFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	f.Pool.AppendCertsFromPEM(cert)
	return f
}

// Gate is that of a server whose data directory and certificate, for those names, are in dir.
func Gate(t testing.TB, dir string, names ...string) (*access.Gate, Files) {
	t.Helper()
	files := Certificate(t, dir, names...)
	certificate, err := access.OpenCertificate(files.Cert, files.Key, nil)
	must(t, err)
	return &access.Gate{Certificate: certificate, Tokens: access.TokensOf(dir)}, files
}

// Token makes one.
func Token(t testing.TB, gate *access.Gate, name string, role access.Role) string {
	t.Helper()
	secret, _, err := gate.Tokens.Add(name, role, time.Hour)
	must(t, err)
	return secret
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
