// Package inference asks models: those of OpenAI-compatible servers, and scripts. It knows what they
// cost ([Prices]), and turns texts into vectors ([Embeddings]; package embed without a model).
//
// [Open] finds a model by its name, `provider/name`:
//
//	kimi/<name>    Moonshot's API. KIMI_API_KEY (or MOONSHOT_API_KEY), KIMI_BASE_URL
//	openai/<name>  OpenAI's API or any server that speaks it. OPENAI_API_KEY, OPENAI_BASE_URL
//	script/<file>  turns that are written down; package inference/script tells the format
//
// A bare name is looked up among the configured providers; see [Open].
//
// [Provider.Frame] writes a request without its messages, [Provider.Ask] sends it with them. The
// bytes sent are those of chat.Frame.Request and nothing else, so whoever holds frame and messages
// holds the request. An answer comes back twice: as the provider's bytes, and as the message that
// goes back to the model in the next request. That message keeps the JSON text of content,
// reasoning and arguments as the provider escaped it, byte for byte.
//
// Invariant: a key is in the Authorization header of a request to its own provider and nowhere
// else: not in frames, errors, logs or names, and not behind a redirect.
//
// The package must never keep a conversation, and it starts no goroutine that outlives a call.
// Read [Open], then ask in client.go.
package inference

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"tachograph/schemas/chat"
)

// Provider is one model, ready to be asked. It is safe for concurrent use.
type Provider interface {
	// Name is provider/name, in the one spelling by which the model is known here.
	Name() string

	// Frame writes the request without its messages. The same arguments give the same bytes.
	// It refuses options that the provider has no word for.
	Frame(tools []chat.Tool, o Options) (chat.Frame, error)

	// Ask sends frame and messages and waits for the whole answer, trying again where that may
	// help. watch may be nil; else it is called with the pieces of the answer as they come, in
	// order, by the goroutine that called Ask. A further try begins the answer anew.
	//
	// An error is ctx's, an [*APIError], or for scripts one of package script's.
	Ask(ctx context.Context, f chat.Frame, messages []chat.Message, watch func(chat.Delta)) (chat.Answer, error)
}

// Options are what can be asked of a model besides messages and tools. The zero value leaves
// everything to the provider.
type Options struct {
	Temperature string // a decimal between 0 and 2, sent as it is written
	MaxTokens   int64  // tokens of the answer, reasoning included; 0: the provider's default

	// Thinking is enabled, disabled or keep (enabled, and the reasoning of earlier turns is used)
	// for kimi; none, minimal, low, medium, high or xhigh for openai.
	Thinking string

	// CacheKey is the same for requests that begin alike, so that the provider finds its cache.
	CacheKey string
}

// Config is what Open needs. The zero value works.
type Config struct {
	Env func(string) string // looks up an environment variable; nil: os.Getenv

	// Dir is where relative script files are looked up; empty: the working directory.
	Dir string
	// Confined refuses script files outside Dir. A server sets it for names from the network.
	Confined bool

	// HTTP sends requests; nil: a client on http.DefaultTransport. Its CheckRedirect, Jar and
	// Timeout are not used: redirects are refused, and Idle and the context bound the time.
	HTTP *http.Client

	Idle   time.Duration  // the longest silence in an answer, its first byte included; 0: 5 minutes
	Retry  Retry          // when to try again
	Answer int            // bytes of the largest answer that is read; 0: 128 MiB
	Clock  Clock          // nil: the system's
	Jitter func() float64 // in [0, 1); nil: math/rand/v2.Float64
	Log    *slog.Logger   // one record for each further try; nil: none
}

// Clock tells the time and waits.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d, unless stop is called before. stop
	// reports whether it prevented the call.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// wait returns after d, or before with ctx's error.
func wait(ctx context.Context, c Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	done := make(chan struct{})
	stop := c.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c Config) withDefaults() Config {
	if c.Env == nil {
		c.Env = os.Getenv
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	if c.Idle <= 0 {
		c.Idle = 5 * time.Minute
	}
	c.Retry = c.Retry.withDefaults()
	if c.Answer <= 0 {
		c.Answer = maxAnswer
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Open finds the provider of a model's name and checks all that can be checked without asking: the
// provider is known and configured, a script reads and is right. It sends nothing.
//
// A bare name that begins with kimi- or moonshot- is kimi's if kimi is configured, else openai's if
// OPENAI_BASE_URL is set. Any other is openai's if openai is configured. Configured means that a
// key or a base URL is set. kimi takes hyphens for the dot of a version: kimi-k2-6 is
// kimi/kimi-k2.6.
func Open(model string, c Config) (Provider, error) {
	p, err := open(model, c.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("open model %q: %w", model, err)
	}
	return p, nil
}

func open(model string, c Config) (Provider, error) {
	provider, name, found := strings.Cut(model, "/")
	if !found {
		v, err := lookUp(model, c.Env)
		if err != nil {
			return nil, err
		}
		return newChat(v, model, c)
	}
	if name == "" {
		return nil, fmt.Errorf("no name after %q", provider+"/")
	}
	if provider == scriptProvider {
		return openScript(name, c)
	}
	for _, v := range vendors() {
		if v.name == provider {
			return newChat(v, name, c)
		}
	}
	return nil, fmt.Errorf("unknown provider %q: known are %s", provider, knownProviders())
}
