// Package access is the one rule of who may reach the ports that this program opens. It stands among the words
// because everything that listens shares it (pages and API, metrics, OTLP over HTTP and gRPC), and it must never
// know what a request asks for, only which [Right] that takes.
//
// An address of this machine alone has no token: who may connect may also read the files. Any other address
// has TLS, and a token with each request. On both, a browser connects for whoever wrote the page that it shows, so
// a request is refused if
//
//   - its Host is not ours: on loopback this machine's, elsewhere a name of the certificate. A foreign name that
//     resolves to our address (DNS rebinding) makes a page of that name same-origin with us;
//   - its Origin is not the Host that it asks: another site's script;
//   - the browser says that another site's page makes it (Sec-Fetch-Site).
//
// No page can send "Content-Type: application/json" or protobuf elsewhere without asking first, and nobody answers
// that question here; but with a rebound name it need not ask. Hence the Host.
//
// A program sends its token as "Authorization: Bearer TOKEN" (RFC 6750). A browser has it in a cookie that scripts
// cannot read and that no other site's page makes it send (HttpOnly, Secure, SameSite=Strict, "__Host-").
package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// What a request lacks. Everything else that Gate refuses has another site's page behind it, or a wrong address.
var (
	ErrToken = errors.New("a token is needed") // 401
	ErrRight = errors.New("the token is not for this")
)

// Right is what a request takes.
type Right string

const (
	Look  Right = "look"  // at runs, and all that was said, done and changed in them
	Steer Right = "steer" // start agents, in any directory that this process can read; stop, approve, fork
	Send  Right = "send"  // telemetry, as OTLP
)

// Role is what a token is for.
type Role string

const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Sender   Role = "sender" // for agents of others: what they send is taken, and they see nothing
	Admin    Role = "admin"
)

// Roles are all of them, with what each may do.
var Roles = map[Role][]Right{Viewer: {Look}, Operator: {Look, Steer}, Sender: {Send}, Admin: {Look, Steer, Send}}

// Caller is who asks. The zero Caller is nobody.
type Caller struct {
	Name string // of the token; empty on loopback, where whoever asks is whoever may read the files
	Role Role
}

// May says whether the caller has that right.
func (c Caller) May(right Right) bool {
	for _, r := range Roles[c.Role] {
		if r == right {
			return true
		}
	}
	return false
}

type callerKey struct{}

// With hands on who asks.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From is who asks. Where nobody looked, it is nobody.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Gate is the rule of one listener; nil is that of loopback.
type Gate struct {
	Certificate *Certificate
	Tokens      *Tokens
}

// Caller says who asks, or why the request is refused: an error of [Gate.Page], ErrToken, or ErrRight.
func (g *Gate) Caller(r *http.Request, right Right) (Caller, error) {
	if err := g.Page(r); err != nil {
		return Caller{}, err
	}
	return g.Bearer(r, right)
}

// Bearer is Caller for a request whose page was looked at.
func (g *Gate) Bearer(r *http.Request, right Right) (Caller, error) {
	authorization := r.Header.Get("Authorization")
	if cookie, err := r.Cookie(Cookie); err == nil && authorization == "" {
		return g.Whose(cookie.Value, right)
	}
	return g.Authorized(authorization, right)
}

// Authorized says whose token an Authorization header holds, and that it is for what is asked.
func (g *Gate) Authorized(header string, right Right) (Caller, error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110 §11.1: schemes have no case
		secret = ""
	}
	return g.Whose(strings.TrimSpace(secret), right)
}

// Whose says whose token that is, and that it is for what is asked.
func (g *Gate) Whose(secret string, right Right) (Caller, error) {
	if g == nil {
		return Caller{Role: Admin}, nil
	}
	if secret == "" {
		return Caller{}, fmt.Errorf("%w, as \"Authorization: Bearer TOKEN\": `tacho token add NAME --role ROLE` on the machine of this server makes one", ErrToken)
	}
	token, err := g.Tokens.find(secret, time.Now())
	if err != nil {
		return Caller{}, err
	}
	caller := Caller{token.Name, token.Role}
	if right != "" && !caller.May(right) {
		return caller, fmt.Errorf("%w: that of %s has the role %s; `tacho token add --help` says what each may do", ErrRight, token.Name, token.Role)
	}
	return caller, nil
}

// Page says why a request may be another site's page speaking, nil if it is not.
func (g *Gate) Page(r *http.Request) error {
	if err := g.Host(r.Host); err != nil {
		return err
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		scheme := "http"
		if g != nil {
			scheme = "https"
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != scheme || !strings.EqualFold(u.Host, r.Host) {
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

// Host says what is wrong with a Host, or an :authority, with or without a port.
func (g *Gate) Host(host string) error {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.Trim(name, "[]")
	if g != nil {
		return g.Certificate.covers(name)
	}
	if !IsLoopback(name) {
		return fmt.Errorf("the host %.100q is not this machine: ask for 127.0.0.1 or localhost and the port", host)
	}
	return nil
}

// IsLoopback says whether a host is this machine and nobody else, by name or number.
func IsLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}

// Guard lets through who has the right. Others are answered in plain text: for handlers that have no way of their own.
func (g *Gate) Guard(right Right, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := g.Caller(r, right)
		if err != nil {
			http.Error(w, err.Error(), Status(w.Header(), err))
			return
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), caller)))
	})
}

// Status is that of an answer to a request that was refused. For a missing token it says how to show one (RFC 6750 §3).
func Status(h http.Header, refused error) int {
	if errors.Is(refused, ErrToken) {
		h.Set("WWW-Authenticate", `Bearer realm="tacho"`)
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// Cookie is where a browser has its token. The prefix makes browsers insist on Secure, no Domain, and the whole path.
const Cookie = "__Host-tacho"

// SignIn is the cookie of a browser that showed that token; without one, the cookie that signs out.
func SignIn(secret string) *http.Cookie {
	c := &http.Cookie{Name: Cookie, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: 30 * 24 * 3600}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}
