// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// top is how many places of a ranking a metric looks at, XGBoost's 32 where its
// name does not say, and whether a group
// without a relevant row counts 0, and not 1.
type top struct {
	n     int
	minus bool
}

// parseTop reads what follows the name of a ranking metric: "", "-", "@5" or
// "@5-". ok is false for anything else.
func parseTop(s string) (t top, ok bool) {
	t.n = rankPairs
	s, t.minus = strings.CutSuffix(s, "-")
	if s == "" {
		return t, true
	}
	n, ok := strings.CutPrefix(s, "@")
	// The containers take any number here; the library reads its whole part.
	whole, _, _ := strings.Cut(n, ".")
	v, err := strconv.Atoi(whole)
	if _, bad := strconv.ParseFloat(n, 64); !ok || err != nil || bad != nil || v < 1 {
		return t, false
	}
	t.n = v
	return t, true
}

// grouped gives the ranking metric of that name: the mean over the query groups
// of what it makes of each. ok is false for names that are none.
func grouped(name string, o *objective) (m metric, ok bool, err error) {
	head, rest := name, ""
	if at := strings.IndexAny(name, "@-"); at >= 0 {
		head, rest = name[:at], name[at:]
	}
	var of func(labels, preds []float32, t top) float64
	var fits func(float32) bool
	demand := ""
	switch head {
	case "ndcg":
		of, fits = ndcg, isRelevance
		demand = "When using relevance degree as target, label must be either 0 or positive integer, at most 31."
	case "map":
		of, fits, demand = averagePrecision, isBinary, "map can only be used with binary labels."
	case "pre":
		of, fits, demand = precisionAt, isBinary, "pre can only be used with binary labels."
	default:
		return metric{}, false, nil
	}
	t, parsed := parseTop(rest)
	if !parsed {
		return metric{}, true, algo.ClientErrorf("Threshold value 't' in '%s@t' expects a whole number from 1: %s", head, name)
	}
	if o.classes > 1 {
		return metric{}, true, algo.ClientErrorf("Metric '%s' cannot be applied to the objective %s.", name, o.name)
	}
	return metric{
		name: name, maximize: true, fits: fits, demand: demand,
		eval: func(s *seen) float64 {
			score, sum := overGroups(s, func(labels, preds []float32) (float64, bool) { return of(labels, preds, t), true })
			v := s.total(score, sum)
			return min(1, v[0]/v[1])
		},
	}, true, nil
}

// overGroups adds up what of gives for the groups that are here, and how many
// they are; one for which it gives false does not count. Empty groups are none.
func overGroups(s *seen, of func(labels, preds []float32) (float64, bool)) (sum, count float64) {
	groups := groupsOf(s.m)
	values, counts := make([]float64, len(groups)-1), make([]bool, len(groups)-1)
	vec.Parallel(s.threads, len(values), func(_, i int) {
		if lo, hi := groups[i], groups[i+1]; lo < hi {
			values[i], counts[i] = of(s.m.Label[lo:hi], s.preds[lo:hi])
		}
	})
	for i, v := range values {
		if counts[i] {
			sum += v
			count++
		}
	}
	return sum, count
}

// ndcg is the normalized discounted cumulative gain of the first places.
//
// Source: Burges et al., "Learning to rank using gradient descent", ICML 2005.
func ndcg(labels, preds []float32, t top) float64 {
	inverse := inverseIDCG(labels, t.n)
	if inverse == 0 {
		return without(t)
	}
	var sum float64
	for i, r := range ranked(preds) {
		if i >= t.n {
			break
		}
		sum += discountAt(i) * gainOf(labels[r]) * inverse
	}
	return sum
}

// without is what a group without a relevant row counts.
func without(t top) float64 {
	if t.minus {
		return 0
	}
	return 1
}

// averagePrecision is the mean of the precisions at the places of the relevant rows.
func averagePrecision(labels, preds []float32, t top) float64 {
	var hits, sum float64
	for i, r := range ranked(preds) {
		hits += float64(labels[r])
		if i < t.n {
			sum += hits / float64(i+1) * float64(labels[r])
		}
	}
	if hits == 0 {
		return without(t)
	}
	return sum / min(hits, float64(t.n))
}

// precisionAt is the share of relevant rows among the first places.
func precisionAt(labels, preds []float32, t top) float64 {
	n := min(t.n, len(preds))
	var hits float64
	for _, r := range ranked(preds)[:n] {
		hits += float64(labels[r])
	}
	return hits / float64(n)
}

// groupAUC is the mean over the groups of the share of pairs of rows that are
// ranked as their labels are; equal labels make a pair too, in the order of the
// data. Groups below three rows do not count. It is NaN where no group counts.
func groupAUC(s *seen) float64 {
	sum, count := overGroups(s, func(labels, preds []float32) (float64, bool) {
		n := len(preds)
		if n < 3 {
			return 0, false
		}
		sorted := make([]float32, n) // predictions in the order of falling labels
		for i, r := range ranked(labels) {
			sorted[i] = preds[r]
		}
		return orderedPairs(sorted) / (float64(n) * float64(n-1) / 2), true
	})
	v := s.total(sum, count)
	return v[0] / v[1]
}

// orderedPairs counts the pairs whose first value is the larger; of two that are
// equal one half. It sorts values by merging, which counts on the way.
func orderedPairs(values []float32) float64 {
	if len(values) < 2 {
		return 0
	}
	half := len(values) / 2
	a, b := slices.Clone(values[:half]), slices.Clone(values[half:])
	count := orderedPairs(a) + orderedPairs(b)
	// a and b rise now. For each of a: those of b below it, and half of its equals.
	below, upTo := 0, 0
	for _, v := range a {
		for below < len(b) && b[below] < v {
			below++
		}
		for upTo < len(b) && b[upTo] <= v {
			upTo++
		}
		count += float64(below) + float64(upTo-below)/2
	}
	i, j := 0, 0
	for at := range values {
		if j == len(b) || i < len(a) && a[i] <= b[j] {
			values[at] = a[i]
			i++
		} else {
			values[at] = b[j]
			j++
		}
	}
	return count
}

// groupAUCPR is the mean of aucPR over the groups that have both classes.
func groupAUCPR(s *seen) float64 {
	sum, count := overGroups(s, func(labels, preds []float32) (float64, bool) {
		v := areaPR(levelsOf(labels, preds))
		return v, !math.IsNaN(v)
	})
	v := s.total(sum, count)
	return v[0] / v[1]
}

// levelsOf gives the levels of rows that all weigh the same.
func levelsOf(labels, preds []float32) []level {
	order := ranked(preds)
	var out []level
	for _, r := range order {
		key := sortKey(preds[r])
		if len(out) == 0 || out[len(out)-1].key != key {
			out = append(out, level{key: key})
		}
		l, y := &out[len(out)-1], float64(labels[r])
		l.negative += 1 - y
		l.positive += y
	}
	return out
}
