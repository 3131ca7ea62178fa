package gate

import "strings"

// What the model is told when its call came to nothing. It should learn what it may do instead, and
// not try to get around a no.
const (
	expiredText = "The call was not made: it needed the approval of a person, and nobody answered in time. " +
		"Go on without it if you can, or say that you need it."
	skippedText = "The call was interrupted and may have happened or not; it is not repeated. " +
		"Look at what is there before you try it again."
)

func refusedText(reason string) string {
	if reason == "" {
		return "The call was not made: a person refused it. Do not try it in another way; go on without it, or say what you need it for."
	}
	return "The call was not made: a person refused it and says: " + reason
}

func deniedText(d Decision) string {
	var b strings.Builder
	b.WriteString("The call was not made: policy denies it.")
	for _, r := range d.Reasons {
		b.WriteString("\n- ")
		switch {
		case r.Text == "":
			b.WriteString("policy " + r.ID)
		case r.ID == "":
			b.WriteString(r.Text)
		default:
			b.WriteString(r.Text + " (policy " + r.ID + ")")
		}
		if r.Advice != "" {
			b.WriteString(". " + r.Advice)
		}
	}
	return b.String()
}
