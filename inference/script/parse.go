package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v2"

	"tachograph/schemas/chat"
)

// The file as it is written. Pointers tell absent from empty.
type (
	fileYAML struct {
		Pace   *string     `yaml:"pace"`
		Turns  []itemYAML  `yaml:"turns"`
		Scenes []sceneYAML `yaml:"scenes"`
	}
	sceneYAML struct {
		Name  string         `yaml:"name"`
		When  *conditionYAML `yaml:"when"`
		Turns []itemYAML     `yaml:"turns"`
	}
	itemYAML struct {
		Repeat   *int       `yaml:"repeat"`
		Turns    []turnYAML `yaml:"turns"`
		turnYAML `yaml:",inline"`
	}
	turnYAML struct {
		Label     string          `yaml:"label"`
		Reasoning *string         `yaml:"reasoning"`
		Say       *string         `yaml:"say"`
		Calls     []callYAML      `yaml:"calls"`
		Finish    string          `yaml:"finish"`
		Usage     *usageYAML      `yaml:"usage"`
		Pace      *string         `yaml:"pace"`
		Fail      *string         `yaml:"fail"`
		Expect    []conditionYAML `yaml:"expect"`
	}
	callYAML struct {
		Tool   string    `yaml:"tool"`
		Intent *string   `yaml:"intent"`
		Args   *argsYAML `yaml:"args"`
		Raw    *string   `yaml:"raw"`
	}
	usageYAML struct {
		Input     int64 `yaml:"input"`
		Cached    int64 `yaml:"cached"`
		Output    int64 `yaml:"output"`
		Reasoning int64 `yaml:"reasoning"`
	}
	conditionYAML struct {
		From        string  `yaml:"from"`
		Call        *int    `yaml:"call"`
		Contains    *string `yaml:"contains"`
		Matches     *string `yaml:"matches"`
		NotContains *string `yaml:"not_contains"`
	}
)

// Parse reads and checks a script. name stands in errors. Whatever Parse accepts can be played:
// what remains to fail is an expectation, the end of the turns, or a turn that says so.
func Parse(name string, source []byte) (*Script, error) {
	s, err := parse(name, source)
	if err != nil {
		return nil, fmt.Errorf("read script %s: %w", name, err)
	}
	return s, nil
}

func parse(name string, source []byte) (*Script, error) {
	var f fileYAML
	if err := decode(source, &f); err != nil {
		return nil, err
	}
	if len(f.Turns) == 0 && len(f.Scenes) == 0 {
		return nil, errors.New("no turns")
	}
	s := &Script{name: name}
	pace, err := parsePace(f.Pace)
	if err != nil {
		return nil, err
	}
	if pace != nil {
		s.pace = *pace
	}
	if err := s.addScene(sceneYAML{Name: "start", Turns: f.Turns}); err != nil {
		return nil, err
	}
	for i, y := range f.Scenes {
		if y.Name == "" {
			y.Name = fmt.Sprint(i + 1)
		}
		if y.When == nil {
			return nil, fmt.Errorf("scene %q: no when", y.Name)
		}
		if len(y.Turns) == 0 {
			return nil, fmt.Errorf("scene %q: no turns", y.Name)
		}
		if err := s.addScene(y); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// decode reads exactly one document.
func decode(source []byte, into any) error {
	if len(source) > MaxBytes {
		return fmt.Errorf("%d bytes are more than the %d allowed", len(source), MaxBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(source))
	d.SetStrict(true)
	if err := d.Decode(into); errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	} else if err != nil {
		return explain(err)
	}
	var more any
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// yamlTypes are the words that the YAML library puts for our types, and what a user calls them.
var yamlTypes = strings.NewReplacer(
	"not found in type script.fileYAML", "is unknown at the top of a script",
	"not found in type script.sceneYAML", "is unknown in a scene",
	"not found in type script.itemYAML", "is unknown in a turn",
	"not found in type script.turnYAML", "is unknown in a turn",
	"not found in type script.callYAML", "is unknown in a call",
	"not found in type script.usageYAML", "is unknown in usage",
	"not found in type script.conditionYAML", "is unknown in an expectation or when",
	"script.fileYAML", "a script", "[]script.sceneYAML", "a list of scenes", "script.sceneYAML", "a scene",
	"[]script.itemYAML", "a list of turns", "script.itemYAML", "a turn",
	"[]script.turnYAML", "a list of turns", "script.turnYAML", "a turn",
	"[]script.callYAML", "a list of calls", "script.callYAML", "a call",
	"[]script.conditionYAML", "a list of expectations", "script.conditionYAML", "an expectation or when",
	"script.usageYAML", "usage", "yaml.MapSlice", "arguments", "yaml.MapItem", "arguments", "*string", "text",
)

func explain(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	return errors.New(yamlTypes.Replace(strings.ReplaceAll(text, "\n  ", "; ")))
}

func (s *Script) addScene(y sceneYAML) error {
	sc := scene{name: y.Name}
	if y.When != nil {
		w, err := parseCondition(*y.When)
		if err != nil {
			return fmt.Errorf("scene %q: when: %w", y.Name, err)
		}
		if err := w.asWhen(); err != nil {
			return fmt.Errorf("scene %q: when: %w", y.Name, err)
		}
		sc.when = &w
	}
	for _, item := range y.Turns {
		b, err := parseItem(item)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.place(sc.length, item.Label), err)
		}
		b.first = sc.length
		sc.length += len(b.turns) * b.times
		if sc.length > MaxTurns {
			return fmt.Errorf("scene %q: more than %d turns", y.Name, MaxTurns)
		}
		sc.blocks = append(sc.blocks, b)
	}
	s.scenes = append(s.scenes, sc)
	return nil
}

func parseItem(y itemYAML) (block, error) {
	b := block{times: 1}
	if y.Repeat != nil {
		b.times, b.repeated = *y.Repeat, true
		if b.times < 1 || b.times > MaxRepeat {
			return b, fmt.Errorf("repeat %d is not within 1 and %d", b.times, MaxRepeat)
		}
	}
	turns := []turnYAML{y.turnYAML}
	if y.Turns != nil {
		if !y.empty() {
			return b, errors.New("a group has turns and repeat, no other field")
		}
		if len(y.Turns) == 0 {
			return b, errors.New("a group without turns")
		}
		turns = y.Turns
	}
	for i, ty := range turns {
		t, err := parseTurn(ty, b.repeated)
		if err != nil && len(turns) > 1 {
			err = fmt.Errorf("turn %d of the group: %w", i+1, err)
		}
		if err != nil {
			return b, err
		}
		b.turns = append(b.turns, t)
	}
	return b, nil
}

// empty reports whether no field of a turn is set.
func (y *turnYAML) empty() bool {
	return y.Label == "" && y.Reasoning == nil && y.Say == nil && y.Calls == nil && y.Finish == "" &&
		y.Usage == nil && y.Pace == nil && y.Fail == nil && y.Expect == nil
}

func parseTurn(y turnYAML, repeated bool) (turn, error) {
	t := turn{label: y.Label, reasoning: y.Reasoning, say: y.Say, fail: y.Fail}
	if err := y.checkShape(); err != nil {
		return t, err
	}
	for i, c := range y.Calls {
		parsed, err := parseCall(c)
		if err != nil {
			return t, fmt.Errorf("call %d: %w", i+1, err)
		}
		t.calls = append(t.calls, parsed)
	}
	var err error
	if t.finish, err = parseFinish(y.Finish, len(t.calls)); err != nil {
		return t, err
	}
	if t.usage, err = parseUsage(y.Usage); err != nil {
		return t, err
	}
	if t.pace, err = parsePace(y.Pace); err != nil {
		return t, err
	}
	for i, e := range y.Expect {
		c, err := parseCondition(e)
		if err != nil {
			return t, fmt.Errorf("expectation %d: %w", i+1, err)
		}
		t.expect = append(t.expect, c)
	}
	if repeated {
		return t, t.checkPlaceholders()
	}
	return t, nil
}

func (y *turnYAML) checkShape() error {
	says := y.Say != nil || len(y.Calls) > 0
	switch {
	case y.Fail != nil && (says || y.Reasoning != nil):
		return errors.New("fail stands beside say, calls or reasoning")
	case y.Fail != nil && *y.Fail == "":
		return errors.New("fail without a text")
	case y.Fail == nil && !says:
		return errors.New("neither say nor calls nor fail")
	}
	return nil
}

// checkPlaceholders refuses a division by zero, so that playing cannot meet one.
func (t *turn) checkPlaceholders() error {
	texts := []*string{t.reasoning, t.say, t.fail}
	for i := range t.calls {
		texts = append(texts, &t.calls[i].arguments)
	}
	for i := range t.expect {
		texts = append(texts, t.expect[i].contains, t.expect[i].notContains)
	}
	for _, text := range texts {
		if text == nil {
			continue
		}
		for _, m := range placeholder.FindAllStringSubmatch(*text, -1) {
			if _, err := compute(1, m[1], m[2]); err != nil {
				return fmt.Errorf("%s: %w", m[0], err)
			}
		}
	}
	return nil
}

func parseCall(y callYAML) (call, error) {
	c := call{tool: y.Tool}
	if y.Tool == "" {
		return c, errors.New("no tool")
	}
	if y.Raw != nil {
		if y.Args != nil || y.Intent != nil {
			return c, errors.New("raw stands beside args or intent: write them into raw")
		}
		c.arguments = *y.Raw
		return c, nil
	}
	var args argsYAML
	if y.Args != nil {
		args = *y.Args
	}
	var err error
	c.arguments, err = args.encode(y.Intent)
	return c, err
}

func parseFinish(text string, calls int) (string, error) {
	known := []string{chat.FinishStop, chat.FinishToolCalls, chat.FinishLength, chat.FinishFilter, chat.FinishOther}
	switch {
	case text == "" && calls > 0:
		return chat.FinishToolCalls, nil
	case text == "":
		return chat.FinishStop, nil
	case !slices.Contains(known, text):
		return "", fmt.Errorf("finish %q: known are %s", text, strings.Join(known, ", "))
	}
	return text, nil
}

func parseUsage(y *usageYAML) (*chat.Usage, error) {
	if y == nil {
		return nil, nil
	}
	if min(y.Input, y.Cached, y.Output, y.Reasoning) < 0 || y.Cached > y.Input || y.Reasoning > y.Output {
		return nil, errors.New("usage: tokens must not be negative, nor cached above input, nor reasoning above output")
	}
	return &chat.Usage{Input: y.Input, Cached: y.Cached, Output: y.Output, Reasoning: y.Reasoning, Known: true}, nil
}

func parsePace(text *string) (*time.Duration, error) {
	if text == nil {
		return nil, nil
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d < 0 || d > time.Hour {
		return nil, fmt.Errorf("pace %q is no duration within 0s and 1h", *text)
	}
	return &d, nil
}

func parseCondition(y conditionYAML) (condition, error) {
	c := condition{from: y.From, contains: y.Contains, notContains: y.NotContains}
	if y.Contains == nil && y.Matches == nil && y.NotContains == nil {
		return c, errors.New("none of contains, matches and not_contains")
	}
	for _, text := range []*string{y.Contains, y.NotContains} {
		if text != nil && *text == "" {
			return c, errors.New("contains and not_contains need a text")
		}
	}
	if y.Call != nil {
		if y.From != "" {
			return c, errors.New("call stands beside from")
		}
		if c.call = *y.Call; c.call < 1 {
			return c, fmt.Errorf("call %d: calls count from 1", c.call)
		}
	}
	if y.Matches != nil {
		re, err := regexp.Compile(*y.Matches)
		if err != nil {
			return c, fmt.Errorf("matches: %w", err)
		}
		c.matches = re
	}
	return c, nil
}

// asWhen checks what a when may not say, and sets its default.
func (c *condition) asWhen() error {
	if c.call != 0 {
		return errors.New("call has no meaning here: write from")
	}
	switch c.from {
	case fromLast, fromAny, fromAssistant:
		return fmt.Errorf("from %q has no meaning here: write user, system, tool or a tool's name", c.from)
	}
	return nil
}
