// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// rankPairs is how many rows at the head of a group, as the model ranks them,
// are compared with each row below them: XGBoost's default of
// lambdarank_num_pair_per_sample.
const rankPairs = 32

// mostRelevance is the largest relevance degree whose gain 2^y-1 is told.
const mostRelevance = 31

// groupsOf gives where each query group of m begins, and at last its rows. Data
// that tells of no groups is one.
func groupsOf(m *algo.Matrix) []int {
	if m.Groups != nil {
		return m.Groups
	}
	return []int{0, m.Rows}
}

// agreeGroups makes all hosts take m for a ranking where one of them does, whose
// rows have groups; then those of all must.
func agreeGroups(ctx context.Context, peers *collective.Group, name string, m *algo.Matrix) error {
	if peers.Size() == 1 {
		return nil
	}
	v := []int64{0, 0} // hosts whose rows have groups, and have none
	if m.Groups != nil {
		v[0] = 1
	} else if m.Rows > 0 {
		v[1] = 1
	}
	if err := peers.SumInts(ctx, v); err != nil {
		return err
	}
	switch {
	case v[0] > 0 && v[1] > 0:
		return algo.ClientErrorf("%s channel: the rows of some hosts have qid:n and those of others do not", name)
	case v[0] > 0 && m.Groups == nil:
		m.Groups = []int{0}
	}
	return nil
}

// ranked gives the rows of a group in the order of falling predictions; those
// with the same one stay in the order of the data.
func ranked(preds []float32) []int32 {
	order := make([]int32, len(preds))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(preds[b], preds[a]) })
	return order
}

// gainOf is the gain of a relevance degree in DCG.
func gainOf(y float32) float64 { return float64(uint32(1)<<uint32(y) - 1) }

// discountAt is the discount of place i, from 0, in DCG.
func discountAt(i int) float64 { return 1 / math.Log2(float64(i)+2) }

// inverseIDCG is 1 over the DCG of the best order of labels, their first top
// alone, and 0 where no row is relevant.
func inverseIDCG(labels []float32, top int) float64 {
	sorted := slices.Clone(labels)
	slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
	var sum float64
	for i, y := range sorted[:min(top, len(sorted))] {
		sum += gainOf(y) * discountAt(i)
	}
	if sum == 0 {
		return 0
	}
	return 1 / sum
}

// swapGain says how much a metric gains when the rows at the places high and
// low of a ranking, high < low, swap them.
type swapGain func(high, low int) float64

// lambdas fills out with the derivatives of LambdaMART for one group. gain is
// nil for rank:pairwise, whose pairs all count the same.
//
// Source: Burges, "From RankNet to LambdaRank to LambdaMART: An Overview",
// MSR-TR-2010-82, section 4; the division by the distance of scores and by the
// logarithm of the sum of lambdas are XGBoost's.
func lambdas(labels, preds []float32, gain func(order []int32) swapGain, out []gradPair) {
	clear(out)
	order := ranked(preds)
	var of swapGain
	if gain != nil {
		of = gain(order)
	}
	var sum float64
	apart := preds[order[0]] != preds[order[len(order)-1]]
	for i := range min(rankPairs, len(order)) {
		for j := i + 1; j < len(order); j++ {
			high, low := order[i], order[j]
			if labels[high] == labels[low] {
				continue
			}
			if labels[high] < labels[low] {
				high, low = low, high
			}
			diff := preds[high] - preds[low]
			p := 1 / (1 + math.Exp(-float64(diff)))
			delta := 1.0
			if of != nil {
				delta = math.Abs(of(i, j))
			}
			if apart {
				delta /= math.Abs(float64(diff)) + 0.01
			}
			g := float32((p - 1) * delta)
			h := float32(max(p*(1-p), smallest) * delta * 2)
			out[high].g += g
			out[high].h += h
			out[low].g -= g
			out[low].h += h
			sum -= 2 * float64(g)
		}
	}
	if sum > 0 {
		norm := float32(math.Log2(1+sum) / sum)
		for i := range out {
			out[i].g *= norm
			out[i].h *= norm
		}
	}
}

// ndcgGain is the change of NDCG.
func ndcgGain(labels []float32) func(order []int32) swapGain {
	inverse := inverseIDCG(labels, rankPairs)
	return func(order []int32) swapGain {
		return func(high, low int) float64 {
			return (gainOf(labels[order[high]]) - gainOf(labels[order[low]])) * (discountAt(high) - discountAt(low)) * inverse
		}
	}
}

// mapGain is the change of the average precision.
func mapGain(labels []float32) func(order []int32) swapGain {
	return func(order []int32) swapGain {
		// By place: relevant rows up to it, and the sum of 1/place over them.
		hits, parts := make([]float64, len(order)), make([]float64, len(order))
		var hit, part float64
		for i, r := range order {
			hit += float64(labels[r])
			part += float64(labels[r]) / float64(i+1)
			hits[i], parts[i] = hit, part
		}
		return func(high, low int) float64 {
			between := parts[low-1] - parts[high]
			if labels[order[high]] < labels[order[low]] {
				return (hits[low]/float64(low+1) - (hits[high]+1)/float64(high+1) - between) / hit
			}
			return (hits[high]/float64(high+1) - hits[low]/float64(low+1) + between) / hit
		}
	}
}

// rank makes o one of the ranking objectives.
func (o *objective) rank(name string) {
	o.metric = "ndcg@32"
	o.grouped = true
	gain := func([]float32) func([]int32) swapGain { return nil }
	switch name {
	case "rank:ndcg":
		gain = ndcgGain
		o.allows, o.demand = isRelevance, "When using relevance degree as target, label must be either 0 or positive integer, at most 31."
	case "rank:map":
		o.metric, gain = "map@32", mapGain
		o.allows, o.demand = isBinary, "map can only be used with binary labels."
	}
	o.whole = func(m *algo.Matrix, margins, _ []float32, into []gradPair, threads int) {
		groups := groupsOf(m)
		vec.Parallel(threads, len(groups)-1, func(_, i int) {
			lo, hi := groups[i], groups[i+1]
			if lo == hi {
				return
			}
			labels := m.Label[lo:hi]
			lambdas(labels, margins[lo:hi], gain(labels), into[lo:hi])
		})
	}
	o.group = "lambdarank_param"
	o.params = map[string]string{
		"lambdarank_bias_norm": "1", "lambdarank_normalization": "1", "lambdarank_num_pair_per_sample": "4294967295",
		"lambdarank_pair_method": "topk", "lambdarank_score_normalization": "1", "lambdarank_unbiased": "0", "ndcg_exp_gain": "1",
	}
}

func isRelevance(y float32) bool {
	return y >= 0 && y <= mostRelevance && y == float32(math.Floor(float64(y)))
}

func isBinary(y float32) bool { return y == 0 || y == 1 }
