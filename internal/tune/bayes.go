// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// The Bayesian strategy. The first points fill the space evenly; then each is
// where the expected improvement over the best is largest, by a Gaussian process
// for each space over what has been observed. A trial that still runs counts as
// one that has brought what is expected of it, so that trials side by side are
// not the same.
const (
	// maxObserved is how many observations a process has at most: with more it
	// would take longer to choose a trial than to run a short one.
	maxObserved = 120
	// learnAlways is up to how many observations theta is learned anew after each;
	// then again whenever there are learnGrowth times as many.
	learnAlways = 20
	learnGrowth = 1.2
	learnSteps  = 30
)

// warmUp is how many points of a space are spread evenly before the process is
// asked.
func warmUp(s Space, spaces int) int {
	n := min(len(s)+2, 10)
	if spaces > 1 {
		n = max(2, n/2)
	}
	return min(n, s.Points())
}

// observed is an ended trial of one space.
type observed struct {
	x     []float64
	raw   float64 // lower is better
	y     float64 // raw as the process takes it: see warp
	order int
}

// belief is what is known of one space.
type belief struct {
	*process
	own     int // observations of this search
	pending int // trials that run
	waiting [][]float64
}

func (s Search) bayesian(history []Trial, n int) (Point, bool) {
	rng := s.rng(n)
	beliefs, some := s.beliefs(history, warp)
	// Each space is filled in turn.
	fill, least := -1, math.MaxInt
	for i, b := range beliefs {
		if tried := b.own + b.pending; tried < warmUp(s.Spaces[i], len(s.Spaces)) && tried < least {
			fill, least = i, tried
		}
	}
	if fill >= 0 || !some {
		fill = max(fill, 0)
		if p, ok := s.guess(history, fill); ok {
			return p, true
		}
		return s.spread(history, fill, least, rng)
	}
	found, top := Point{}, math.Inf(-1)
	improveOn := incumbent(beliefs) - explore(n)
	for i, b := range beliefs {
		if b.process == nil || len(b.y) == 0 {
			continue
		}
		if x, v, ok := b.improve(s.Spaces[i], improveOn, rng, func(x []float64) bool {
			return tried(history, Point{i, s.Spaces[i].decode(x)})
		}); ok && v > top {
			found, top = Point{i, s.Spaces[i].decode(x)}, v
		}
	}
	if math.IsInf(top, -1) {
		return s.spread(history, fill, n, rng)
	}
	return found, true
}

// spread gives the kth of points that fill a space evenly: in each direction
// steps of an irrational number, from a random place on. Categories take turns.
//
// Source: Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences",
// 2018: powers of one over the root of x^(d+1) = x + 1.
func (s Search) spread(history []Trial, space, k int, rng *rand.Rand) (Point, bool) {
	space = max(space, 0)
	sp := s.Spaces[space]
	root := 1.5
	for range 50 {
		root = math.Pow(1+root, 1/float64(len(sp)+1))
	}
	start := s.rng(-1 - space).Float64
	x := make([]float64, len(sp))
	for j, p := range sp {
		_, u := math.Modf(start() + float64(k+1)*math.Pow(root, -float64(j+1)))
		if p.Kind == Categorical {
			u = math.Floor(u * float64(len(p.Values)))
		}
		x[j] = u
	}
	p := Point{space, sp.decode(x)}
	for range 20 {
		if !tried(history, p) {
			break
		}
		p = Point{space, sp.decode(sp.draw(rng))}
	}
	return p, true
}

// guess gives the best point of earlier searches that was not tried yet, for the
// first trials of a search: at most half of those that fill the space.
func (s Search) guess(history []Trial, space int) (Point, bool) {
	var earlier []Trial
	begun := 0
	for _, t := range history {
		switch {
		case t.Source == 0 && t.Space == space:
			begun++
		case t.Source > 0 && t.Space == space && t.State == Ended:
			earlier = append(earlier, t)
		}
	}
	if begun >= max(1, warmUp(s.Spaces[space], len(s.Spaces))/2) {
		return Point{}, false
	}
	slices.SortStableFunc(earlier, func(a, b Trial) int {
		if s.Maximize {
			return cmp.Compare(b.Value, a.Value)
		}
		return cmp.Compare(a.Value, b.Value)
	})
	for _, t := range earlier {
		x, ok := s.Spaces[space].encode(t.Values)
		if p := (Point{space, s.Spaces[space].decode(x)}); ok && !tried(history, p) {
			return p, true
		}
	}
	return Point{}, false
}

// beliefs are what the history tells of each space, with values as scaled gives
// them; some is false when no trial of this search has ended.
func (s Search) beliefs(history []Trial, scaled scaling) (out []belief, some bool) {
	sign := 1.0
	if s.Maximize {
		sign = -1
	}
	out = make([]belief, len(s.Spaces))
	all := make([][]observed, len(s.Spaces))
	others := map[int][]observed{} // by source and space
	key := func(source, space int) int { return source*len(s.Spaces) + space }
	order := 0
	for _, t := range history {
		if t.Space >= len(s.Spaces) {
			continue
		}
		sp := s.Spaces[t.Space]
		x, ok := sp.encode(t.Values)
		if t.Source == 0 && t.State == Running {
			out[t.Space].pending++
			if ok {
				out[t.Space].waiting = append(out[t.Space].waiting, x)
			}
		}
		if t.State == Failed && t.Source == 0 {
			out[t.Space].own++ // it has had its turn
		}
		if t.State != Ended || !ok || math.IsNaN(t.Value) || math.IsInf(t.Value, 0) {
			continue
		}
		o := observed{x: x, raw: sign * t.Value, order: t.Order}
		if t.Source > 0 {
			others[key(t.Source, t.Space)] = append(others[key(t.Source, t.Space)], o)
			continue
		}
		order++
		if o.order == 0 {
			o.order = order
		}
		if t.Source < 0 {
			o.order = 0
		}
		all[t.Space] = append(all[t.Space], o)
		if t.Source == 0 {
			out[t.Space].own++
		}
	}
	// Values of all spaces are compared, so they are scaled together.
	var values []float64
	for _, obs := range all {
		for _, o := range obs {
			values = append(values, o.raw)
		}
	}
	if len(values) == 0 {
		return out, false
	}
	values = scaled.of(values)
	for i := range out {
		obs := all[i]
		for k := range obs {
			obs[k].y, values = values[0], values[1:]
		}
		slices.SortStableFunc(obs, func(a, b observed) int { return cmp.Compare(a.order, b.order) })
		var more []observed
		var sources []int
		for source := 1; source <= maxSources; source++ {
			o := others[key(source, i)]
			if len(o) == 0 {
				continue
			}
			for _, v := range rescale(o, scaled) {
				more, sources = append(more, v), append(sources, source)
			}
		}
		out[i].process = s.process(i, obs, more, sources, scaled)
		for _, x := range out[i].waiting {
			if out[i].process != nil {
				mean, _ := out[i].predict(x, nil, nil)
				out[i].process = out[i].with(x, mean)
			}
		}
	}
	return out, true
}

// rescale gives observations with values scaled by themselves alone.
func rescale(obs []observed, scaled scaling) []observed {
	if len(obs) == 0 {
		return nil
	}
	y := make([]float64, len(obs))
	for i, o := range obs {
		y[i] = o.raw
	}
	out := slices.Clone(obs)
	for i, v := range scaled.of(y) {
		out[i].y = v
	}
	return out
}

// maxSources is how many earlier searches there may be.
const maxSources = 5

// process makes the process of a space. Its theta is learned from the first so
// many observations, so that it is the same however often it is asked for.
func (s Search) process(space int, obs, more []observed, sources []int, scaled scaling) *process {
	if len(obs)+len(more) == 0 {
		return nil
	}
	sp := s.Spaces[space]
	build := func(obs []observed) *process {
		p := &process{space: sp}
		for _, o := range most(obs, maxObserved) {
			p.x, p.y, p.source = append(p.x, o.x), append(p.y, o.y), append(p.source, 0)
		}
		room := max(maxObserved-len(p.x), maxObserved/3)
		for k, o := range more {
			if k*room/len(more) == (k-1)*room/len(more) && k > 0 && len(more) > room {
				continue // evenly thinned
			}
			p.x, p.y, p.source = append(p.x, o.x), append(p.y, o.y), append(p.source, sources[k])
		}
		return p
	}
	// What is learned from the first n must not depend on what came after them.
	theta := s.theta(memoKey{space: space, scaling: scaled}, len(obs), func(n int) *process { return build(rescale(obs[:n], scaled)) })
	p := build(obs)
	p.condition(theta)
	return p
}

// theta is learned from the first m observations, m the last at which it is
// learned up to n: anew where there are few, further from where it was later.
func (s Search) theta(key memoKey, n int, build func(n int) *process) []float64 {
	m := min(n, learnAlways)
	var theta []float64
	for next := m; next <= n; next = max(next+1, int(learnGrowth*float64(next))) {
		key.n = next
		if kept, ok := s.memo.get(key); ok {
			theta = kept
			continue
		}
		p := build(next)
		if theta == nil {
			theta = p.learn(learnSteps)
		} else {
			theta = p.learn(learnSteps/2, theta)
		}
		s.memo.put(key, theta)
	}
	return theta
}

// most gives at most n observations: the best half, and of the others the latest.
func most(obs []observed, n int) []observed {
	if len(obs) <= n {
		return obs
	}
	byValue := slices.Clone(obs)
	slices.SortStableFunc(byValue, func(a, b observed) int { return cmp.Compare(a.raw, b.raw) })
	keep := slices.Clone(byValue[:n/2])
	rest := byValue[n/2:]
	slices.SortStableFunc(rest, func(a, b observed) int { return cmp.Compare(b.order, a.order) })
	return append(keep, rest[:n-n/2]...)
}

// memoKey is what theta was learned for: a space, its first n observations, and
// how their values were scaled.
type memoKey struct {
	space, n int
	scaling  scaling
}

// memo keeps what was learned. A nil memo keeps nothing.
type memo struct{ theta map[memoKey][]float64 }

func (m *memo) get(key memoKey) ([]float64, bool) {
	if m == nil {
		return nil, false
	}
	theta, ok := m.theta[key]
	return theta, ok
}

func (m *memo) put(key memoKey, theta []float64) {
	if m != nil {
		m.theta[key] = theta
	}
}

// Remembering gives a search that keeps what it has learned between two choices.
// It chooses the same, only quicker, and is for one goroutine at a time.
func (s Search) Remembering() Search {
	s.memo = &memo{theta: map[memoKey][]float64{}}
	return s
}
