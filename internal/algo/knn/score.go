// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// counts is what is counted of a class.
type counts struct{ right, predicted, is float64 }

// classScores gives how many of all hosts' predictions are right, and the mean
// over classes of the harmonic mean of precision and recall.
func classScores(ctx context.Context, peers *collective.Group, labels, predicted []float32) (right, macro float64, err error) {
	classes := map[float32]*counts{}
	of := func(y float32) *counts {
		if classes[y] == nil {
			classes[y] = new(counts)
		}
		return classes[y]
	}
	for i, y := range labels {
		of(y).is++
		of(predicted[i]).predicted++
		if y == predicted[i] {
			of(y).right++
		}
	}
	// A label and its counts, with the label's bits first: what all hosts have is
	// put together in the order of hosts.
	var own []byte
	for _, y := range slices.Sorted(maps.Keys(classes)) {
		c := classes[y]
		own = le.AppendUint32(own, math.Float32bits(y))
		for _, n := range []float64{c.right, c.predicted, c.is} {
			own = le.AppendUint64(own, uint64(n))
		}
	}
	all, err := peers.AllGather(ctx, own)
	if err != nil {
		return 0, 0, err
	}
	clear(classes)
	for _, b := range all {
		for ; len(b) >= 28; b = b[28:] {
			c := of(math.Float32frombits(le.Uint32(b)))
			c.right += float64(le.Uint64(b[4:]))
			c.predicted += float64(le.Uint64(b[12:]))
			c.is += float64(le.Uint64(b[20:]))
		}
	}
	for _, y := range slices.Sorted(maps.Keys(classes)) {
		c := classes[y]
		right += c.right
		macro += 2 * c.right / (c.predicted + c.is)
	}
	return right, macro / max(1, float64(len(classes))), nil
}
