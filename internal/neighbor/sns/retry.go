// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// retry is a delivery policy: how often a failed delivery to an endpoint is
// tried again, and after which pauses. First NoDelay times at once, then
// MinDelays times after MinDelay seconds, then with pauses that grow, and at
// last MaxDelays times after MaxDelay seconds; Retries times in all.
//
// Source: Amazon SNS Developer Guide, "Creating a delivery policy".
type retry struct {
	MinDelay  int64  `json:"minDelayTarget"`
	MaxDelay  int64  `json:"maxDelayTarget"`
	Retries   int64  `json:"numRetries"`
	MaxDelays int64  `json:"numMaxDelayRetries"`
	NoDelay   int64  `json:"numNoDelayRetries"`
	MinDelays int64  `json:"numMinDelayRetries"`
	Backoff   string `json:"backoffFunction"`
}

// standardRetry is the service's own policy for HTTP and HTTPS.
var standardRetry = retry{MinDelay: 20, MaxDelay: 20, Retries: 3, Backoff: "linear"}

// topicPolicy is the DeliveryPolicy of a topic.
type topicPolicy struct {
	HTTP struct {
		Retry    *retry `json:"defaultHealthyRetryPolicy"`
		Override bool   `json:"disableSubscriptionOverrides"`
	} `json:"http"`
}

// subscriptionPolicy is that of a subscription.
type subscriptionPolicy struct {
	Retry *retry `json:"healthyRetryPolicy"`
}

func strict(text string, v any) error {
	if text == "" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

// parseTopicPolicy reads a topic's policy; "" is the service's own.
func parseTopicPolicy(text string) (topicPolicy, error) {
	var p topicPolicy
	given := standardRetry
	p.HTTP.Retry = &given // members that are left out keep these values
	if err := strict(text, &p); err != nil {
		return p, err
	}
	if p.HTTP.Retry == nil {
		p.HTTP.Retry = &standardRetry
	}
	return p, p.HTTP.Retry.check()
}

func (p topicPolicy) topicText() string {
	b, _ := json.Marshal(map[string]any{"http": map[string]any{"defaultHealthyRetryPolicy": p.HTTP.Retry, "disableSubscriptionOverrides": p.HTTP.Override}})
	return string(b)
}

// parseSubscriptionPolicy reads a subscription's policy; Retry is nil of none.
func parseSubscriptionPolicy(text string) (subscriptionPolicy, error) {
	var p struct {
		Retry json.RawMessage `json:"healthyRetryPolicy"`
	}
	var out subscriptionPolicy
	if err := strict(text, &p); err != nil || p.Retry == nil || string(p.Retry) == "null" {
		return out, err
	}
	given := standardRetry
	if err := strict(string(p.Retry), &given); err != nil {
		return out, err
	}
	out.Retry = &given
	return out, given.check()
}

// effective is the policy that holds for a subscription.
func effective(topicText, subscriptionText string) (retry, error) {
	t, err := parseTopicPolicy(topicText)
	if err != nil {
		return standardRetry, err
	}
	s, err := parseSubscriptionPolicy(subscriptionText)
	if err != nil || s.Retry == nil || t.HTTP.Override {
		return *t.HTTP.Retry, err
	}
	return *s.Retry, nil
}

// maxRetryTime is how long the service goes on trying, in seconds.
const maxRetryTime = 3600

func (r retry) check() error {
	switch {
	case r.MinDelay < 1 || r.MinDelay > r.MaxDelay:
		return errors.New("minDelayTarget must be at least 1 and at most maxDelayTarget")
	case r.MaxDelay > maxRetryTime:
		return fmt.Errorf("maxDelayTarget must be at most %d", maxRetryTime)
	case r.Retries < 0 || r.Retries > 100:
		return errors.New("numRetries must be between 0 and 100")
	case r.NoDelay < 0 || r.MinDelays < 0 || r.MaxDelays < 0:
		return errors.New("numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries must not be negative")
	case r.NoDelay > 100 || r.MinDelays > 100 || r.MaxDelays > 100 || r.NoDelay+r.MinDelays+r.MaxDelays > r.Retries:
		return errors.New("numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries must be at most numRetries together")
	}
	switch r.Backoff {
	case "linear", "arithmetic", "geometric", "exponential":
	default:
		return fmt.Errorf("backoffFunction %q is none of linear, arithmetic, geometric, exponential", r.Backoff)
	}
	var total time.Duration
	for i := range r.Retries {
		d, _ := r.pause(i + 1)
		total += d
	}
	if total > maxRetryTime*time.Second {
		return fmt.Errorf("the pauses are %v together, which is more than %d seconds", total, maxRetryTime)
	}
	return nil
}

// pause is how long to wait after the failed-th try, counted from 1, has
// failed; false when it was the last.
func (r retry) pause(failed int64) (time.Duration, bool) {
	if failed > r.Retries {
		return 0, false
	}
	seconds := func(n float64) (time.Duration, bool) { return time.Duration(n * float64(time.Second)), true }
	low, high := float64(r.MinDelay), float64(r.MaxDelay)
	growing := r.Retries - r.NoDelay - r.MinDelays - r.MaxDelays
	n := failed - r.NoDelay - r.MinDelays // of the pauses that grow, counted from 1
	switch {
	case failed <= r.NoDelay:
		return 0, true
	case n <= 0:
		return seconds(low)
	case n > growing:
		return seconds(high)
	case growing == 1:
		return seconds(low)
	}
	x := float64(n-1) / float64(growing-1) // 0 to 1
	switch r.Backoff {
	case "arithmetic": // the steps grow by the same amount each
		x = x * (x + 1) / 2
	case "exponential":
		return seconds(low * math.Pow(high/low, x))
	case "geometric": // doubles, up to the longest
		return seconds(math.Min(high, low*math.Pow(2, float64(n-1))))
	}
	return seconds(low + (high-low)*x)
}
