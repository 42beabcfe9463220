// SPDX-License-Identifier: Apache-2.0

package xgboost

import "github.com/sagebrush-ml/sagebrush/internal/algo/vec"

// span is the rows that one unit of parallel work covers. It is fixed, so that
// sums taken block by block do not depend on the number of threads.
const span = 1 << 13

// spans calls f(worker, block, lo, hi) for every block of span rows of n.
func spans(threads, n int, f func(worker, block, lo, hi int)) {
	vec.Stretches(threads, n, span, func(worker, lo, hi int) { f(worker, lo/span, lo, hi) })
}

// sumSpans adds f over [0,n) in float64: within each block in row order, then
// the blocks in order. The result is the same for every number of threads.
func sumSpans(threads, n int, f func(i int) float64) float64 {
	parts := make([]float64, (n+span-1)/span)
	spans(threads, n, func(_, block, lo, hi int) {
		var s float64
		for i := lo; i < hi; i++ {
			s += f(i)
		}
		parts[block] = s
	})
	var s float64
	for _, p := range parts {
		s += p
	}
	return s
}
