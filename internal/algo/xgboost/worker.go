// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"sync"
	"sync/atomic"
)

// each calls f(worker, i) once for every i in [0,n), on at most threads
// goroutines. Which worker gets which i is not fixed: callers keep their
// results independent of it.
func each(threads, n int, f func(worker, i int)) {
	threads = min(threads, n)
	if threads <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	loop := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(worker, i)
		}
	}
	for worker := 1; worker < threads; worker++ {
		wait.Go(func() { loop(worker) })
	}
	loop(0)
	wait.Wait()
}

// span is the rows that one unit of parallel work covers. It is fixed, so that
// sums taken block by block do not depend on the number of threads.
const span = 1 << 13

// spans calls f(worker, block, lo, hi) for every block of span rows of n.
func spans(threads, n int, f func(worker, block, lo, hi int)) {
	each(threads, (n+span-1)/span, func(worker, block int) {
		lo := block * span
		f(worker, block, lo, min(lo+span, n))
	})
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
