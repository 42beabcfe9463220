// SPDX-License-Identifier: Apache-2.0

// Package tune chooses hyperparameters. Every strategy is a function of what was
// tried before: the same search and history give the same choice, so a search of
// a thousand trials is a unit test, and one that was cut off goes on as if it
// had not been. Nothing here has a clock, or reads or writes anything.
//
// Strategies are Random, Grid, Bayesian (a Gaussian process and its expected
// improvement: bayes.go, gp.go) and Hyperband (asynchronous successive halving:
// halving.go). Stop tells which running trials are not worth going on with,
// Converged when there is little left to gain.
package tune

import (
	"math/rand/v2"
)

// The strategies, named as the service names them.
const (
	Random    = "Random"
	Grid      = "Grid"
	Bayesian  = "Bayesian"
	Hyperband = "Hyperband"
)

// Search is what is looked for, and how.
type Search struct {
	Strategy string
	Spaces   []Space // one for each training job definition
	Maximize bool    // the objective is better when it is higher
	Seed     uint64
	// MinResource and MaxResource are the epochs of Hyperband's first rung and
	// of a whole training job.
	MinResource, MaxResource int

	memo *memo
}

// State is how far a trial is.
type State int

// Running is a trial that was begun, Ended one whose objective is known, and
// Failed one that ended without an objective.
const (
	Running State = iota
	Ended
	Failed
)

// Trial is one point that was tried or is being tried.
type Trial struct {
	Point
	State State
	Value float64 // objective of an Ended trial
	Order int     // 1 of the trial of this search that ended first; 0 when that is not known
	// Curve is the objective after each epoch so far, where the job tells it.
	Curve []float64
	// Source tells where the trial comes from: 0 is this search. Trials with the
	// same number above 0 are of an earlier search whose values may be of another
	// scale, and say only where to look. Below 0 is an earlier search whose
	// values count as this one's.
	Source int
}

// Point is one choice of hyperparameters.
type Point struct {
	Space  int               // index in Search.Spaces
	Values map[string]string // by name, as the training job gets them
}

// Next chooses the point of the trial with the number n, counted from 0. history
// holds all trials of the search in the order in which they were begun, and those
// of earlier searches anywhere; ok is false when there is nothing left to try.
func (s Search) Next(history []Trial, n int) (p Point, ok bool) {
	switch s.Strategy {
	case Grid:
		return s.grid(n)
	case Bayesian:
		return s.bayesian(history, n)
	}
	return s.random(history, n)
}

// rng gives the random numbers of one trial: those of the trial n do not depend
// on how many were drawn for the trials before.
func (s Search) rng(n int) *rand.Rand {
	return rand.New(rand.NewPCG(s.Seed, 0x9e3779b97f4a7c15*uint64(n+1)))
}

// random draws the point of the trial n. Where few points are left a point is not
// tried twice if one of some draws is new.
func (s Search) random(history []Trial, n int) (Point, bool) {
	rng := s.rng(n)
	space := n % len(s.Spaces) // each definition gets its share
	var p Point
	for range 20 {
		p = Point{space, s.Spaces[space].decode(s.Spaces[space].draw(rng))}
		if !tried(history, p) {
			break
		}
	}
	return p, true
}

// tried tells whether the search itself has tried a point.
func tried(history []Trial, p Point) bool {
	for _, t := range history {
		if t.Source == 0 && t.Space == p.Space && same(t.Values, p.Values) {
			return true
		}
	}
	return false
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// grid is the nth point of all that there are: the last hyperparameter of the
// last space moves fastest.
func (s Search) grid(n int) (Point, bool) {
	for i, space := range s.Spaces {
		size := space.Points()
		if n < size {
			return Point{i, space.nth(n)}, true
		}
		n -= size
	}
	return Point{}, false
}

// Points is how many points a grid has, at most limit+1.
func (s Search) Points(limit int) int {
	sum := 0
	for _, space := range s.Spaces {
		sum = min(sum+space.Points(), limit+1)
	}
	return sum
}

// Better tells whether the objective a is better than b.
func (s Search) Better(a, b float64) bool {
	if s.Maximize {
		return a > b
	}
	return a < b
}
