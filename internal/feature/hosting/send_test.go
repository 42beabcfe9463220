// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func TestRequestsWithoutAnAnswerAreCounted(t *testing.T) {
	model := func(status int) *fault.Fault {
		return (&Service{}).modelFault(&exchange{question: &question{}, v: &variantRoute{}}, status, "")
	}
	for name, c := range map[string]struct {
		f    error
		want int
	}{
		"no answer":         {model(0), 500},
		"a refused load":    {model(507), 507},
		"a bad request":     {model(400), 400},
		"throttled":         {throttled("e", 1), 429},
		"not ready":         {notReady("x"), 429},
		"a missing object":  {refuse("x"), 400},
		"nobody to take it": {unavailable("e"), 503},
	} {
		if got := statusOf(fault.Of(c.f)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
