// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// pauses are the pauses of a policy, in words.
func pauses(r retry) string {
	var out []string
	for i := int64(1); ; i++ {
		d, ok := r.pause(i)
		if !ok {
			return strings.Join(out, " ")
		}
		out = append(out, fmt.Sprint(d.Round(100*time.Millisecond)))
	}
}

func TestPauses(t *testing.T) {
	for _, c := range []struct {
		policy retry
		want   string
	}{
		{standardRetry, "20s 20s 20s"},
		{retry{Backoff: "linear", MinDelay: 1, MaxDelay: 1}, ""},
		{retry{Backoff: "linear", MinDelay: 1, MaxDelay: 5, Retries: 5}, "1s 2s 3s 4s 5s"},
		{retry{Backoff: "arithmetic", MinDelay: 1, MaxDelay: 9, Retries: 3}, "1s 4s 9s"},
		{retry{Backoff: "geometric", MinDelay: 1, MaxDelay: 10, Retries: 5}, "1s 2s 4s 8s 10s"},
		{retry{Backoff: "exponential", MinDelay: 1, MaxDelay: 100, Retries: 3}, "1s 10s 1m40s"},
		{retry{Backoff: "linear", MinDelay: 2, MaxDelay: 4, Retries: 8, NoDelay: 2, MinDelays: 1, MaxDelays: 2}, "0s 0s 2s 2s 3s 4s 4s 4s"},
	} {
		if got := pauses(c.policy); got != c.want {
			t.Errorf("%+v: %s, want %s", c.policy, got, c.want)
		}
	}
	var total time.Duration
	for i := range queueRetry.Retries {
		d, ok := queueRetry.pause(i + 1)
		if !ok || d > 20*time.Second {
			t.Fatalf("pause %d of queues is %v, %v", i+1, d, ok)
		}
		total += d
	}
	if days := total / (24 * time.Hour); days != 23 {
		t.Errorf("queues are tried for %d days, not 23", days)
	}
}

func TestPolicies(t *testing.T) {
	for _, text := range []string{`{"healthyRetryPolicy":{"numRetries":101}}`, `{"healthyRetryPolicy":{"minDelayTarget":0}}`, `{"healthyRetryPolicy":{"minDelayTarget":30}}`,
		`{"healthyRetryPolicy":{"numRetries":1,"numNoDelayRetries":2}}`, `{"healthyRetryPolicy":{"backoffFunction":"random"}}`, `{"nope":1}`, `x`,
		`{"healthyRetryPolicy":{"numRetries":100,"minDelayTarget":60,"maxDelayTarget":60}}`, `{} {}`, `{"healthyRetryPolicy":{"numRetries":-1}}`} {
		if _, err := parseSubscriptionPolicy(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	one, three := `{"healthyRetryPolicy":{"numRetries":1}}`, `{"http":{"defaultHealthyRetryPolicy":{"numRetries":2}}}`
	for _, c := range []struct {
		topic, subscription string
		want                int64
	}{
		{"", "", 3}, {"", one, 1}, {three, "", 2}, {three, one, 1}, {"", "{}", 3},
		{`{"http":{"defaultHealthyRetryPolicy":{"numRetries":2},"disableSubscriptionOverrides":true}}`, one, 2},
		{`{"http":{"disableSubscriptionOverrides":true}}`, one, 3},
	} {
		if r, err := effective(c.topic, c.subscription); err != nil || r.Retries != c.want {
			t.Errorf("%s over %s: %+v, %v", c.subscription, c.topic, r, err)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(`{"healthyRetryPolicy":{"numRetries":10,"minDelayTarget":1,"maxDelayTarget":60,"backoffFunction":"geometric"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseSubscriptionPolicy(text)
		if err != nil || p.Retry == nil {
			return
		}
		for i := range p.Retry.Retries {
			if d, ok := p.Retry.pause(i + 1); !ok || d < 0 || d > maxRetryTime*time.Second {
				t.Errorf("%s: pause %d is %v, %v", text, i+1, d, ok)
			}
		}
	})
}
