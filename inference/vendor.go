package inference

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// vendor is what sets one OpenAI-compatible API apart from the others.
type vendor struct {
	name     string
	base     string   // the public API
	baseVar  string   // environment variable that says another
	keyVars  []string // environment variables of the key, the first that is set counts
	spelling func(model string) string
	thinking map[string]string // a word of Options.Thinking → the member of the request
}

// vendors lists the APIs. A function, because the package keeps no state.
func vendors() []vendor { return []vendor{kimi(), openai()} }

func kimi() vendor {
	return vendor{
		name: "kimi", base: "https://api.moonshot.ai/v1", baseVar: "KIMI_BASE_URL",
		keyVars:  []string{"KIMI_API_KEY", "MOONSHOT_API_KEY"},
		spelling: kimiSpelling,
		thinking: map[string]string{
			"enabled":  `"thinking":{"type":"enabled"}`,
			"disabled": `"thinking":{"type":"disabled"}`,
			"keep":     `"thinking":{"type":"enabled","keep":"all"}`,
		},
	}
}

func openai() vendor {
	return vendor{
		name: "openai", base: "https://api.openai.com/v1", baseVar: "OPENAI_BASE_URL",
		keyVars:  []string{"OPENAI_API_KEY"},
		spelling: func(model string) string { return model },
		thinking: map[string]string{
			"none":    `"reasoning_effort":"none"`,
			"minimal": `"reasoning_effort":"minimal"`,
			"low":     `"reasoning_effort":"low"`,
			"medium":  `"reasoning_effort":"medium"`,
			"high":    `"reasoning_effort":"high"`,
			"xhigh":   `"reasoning_effort":"xhigh"`,
		},
	}
}

func knownProviders() string {
	var names []string
	for _, v := range vendors() {
		names = append(names, v.name)
	}
	return strings.Join(append(names, scriptProvider), ", ")
}

var kimiVersion = regexp.MustCompile(`^(kimi-k[0-9])-([0-9])($|-)`)

// kimiSpelling mends kimi-k2-6, as it is written where a dot will not do. Dates such as
// kimi-k2-0905 have more digits and stay.
func kimiSpelling(model string) string {
	return kimiVersion.ReplaceAllString(model, "$1.$2$3")
}

func (v *vendor) key(env func(string) string) secret {
	for _, name := range v.keyVars {
		if k := strings.TrimSpace(env(name)); k != "" {
			return newSecret(k)
		}
	}
	return secret{}
}

// configured reports whether the environment says anything about a vendor.
func (v *vendor) configured(env func(string) string) bool {
	return !v.key(env).none() || env(v.baseVar) != ""
}

// lookUp finds the vendor of a bare name; see [Open].
func lookUp(model string, env func(string) string) (vendor, error) {
	if model == "" {
		return vendor{}, fmt.Errorf("no name: write provider/name, with one of %s", knownProviders())
	}
	if ext := path.Ext(model); ext == ".yaml" || ext == ".yml" || ext == ".json" {
		return vendor{}, fmt.Errorf("a bare name is a model's: for a script write script/%s", model)
	}
	maker, general := kimi(), openai()
	if strings.HasPrefix(model, "kimi-") || strings.HasPrefix(model, "moonshot-") {
		switch {
		case maker.configured(env):
			return maker, nil
		case env(general.baseVar) != "": // a server of one's own may run the open weights
			return general, nil
		}
		return vendor{}, fmt.Errorf("no key for %s: set %s", maker.name, strings.Join(maker.keyVars, " or "))
	}
	if general.configured(env) {
		return general, nil
	}
	return vendor{}, fmt.Errorf("no provider has it: set %s, or %s for a server of your own",
		strings.Join(general.keyVars, " or "), general.baseVar)
}

// endpoint returns the address of a path of a vendor's API and the key to use there.
//
// A key may be missing only where the base URL was set to an http:// address: that is a server of
// one's own, and many of those have none.
func (v *vendor) endpoint(env func(string) string, path ...string) (string, secret, error) {
	base := strings.TrimSpace(env(v.baseVar))
	own := base != ""
	if !own {
		base = v.base
	}
	u, err := url.Parse(base)
	// The address is not shown: one that is wrong may hold a password.
	switch {
	case err != nil:
		return "", secret{}, fmt.Errorf("%s is not a URL", v.baseVar)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", secret{}, fmt.Errorf("%s must be an address such as %s", v.baseVar, v.base)
	case u.User != nil:
		return "", secret{}, fmt.Errorf("%s holds a user or password: the key belongs into %s", v.baseVar, v.keyVars[0])
	case u.RawQuery != "" || u.Fragment != "":
		return "", secret{}, fmt.Errorf("%s must not have a query or fragment", v.baseVar)
	}
	key := v.key(env)
	if key.none() {
		if own && u.Scheme == "http" {
			return u.JoinPath(path...).String(), key, nil
		}
		return "", secret{}, fmt.Errorf("no key for %s: set %s", v.name, strings.Join(v.keyVars, " or "))
	}
	if strings.ContainsFunc(key.text(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", secret{}, fmt.Errorf("the key of %s holds white space or characters that no key has: check %s",
			v.name, strings.Join(v.keyVars, " or "))
	}
	return u.JoinPath(path...).String(), key, nil
}

// thinkingWords lists what a vendor understands, for an error message.
func (v *vendor) thinkingWords() string {
	words := make([]string, 0, len(v.thinking))
	for w := range v.thinking {
		words = append(words, w)
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// secret is a key. The text is behind a function, because fmt prints the unexported fields of what
// holds them without asking their methods. The zero value is no key.
type secret struct{ text func() string }

func newSecret(text string) secret { return secret{func() string { return text }} }

func (s secret) none() bool { return s.text == nil }

// redact takes the key out of a text that somebody else wrote. What is shorter than any real key,
// such as the "none" that servers of one's own are given, stays: it is no secret, and an error
// without that word could not be read.
func (s secret) redact(text string) string {
	const shortest = 8
	if s.none() || len(s.text()) < shortest {
		return text
	}
	return strings.ReplaceAll(text, s.text(), "[redacted]")
}
