// SPDX-License-Identifier: Apache-2.0

package firstparty

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRanks(t *testing.T) {
	mixed := Sorted([]Scored{ScoredOf(3, 0), ScoredOf(-1, 1), ScoredOf(-1, 0), ScoredOf(2, 1), ScoredOf(-5, 0)})
	if mixed[0].Score() != -5 || mixed[4].Score() != 3 || mixed[3].Label() != 1 {
		t.Errorf("sorted as %v", mixed)
	}
	// Pairs of a 1 and a 0: (-1,3) no, (-1,-1) half, (-1,-5) yes, (2,3) no, (2,-1) yes, (2,-5) yes.
	if got := AreaUnder(mixed); math.Abs(got-3.5/6) > 1e-12 {
		t.Errorf("area %v, want %v", got, 3.5/6)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var many []Scored
	for range 5000 {
		many = append(many, ScoredOf(float32(rng.NormFloat64()*math.Exp(20*rng.NormFloat64())), float32(rng.IntN(2))))
	}
	want := slices.Clone(many)
	slices.SortFunc(want, func(a, b Scored) int { return int(math.Copysign(1, float64(a.Score())-float64(b.Score()))) })
	for i, v := range Sorted(many) {
		if v.Score() != want[i].Score() {
			t.Fatalf("%d of the sorted scores is %v, want %v", i, v.Score(), want[i].Score())
		}
	}
	if got := AreaUnder([]Scored{ScoredOf(1, 1), ScoredOf(2, 1)}); got != 0.5 {
		t.Errorf("area of one class %v", got)
	}
}
