// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

func number(v map[string]string, name string) float64 {
	x, err := strconv.ParseFloat(v[name], 64)
	if err != nil {
		panic(err)
	}
	return x
}

// run runs a search of n trials, one after the other.
func run(s Search, n int, f func(map[string]string) float64) []Trial {
	return runFrom(s, nil, n, f)
}

// runFrom is run after what earlier searches have brought.
func runFrom(s Search, earlier []Trial, n int, f func(map[string]string) float64) []Trial {
	h := slices.Clone(earlier)
	for i := range n {
		p, ok := s.Next(h, i)
		if !ok {
			break
		}
		h = append(h, Trial{Point: p, State: Ended, Value: f(p.Values), Order: i + 1})
	}
	return h[len(earlier):]
}

func best(h []Trial) float64 {
	least := math.Inf(1)
	for _, t := range h {
		least = min(least, t.Value)
	}
	return least
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

var mixed = Space{
	{Name: "rate", Min: 1e-6, Max: 1, Scale: Logarithmic}, {Name: "units", Kind: Integer, Min: 1, Max: 20},
	{Name: "kind", Kind: Categorical, Values: []string{"a", "b", "c"}}, {Name: "keep", Min: 0, Max: 0.999, Scale: ReverseLogarithmic},
}

func TestDrawsLieInTheirRanges(t *testing.T) {
	s := Search{Strategy: Random, Spaces: []Space{mixed}, Seed: 3}
	low, ends, kinds, high := 0, map[string]int{}, map[string]int{}, 0
	const n = 4000
	for i := range n {
		p, ok := s.Next(nil, i)
		if !ok {
			t.Fatal("nothing left")
		}
		rate, units, keep := number(p.Values, "rate"), number(p.Values, "units"), number(p.Values, "keep")
		if rate < 1e-6 || rate > 1 || units < 1 || units > 20 || units != math.Trunc(units) || keep < 0 || keep > 0.999 {
			t.Fatalf("%v is out of range", p.Values)
		}
		if rate < 1e-3 {
			low++
		}
		if keep > 0.9 {
			high++
		}
		ends[p.Values["units"]]++
		kinds[p.Values["kind"]]++
	}
	near := func(what string, got int, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 5*math.Sqrt(want) {
			t.Errorf("%s: %d of %d draws, want about %.0f", what, got, n, want)
		}
	}
	near("a logarithmic range below its geometric mean", low, n/2)
	near("a reverse logarithmic range above 0.9", high, n*2.0/3)
	for _, u := range []string{"1", "10", "20"} {
		near("units "+u, ends[u], n/20)
	}
	for k, got := range kinds {
		near("kind "+k, got, n/3)
	}
}

func TestEncodeUndoesDecode(t *testing.T) {
	for i := range 200 {
		x := mixed.draw(Search{Seed: 9}.rng(i))
		for j := range x {
			x[j] = mixed[j].snap(x[j])
		}
		got, ok := mixed.encode(mixed.decode(x))
		for j := range x {
			if !ok || math.Abs(got[j]-x[j]) > 1e-9 {
				t.Fatalf("%v became %v by %v", x, got, mixed.decode(x))
			}
		}
	}
	for _, bad := range []map[string]string{{}, {"rate": "1", "units": "2", "kind": "z", "keep": "0"}, {"rate": "x", "units": "2", "kind": "a", "keep": "0"}} {
		if _, ok := mixed.encode(bad); ok {
			t.Errorf("%v has a place", bad)
		}
	}
	one := Param{Min: 2, Max: 2}
	if u, ok := one.at("2"); !ok || one.value(u) != "2" {
		t.Error("a range of one value")
	}
}

func TestAutoScale(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{{0, 1, Linear}, {0.1, 1, Linear}, {0.001, 1, Logarithmic}, {-1, 1000, Linear}, {1, 4000, Logarithmic}} {
		if got := (Param{Min: c.low, Max: c.high, Scale: Auto}).scale(); got != c.want {
			t.Errorf("[%g, %g] is %s", c.low, c.high, got)
		}
	}
}

func TestGridIsWhole(t *testing.T) {
	s := Search{Strategy: Grid, Spaces: []Space{
		{{Name: "a", Kind: Categorical, Values: []string{"1", "2"}}, {Name: "b", Kind: Categorical, Values: []string{"x", "y", "z"}}},
		{{Name: "c", Kind: Categorical, Values: []string{"p"}}},
	}}
	seen := map[string]bool{}
	n := 0
	for ; ; n++ {
		p, ok := s.Next(nil, n)
		if !ok {
			break
		}
		seen[fmt.Sprint(p.Space, p.Values)] = true
	}
	if n != 7 || len(seen) != 7 || s.Points(100) != 7 || s.Points(3) != 4 {
		t.Errorf("%d points, %d different, %d", n, len(seen), s.Points(100))
	}
	if got := (Space{{Kind: Integer, Min: 1, Max: 1e9}, {Kind: Integer, Min: 1, Max: 1e9}}).Points(); got != maxPoints {
		t.Errorf("%d points", got)
	}
}

// TestSameHistorySameChoice compares a search that remembers what it learned with
// one that learns it anew each time.
func TestSameHistorySameChoice(t *testing.T) {
	sp, f := rosenbrock(3)
	s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 7}
	remembering := run(s.Remembering(), 40, f)
	for _, n := range []int{0, 3, 12, 25, 33, 39} {
		if p, _ := s.Next(remembering[:n], n); !reflect.DeepEqual(p, remembering[n].Point) {
			t.Errorf("trial %d: %v, and %v by what was remembered", n, p, remembering[n].Point)
		}
	}
	if again := run(s.Remembering(), 12, f); !reflect.DeepEqual(again, remembering[:12]) {
		t.Error("the same seed gives another search")
	}
	s.Seed++
	if other := run(s, 2, f); reflect.DeepEqual(other, remembering[:2]) {
		t.Error("another seed gives the same search")
	}
}

// TestBayesianFindsTheBest has thresholds above the medians that were seen when it
// was written, and below half of what random points give. test/quality compares
// more functions with another program.
func TestBayesianFindsTheBest(t *testing.T) {
	two, banana := rosenbrock(2)
	for _, c := range []struct {
		name  string
		space Space
		f     func(map[string]string) float64
		want  float64 // median of the best of 40 trials
	}{
		{"Rosenbrock", two, banana, 3},
		{"mixed", mixed, func(v map[string]string) float64 {
			e := math.Log10(number(v, "rate")) + 3
			u := number(v, "units") - 7
			extra := map[string]float64{"a": 0.3, "b": 0, "c": 0.6}[v["kind"]]
			k := number(v, "keep") - 0.9
			return e*e + 0.02*u*u + extra + 3*k*k
		}, 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found, random []float64
			for seed := range uint64(5) {
				found = append(found, best(run(Search{Strategy: Bayesian, Spaces: []Space{c.space}, Seed: seed}.Remembering(), 40, c.f)))
				random = append(random, best(run(Search{Strategy: Random, Spaces: []Space{c.space}, Seed: seed}, 40, c.f)))
			}
			if got := median(found); got > c.want || got > median(random)/2 {
				t.Errorf("median of the best is %g, of random points %g", got, median(random))
			}
		})
	}
}

// TestSideBySide begins eight trials before any has ended, and eight more later:
// they are not the same, nor close together.
func TestSideBySide(t *testing.T) {
	sp, f := rosenbrock(2)
	s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 2}.Remembering()
	h := run(s, 12, f)
	for n := 12; n < 20; n++ {
		p, _ := s.Next(h, n)
		x, _ := sp.encode(p.Values)
		for _, o := range h[12:] {
			y, _ := sp.encode(o.Values)
			if d := math.Hypot(x[0]-y[0], x[1]-y[1]); d < 1e-3 {
				t.Errorf("trial %d is %g from one that runs", n, d)
			}
		}
		h = append(h, Trial{Point: p})
	}
}

func TestFewPointsAreTriedOnce(t *testing.T) {
	sp := Space{{Name: "n", Kind: Integer, Min: 1, Max: 4}, {Name: "k", Kind: Categorical, Values: []string{"a", "b", "c"}}}
	for _, strategy := range []string{Bayesian, Random} {
		h := run(Search{Strategy: strategy, Spaces: []Space{sp}, Seed: 1}, 12, func(v map[string]string) float64 { return number(v, "n") })
		seen := map[string]bool{}
		for _, t := range h {
			seen[fmt.Sprint(t.Values)] = true
		}
		if least := map[string]int{Bayesian: 12, Random: 10}[strategy]; len(seen) < least {
			t.Errorf("%s: %d of 12 points were tried", strategy, len(seen))
		}
	}
}

// TestGoodSpaceGetsMore has two definitions of which one is better.
func TestGoodSpaceGetsMore(t *testing.T) {
	good := Space{{Name: "x", Min: 0, Max: 1}}
	bad := Space{{Name: "y", Min: 0, Max: 1}, {Name: "z", Min: 0, Max: 1}}
	h := run(Search{Strategy: Bayesian, Spaces: []Space{bad, good}, Seed: 1}.Remembering(), 30, func(v map[string]string) float64 {
		if _, ok := v["x"]; ok {
			return math.Pow(number(v, "x")-0.7, 2)
		}
		return 1 + number(v, "y")
	})
	n := 0
	for _, t := range h {
		n += t.Space
	}
	if n < 18 || best(h) > 1e-3 {
		t.Errorf("%d of 30 trials are of the better space, the best is %g", n, best(h))
	}
}

func TestFailedTrialsAreNoEnd(t *testing.T) {
	sp, _ := rosenbrock(2)
	s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 1}
	var h []Trial
	for n := range 20 {
		p, ok := s.Next(h, n)
		if !ok || tried(h, p) {
			t.Fatalf("trial %d: %v %v", n, p, ok)
		}
		h = append(h, Trial{Point: p, State: Failed, Order: n + 1})
	}
	h[4].State, h[4].Value = Ended, math.NaN()
	h[5].State, h[5].Value = Ended, 1
	h[6].State, h[6].Value = Ended, 1
	if _, ok := s.Next(h, 20); !ok {
		t.Error("nothing left")
	}
}

// TestWarmStart gives a search what an earlier one has brought, of the same
// objective and of one on another scale.
func TestWarmStart(t *testing.T) {
	sp, f := rosenbrock(3)
	var cold, same, transfer []float64
	for seed := range uint64(3) {
		s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 100 + seed}
		earlier := run(Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: seed}.Remembering(), 30, f)
		own, other := slices.Clone(earlier), slices.Clone(earlier)
		for i := range earlier {
			own[i].Source = -1
			other[i].Source, other[i].Value = 1, 1e4+7*other[i].Value
		}
		cold = append(cold, best(run(s, 8, f)))
		same = append(same, best(runFrom(s, own, 8, f)))
		transfer = append(transfer, best(runFrom(s, other, 8, f)))
	}
	if c, s, tr := median(cold), median(same), median(transfer); s > c/2 || tr > c/2 {
		t.Errorf("the best of 8 is %g alone, %g after the same search, %g after one on another scale", c, s, tr)
	}
}

func curves(state State, all ...[]float64) []Trial {
	var out []Trial
	for _, c := range all {
		out = append(out, Trial{State: state, Curve: c})
	}
	return out
}

func TestStop(t *testing.T) {
	ended := curves(Ended, []float64{5, 4, 3, 2}, []float64{6, 5, 4, 3}, []float64{5, 3, 2, 1}, []float64{7, 6, 5, 4})
	asha := Search{Strategy: Hyperband, MinResource: 2, MaxResource: 20}
	for _, c := range []struct {
		name string
		s    Search
		h    []Trial
		want []int
	}{
		{"a curve above the median of the averages ends", Search{}, append(slices.Clone(ended), curves(Running, []float64{9, 9, 9})...), []int{4}},
		{"one below goes on", Search{}, append(slices.Clone(ended), curves(Running, []float64{9, 9, 3})...), nil},
		{"higher is worse only when lower is better", Search{Maximize: true}, append(slices.Clone(ended), curves(Running, []float64{9, 9, 9})...), nil},
		{"lower is worse then", Search{Maximize: true}, append(slices.Clone(ended), curves(Running, []float64{1, 1, 1})...), []int{4}},
		{"one epoch is too early to tell", Search{}, append(slices.Clone(ended), curves(Running, []float64{9})...), nil},
		{"three curves are too few", Search{}, append(slices.Clone(ended[:3]), curves(Running, []float64{9, 9, 9})...), nil},
		{"curves that end earlier do not count", Search{}, append(slices.Clone(ended), curves(Running, []float64{9, 9, 9, 9, 9})...), nil},
		{"the first at a rung goes on", asha, curves(Running, []float64{9, 9}), nil},
		{"nobody is judged before the first rung", asha, curves(Running, []float64{9}, []float64{1, 1}), nil},
		{"of three the best goes on", asha, curves(Running, []float64{9, 3}, []float64{9, 1}, []float64{9, 2}), []int{0, 2}},
		{"of six the best two", asha, curves(Running, []float64{9, 3}, []float64{9, 1}, []float64{9, 2}, []float64{9, 4}, []float64{9, 5}, []float64{9, 6}), []int{0, 3, 4, 5}},
		{"those that were stopped count where they came to", asha, append(curves(Ended, []float64{1, 1}, []float64{1, 2}), curves(Running, []float64{0, 3, 0})...), []int{2}},
		{"the last rung that was reached counts", asha, append(curves(Ended, []float64{1, 1}, []float64{1, 2}), curves(Running, []float64{0, 3, 0, 0, 0, 1})...), nil},
		{"there is no rung at the end", Search{Strategy: Hyperband, MinResource: 2, MaxResource: 6},
			append(curves(Ended, []float64{1, 1, 1, 1, 1, 1}), curves(Running, []float64{0, 0, 0, 0, 0, 9})...), nil},
		{"but what goes on beyond it ends", Search{Strategy: Hyperband, MinResource: 2, MaxResource: 6}, curves(Running, []float64{1, 1, 1, 1, 1, 1, 1}), []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.s.Stop(c.h); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestConverged(t *testing.T) {
	sp := Space{{Name: "x", Min: 0, Max: 1}}
	bowl := func(v map[string]string) float64 { return 1 + math.Pow(number(v, "x")-0.4, 2) }
	s := Search{Strategy: Bayesian, Spaces: []Space{sp}, Seed: 1}.Remembering()
	h := run(s, 40, bowl)
	if s.Converged(h[:9]) {
		t.Error("nine trials are too few")
	}
	if !s.Converged(h) {
		t.Error("a bowl of one dimension is known after 40 trials")
	}
	deep, f := rosenbrock(6)
	s = Search{Strategy: Random, Spaces: []Space{deep}, Seed: 1}
	if s.Converged(run(s, 15, f)) {
		t.Error("a valley in six dimensions is not known after 15 trials")
	}
}
