package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tachograph/schemas/access"
)

func (c *cli) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Say who may ask at addresses that are not this machine's alone",
		Long: "`tacho up --http 0.0.0.0:7080 --tls-cert FILE --tls-key FILE` is reached from other machines, over TLS and with a token: so are\n" +
			"--otlp-grpc and --otlp-http. Browsers are asked for theirs once; programs send it as `Authorization: Bearer TOKEN`, agents with\n" +
			"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN. A server that is up need not be restarted.",
		Args: arguments(0, 0, "add, ls or rm"),
	}
	cmd.AddCommand(c.tokenAddCommand(), c.tokenLsCommand(), c.tokenRmCommand())
	return cmd
}

func (c *cli) tokenAddCommand() *cobra.Command {
	var role, expires string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token, and print it this once",
		Long: "Makes a token of that name and prints it; only its hash is kept. Journals name who approved, stopped or forked by it. Roles:\n" +
			"  viewer    looks at runs, and at all that was said, done and changed in them, and verifies them\n" +
			"  operator  starts agents too, in any directory that the server can read; steers, approves, forks\n" +
			"  sender    sends telemetry (OTLP) and sees nothing: for the agents of others\n" +
			"  admin     all of that",
		Args: arguments(1, 1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			life, err := lifeOf(expires)
			if err != nil {
				return usage(fmt.Errorf("--expires: %w", err))
			}
			secret, made, err := access.TokensOf(c.data).Add(args[0], access.Role(role), life)
			if errors.Is(err, access.ErrUnfit) {
				err = usage(err)
			}
			if err != nil {
				return err
			}
			return c.showNewToken(secret, made)
		},
	}
	cmd.Flags().StringVar(&role, "role", string(access.Viewer), "viewer, operator, sender or admin")
	cmd.Flags().StringVar(&expires, "expires", "90d", "how long it lasts, as 12h or 90d; never")
	return cmd
}

var days = regexp.MustCompile(`^([1-9][0-9]{0,3})d$`)

func lifeOf(text string) (time.Duration, error) {
	if text == "never" {
		return 0, nil
	}
	if m := days.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		return time.Duration(n) * 24 * time.Hour, err
	}
	life, err := time.ParseDuration(text)
	if err != nil || life < time.Second {
		return 0, fmt.Errorf("%.40q: want a time, as 12h or 90d, or never", text)
	}
	return life, nil
}

// shownToken is what may be seen of a token.
type shownToken struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Created time.Time   `json:"created"`
	Expires *time.Time  `json:"expires,omitempty"`
	Token   string      `json:"token,omitempty"`
}

func shown(t access.Token) shownToken {
	return shownToken{Name: t.Name, Role: t.Role, Created: t.Created, Expires: t.Expires}
}

func (c *cli) showNewToken(secret string, made access.Token) error {
	if c.json {
		s := shown(made)
		s.Token = secret
		return c.printJSON(s)
	}
	c.say("%s", secret)
	// Not to stdout: a script keeps that.
	fmt.Fprintf(c.err, "It is shown this once. %s may %s, %s; `tacho token rm %s` takes it back.\n", made.Name, listed(access.Roles[made.Role]), until(made.Expires, time.Now()), made.Name)
	return nil
}

func (c *cli) tokenLsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the tokens",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			tokens, err := access.TokensOf(c.data).List()
			if err != nil {
				return err
			}
			list := []shownToken{}
			for _, t := range tokens {
				list = append(list, shown(t))
			}
			if c.json {
				return c.printJSON(list)
			}
			if len(list) == 0 {
				c.say("No tokens. `tacho token add NAME` makes one; on 127.0.0.1 nobody needs any.")
			}
			for _, t := range list {
				c.say("%-24s  %-8s  made %s, %s", t.Name, t.Role, t.Created.Local().Format("2006-01-02 15:04"), until(t.Expires, time.Now()))
			}
			return nil
		},
	}
}

func (c *cli) tokenRmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Take a token back: it lets nobody in from now on",
		Args:  arguments(1, 1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := access.TokensOf(c.data).Remove(args[0]); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]string{"removed": args[0]})
			}
			c.say("The token of %s is taken back. Whoever used it is let in no more.", args[0])
			return nil
		},
	}
}

func until(expires *time.Time, now time.Time) string {
	switch {
	case expires == nil:
		return "without an end"
	case now.After(*expires):
		return "expired " + expires.Local().Format("2006-01-02 15:04")
	}
	return "until " + expires.Local().Format("2006-01-02 15:04")
}

func listed(rights []access.Right) (text string) {
	for i, r := range rights {
		switch {
		case i > 0 && i == len(rights)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += string(r)
	}
	return text
}
