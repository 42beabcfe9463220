// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"math"
	"testing"
)

// rosenbrock is the chain of banana-shaped valleys in d dimensions.
func rosenbrock(d int) (Space, func(map[string]string) float64) {
	var sp Space
	for i := range d {
		sp = append(sp, Param{Name: string(rune('a' + i)), Min: -5, Max: 10, Scale: Linear})
	}
	return sp, func(v map[string]string) float64 {
		sum := 0.0
		for i := range d - 1 {
			x, y := number(v, sp[i].Name), number(v, sp[i+1].Name)
			sum += 100*(y-x*x)*(y-x*x) + (1-x)*(1-x)
		}
		return sum
	}
}

// BenchmarkNext is the time to choose the last of 200 trials after the others.
func BenchmarkNext(b *testing.B) {
	sp, f := rosenbrock(6)
	s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 1}.Remembering()
	h := run(s, 199, f)
	b.ResetTimer()
	for b.Loop() {
		s.Next(h, 199)
	}
}

// BenchmarkSearch is the time to choose all of 200 trials, what is learned
// included.
func BenchmarkSearch(b *testing.B) {
	sp, f := rosenbrock(6)
	for b.Loop() {
		best := math.Inf(1)
		for _, t := range run(Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 1}.Remembering(), 200, f) {
			best = min(best, t.Value)
		}
		b.ReportMetric(best, "best")
	}
}
