package inference

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retry says how often and when a request is sent again. The wait before try n+1 is a random time
// up to Base·2ⁿ⁻¹, at most Cap ("full jitter", so that many agents that failed together do not come
// back together), or longer if the provider asked for it.
type Retry struct {
	Tries    int           // in all; 0: 6, 1: never again
	Base     time.Duration // 0: 1 s
	Cap      time.Duration // 0: 1 minute
	AfterCap time.Duration // the longest wait that a Retry-After is given; 0: 10 minutes
}

func (r Retry) withDefaults() Retry {
	if r.Tries <= 0 {
		r.Tries = 6
	}
	if r.Base <= 0 {
		r.Base = time.Second
	}
	if r.Cap <= 0 {
		r.Cap = time.Minute
	}
	if r.AfterCap <= 0 {
		r.AfterCap = 10 * time.Minute
	}
	return r
}

// wait is the time between try n, from 1, and the next.
func (r Retry) wait(n int, after time.Duration, jitter float64) time.Duration {
	limit := r.Base
	for i := 1; i < n && limit < r.Cap; i++ {
		limit *= 2
	}
	d := time.Duration(jitter * float64(min(limit, r.Cap)))
	if after > 0 {
		// Jitter on top: those who were all told "in 30 seconds" must not all come then.
		return min(after, r.AfterCap) + d
	}
	return d
}

// retryAfter reads the header Retry-After (RFC 9110 §10.2.3), seconds or a date. 0: none, or past.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	const year = 365 * 24 * 60 * 60
	if s, err := strconv.ParseFloat(text, 64); err == nil { // some send fractions
		if !(s > 0) {
			return 0
		}
		return time.Duration(min(s, year) * float64(time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
