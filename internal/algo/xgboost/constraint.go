// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// parseDirections reads monotone_constraints: -1, 0 or 1 by feature, as
// "(1,-1,0)" or "[1, -1, 0]".
func parseDirections(text string) ([]int8, error) {
	inner, err := unwrap(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	var out []int8
	for _, part := range pieces(inner) {
		n, err := strconv.Atoi(part)
		if err != nil || n < -1 || n > 1 {
			return nil, fmt.Errorf("%q in %s is not one of -1, 0, 1", part, text)
		}
		out = append(out, int8(n))
	}
	return out, nil
}

// parseGroups reads interaction_constraints: lists of features that may meet on
// a way from the root to a leaf, as "[[1,2],[3,4]]". Features are counted from
// 0; SageMaker's container takes numbers from 1 on alone, so that the first
// feature cannot be named. The groups come back ascending, without repeats.
func parseGroups(text string) ([][]int32, error) {
	rest, err := unwrap(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	var out [][]int32
	for rest = strings.TrimSpace(rest); rest != ""; {
		end := strings.IndexAny(rest, "])")
		if end < 0 || strings.ContainsAny(rest[1:end+1], "[(") {
			return nil, fmt.Errorf("%s is not a list of lists", text)
		}
		inner, err := unwrap(rest[:end+1])
		if err != nil {
			return nil, fmt.Errorf("%s is not a list of lists", text)
		}
		var group []int32
		for _, part := range pieces(inner) {
			n, err := strconv.ParseInt(part, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q in %s is not a whole number", part, text)
			}
			if n < 1 {
				return nil, fmt.Errorf("%d in %s is not in [1, +inf)", n, text)
			}
			group = append(group, int32(n))
		}
		if len(group) > 0 {
			slices.Sort(group)
			out = append(out, slices.Compact(group))
		}
		if rest = strings.TrimSpace(rest[end+1:]); rest != "" {
			if rest[0] != ',' {
				return nil, fmt.Errorf("%s is not a list of lists", text)
			}
			rest = strings.TrimSpace(rest[1:])
		}
	}
	return out, nil
}

// unwrap takes the brackets off a list.
func unwrap(text string) (string, error) {
	if n := len(text); n >= 2 && (text[0] == '(' && text[n-1] == ')' || text[0] == '[' && text[n-1] == ']') {
		return text[1 : n-1], nil
	}
	return "", fmt.Errorf("%s is not a list in brackets", text)
}

// pieces gives the pieces between commas; one may follow the last.
func pieces(text string) []string {
	text = strings.TrimSpace(text)
	if text = strings.TrimSpace(strings.TrimSuffix(text, ",")); text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// fence is what constraints leave a node: nil where there are none.
//
// A monotone constraint refuses splits whose leaves would lie the wrong way
// round, and bounds all weights below a split by the middle between its two.
//
// Source: XGBoost's documentation, "Monotonic Constraints" and "Feature
// Interaction Constraints", and its releases' behaviour.
type fence struct {
	lower, upper float32 // bounds of the weights
	whole        float64 // gain of the node as a leaf, within its parent's bounds
	used         []int32 // features split above the node, ascending
	open         []int32 // features that it may split, ascending; nil for all
}

// unfenced is the fence of the root, nil where there are no constraints.
func (p *regular) unfenced(g, h float64) *fence {
	if p.monotone == nil && p.meet == nil {
		return nil
	}
	f := &fence{lower: -math.MaxFloat32, upper: math.MaxFloat32}
	f.whole = p.gainWithin(f, g, h)
	return f
}

// weightWithin is weight, held within f.
func (p *regular) weightWithin(f *fence, g, h float64) float64 {
	w := p.weight(g, h)
	if f == nil || p.monotone == nil {
		return w
	}
	return float64(min(max(float32(w), f.lower), f.upper))
}

// gainWithin is gain of a leaf whose weight is held within f.
func (p *regular) gainWithin(f *fence, g, h float64) float64 {
	if f == nil || p.monotone == nil {
		return p.gain(g, h)
	}
	if h <= 0 {
		return 0
	}
	w := p.weightWithin(f, g, h)
	return -(2*g*w + (h+p.lambda)*w*w)
}

// direction is the monotone constraint of feature f.
func (p *regular) direction(f int) int8 {
	if f < len(p.monotone) {
		return p.monotone[f]
	}
	return 0
}

// below gives the fences of the two sides of a split of feature, whose sums are
// given.
func (p *regular) below(f *fence, feature int, gl, hl, gr, hr float64) (left, right *fence) {
	if f == nil {
		return nil, nil
	}
	left = &fence{lower: f.lower, upper: f.upper, used: f.used, open: f.open}
	if p.meet != nil {
		if at, ok := slices.BinarySearch(f.used, int32(feature)); !ok {
			left.used = slices.Insert(slices.Clone(f.used), at, int32(feature))
			left.open = p.openTo(left.used)
		}
	}
	other := *left
	right = &other
	left.whole, right.whole = p.gainWithin(f, gl, hl), p.gainWithin(f, gr, hr)
	if p.monotone != nil {
		wl, wr := float32(p.weightWithin(f, gl, hl)), float32(p.weightWithin(f, gr, hr))
		switch mid := (wl + wr) / 2; p.direction(feature) {
		case -1:
			left.lower, right.upper = mid, mid
		case 1:
			left.upper, right.lower = mid, mid
		}
	}
	return left, right
}

// openTo gives the features that may be split below used: these, and those of
// every group that holds them all.
func (p *regular) openTo(used []int32) []int32 {
	open := slices.Clone(used)
	for _, group := range p.meet {
		if !slices.ContainsFunc(used, func(f int32) bool { _, ok := slices.BinarySearch(group, f); return !ok }) {
			open = append(open, group...)
		}
	}
	slices.Sort(open)
	return slices.Compact(open)
}

// among gives those of features, ascending, that f leaves open.
func (f *fence) among(features []int32) []int32 {
	if f == nil || f.open == nil {
		return features
	}
	out := make([]int32, 0, min(len(features), len(f.open)))
	for _, feature := range f.open {
		if _, ok := slices.BinarySearch(features, feature); ok {
			out = append(out, feature)
		}
	}
	return out
}
