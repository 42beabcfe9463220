// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// Kind is the type of a hyperparameter.
type Kind int

// The kinds.
const (
	Continuous Kind = iota
	Integer
	Categorical
)

// The scales, named as the service names them.
const (
	Auto               = "Auto"
	Linear             = "Linear"
	Logarithmic        = "Logarithmic"
	ReverseLogarithmic = "ReverseLogarithmic"
)

// Param is one hyperparameter that is tuned. Min and Max belong to the range.
type Param struct {
	Name     string
	Kind     Kind
	Min, Max float64
	Scale    string
	Values   []string // of Categorical
}

// Space is the hyperparameters of one training job definition.
type Space []Param

// maxPoints keeps products of counts from overflowing.
const maxPoints = math.MaxInt32

// Points is how many different points the space has, at most 2³¹-1.
func (s Space) Points() int {
	n := 1.0
	for _, p := range s {
		switch {
		case p.Kind == Categorical:
			n *= float64(len(p.Values))
		case p.Kind == Integer:
			n *= math.Floor(p.Max) - math.Ceil(p.Min) + 1
		case p.Min < p.Max:
			return maxPoints
		}
	}
	return int(min(n, maxPoints))
}

// nth is the nth point of a space of categories.
func (s Space) nth(n int) map[string]string {
	out := make(map[string]string, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		k := len(s[i].Values)
		out[s[i].Name] = s[i].Values[n%k]
		n /= k
	}
	return out
}

// autoLog is from how many times its lower bound on a range is searched by
// powers when its scale is Auto. The service does not tell its rule.
const autoLog = 100

// scale is the scale that Auto stands for, or the one that was asked for.
func (p Param) scale() string {
	switch {
	case p.Scale != Auto && p.Scale != "":
		return p.Scale
	case p.Min > 0 && p.Max >= autoLog*p.Min:
		return Logarithmic
	}
	return Linear
}

// bounds are those of the scaled range. An integer's reach half a step beyond, so
// that its ends are drawn as often as what lies between.
func (p Param) bounds() (low, high float64) {
	low, high = p.Min, p.Max
	if p.Kind == Integer {
		low, high = math.Ceil(low)-0.5, math.Floor(high)+0.5
	}
	return p.forward(low), p.forward(high)
}

// forward gives x on the scale, backward undoes it.
func (p Param) forward(x float64) float64 {
	switch p.scale() {
	case Logarithmic:
		return math.Log(x)
	case ReverseLogarithmic:
		return -math.Log1p(-x)
	}
	return x
}

func (p Param) backward(z float64) float64 {
	switch p.scale() {
	case Logarithmic:
		return math.Exp(z)
	case ReverseLogarithmic:
		return -math.Expm1(-z)
	}
	return z
}

// value is the text of the number at u, between 0 and 1, of the scaled range.
func (p Param) value(u float64) string {
	low, high := p.bounds()
	x := p.backward(low + u*(high-low))
	if p.Kind == Integer {
		x = min(max(math.Round(x), math.Ceil(p.Min)), math.Floor(p.Max))
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(min(max(x, p.Min), p.Max), 'g', -1, 64)
}

// at is where a value lies between 0 and 1 of the scaled range; a value outside,
// which an earlier search may have tried, is nearest. Of a category it is the
// index. ok is false for what is no value at all.
func (p Param) at(value string) (u float64, ok bool) {
	if p.Kind == Categorical {
		for i, v := range p.Values {
			if v == value {
				return float64(i), true
			}
		}
		return 0, false
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(x) {
		return 0, false
	}
	low, high := p.bounds()
	if low >= high {
		return 0.5, true
	}
	x = min(max(x, p.Min), p.Max)
	return (p.forward(x) - low) / (high - low), true
}

// snap moves u to where the value that it stands for lies.
func (p Param) snap(u float64) float64 {
	switch p.Kind {
	case Continuous:
		return min(max(u, 0), 1)
	case Categorical:
		return u
	}
	v, _ := p.at(p.value(u))
	return v
}

// draw gives coordinates of a random point: numbers between 0 and 1, indexes of
// categories.
func (s Space) draw(rng *rand.Rand) []float64 {
	x := make([]float64, len(s))
	for i, p := range s {
		if p.Kind == Categorical {
			x[i] = float64(rng.IntN(len(p.Values)))
		} else {
			x[i] = rng.Float64()
		}
	}
	return x
}

// decode gives the hyperparameters at coordinates.
func (s Space) decode(x []float64) map[string]string {
	out := make(map[string]string, len(s))
	for i, p := range s {
		if p.Kind == Categorical {
			out[p.Name] = p.Values[int(x[i])]
		} else {
			out[p.Name] = p.value(x[i])
		}
	}
	return out
}

// encode gives the coordinates of hyperparameters. ok is false when one is
// missing or has no place here.
func (s Space) encode(values map[string]string) (x []float64, ok bool) {
	x = make([]float64, len(s))
	for i, p := range s {
		v, has := values[p.Name]
		if !has {
			return nil, false
		}
		if x[i], ok = p.at(v); !ok {
			return nil, false
		}
	}
	return x, true
}
