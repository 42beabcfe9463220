// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// gathered is how many columns of a dense matrix one worker copies out at once:
// a cache line holds sixteen values of a row, but each column takes memory.
const gathered = 4

// abreast is how many columns of rows values, with as many of scratch, each of
// how many workers copies out at once. A matrix that lies in a file is read anew
// for each group of columns, so that then a group is as large as memory allows.
func abreast(memory *spill.Space, rows, cols, threads int) (columns, workers int) {
	room := memory.Scratch() / (4 * int64(max(rows, 1)))
	workers = int(max(1, min(int64(threads), room/2)))
	columns = int(max(1, min(int64(cols), room/int64(workers)-1)))
	if !memory.Spilled() {
		columns = min(columns, gathered)
	}
	return columns, workers
}

// eachColumn calls f for each column from lo to hi with its present values, in a
// copy, and with scratch of the same length. Calls run side by side and share
// nothing. m lies in memory.
func eachColumn(memory *spill.Space, m *algo.Matrix, threads, lo, hi int, f func(f int, values, tmp []float32)) {
	if m.Sparse() {
		eachSparseColumn(memory, m, threads, lo, hi, f)
		return
	}
	type space struct{ values, tmp []float32 }
	group, workers := abreast(memory, m.Rows, hi-lo, threads)
	spaces := make([]space, workers)
	vec.Parallel(workers, (hi-lo+group-1)/group, func(worker, i int) {
		from := lo + i*group
		n := min(group, hi-from)
		s := &spaces[worker]
		if s.values == nil {
			s.values, s.tmp = make([]float32, group*m.Rows), make([]float32, m.Rows)
		}
		found := make([]int, n)
		for low := 0; low < m.Rows; low += span {
			high := min(low+span, m.Rows)
			for r := low; r < high; r++ {
				for k, v := range m.Values[r*m.Cols+from : r*m.Cols+from+n] {
					s.values[k*m.Rows+found[k]] = v
					if v == v {
						found[k]++
					}
				}
			}
			spill.Rest(memory, m.Values[low*m.Cols:high*m.Cols])
		}
		for k := range n {
			f(from+k, s.values[k*m.Rows:][:found[k]], s.tmp[:found[k]])
		}
	})
}

// eachSparseColumn is eachColumn for a sparse matrix.
func eachSparseColumn(memory *spill.Space, m *algo.Matrix, threads, lo, hi int, f func(f int, values, tmp []float32)) {
	start := make([]int64, hi-lo+1)
	for i, c := range m.Index {
		if v, c := m.Values[i], int(c); v == v && c >= lo && c < hi {
			start[c-lo+1]++
		}
	}
	for c := range hi - lo {
		start[c+1] += start[c]
	}
	room := memory.Scratch() / 8 // of values with scratch
	for from := lo; from < hi; {
		to := from + 1
		for to < hi && start[to+1-lo]-start[from-lo] <= room {
			to++
		}
		sparseColumns(memory, m, threads, from, start[from-lo:to-lo+1], f)
		from = to
	}
}

// sparseColumns calls f for the columns from lo on, the values of all of which
// it copies out at once. start is where each of them begins among all columns,
// and where the last one ends.
func sparseColumns(memory *spill.Space, m *algo.Matrix, threads, lo int, start []int64, f func(f int, values, tmp []float32)) {
	n := len(start) - 1
	next := make([]int64, n)
	longest := int64(0)
	for c := range n {
		next[c] = start[c] - start[0]
		longest = max(longest, start[c+1]-start[c])
	}
	values := make([]float32, start[n]-start[0])
	for from := 0; from < len(m.Index); from += 1 << 20 {
		to := min(from+1<<20, len(m.Index))
		for i, c := range m.Index[from:to] {
			if v, c := m.Values[from+i], int(c)-lo; v == v && c >= 0 && c < n {
				values[next[c]] = v
				next[c]++
			}
		}
		spill.Rest(memory, m.Index[from:to])
		spill.Rest(memory, m.Values[from:to])
	}
	spaces := make([][]float32, max(threads, 1))
	vec.Parallel(threads, n, func(worker, i int) {
		if spaces[worker] == nil {
			spaces[worker] = make([]float32, longest)
		}
		part := values[start[i]-start[0] : start[i+1]-start[0]]
		f(lo+i, part, spaces[worker][:len(part)])
	})
}
