// SPDX-License-Identifier: Apache-2.0

package vec

// Lanes is what the rows of the functions of rows are a multiple of: a row of
// 100 values is held in 112, the last 12 of them 0.
const Lanes = 16

// Stride is n rounded up to whole Lanes.
func Stride(n int) int { return (n + Lanes - 1) &^ (Lanes - 1) }

// DotRows writes into out[i] the product of x and row rows[i] of m, whose rows
// have len(x) values, a multiple of Lanes. That the rows lie within m is not
// checked. It looks ahead to rows that are far apart in memory.
func DotRows(out, m []float32, rows []int32, x []float32) {
	if len(rows) == 0 || len(x) == 0 {
		return
	}
	checkRows(len(x), len(out) >= len(rows))
	dotRows(out, m, rows, x)
}

// AddRows adds alpha[i] times row rows[i] of m to y. It is as DotRows otherwise.
func AddRows(y, alpha, m []float32, rows []int32) {
	if len(rows) == 0 || len(y) == 0 {
		return
	}
	checkRows(len(y), len(alpha) >= len(rows))
	addRows(y, alpha, m, rows)
}

// AddToRows adds alpha[i] times row from[i] of x to row rows[i] of m, in the
// order of i. The rows of both have stride values. It is as DotRows otherwise.
func AddToRows(m []float32, rows []int32, alpha, x []float32, from []int32, stride int) {
	if len(rows) == 0 || stride == 0 {
		return
	}
	checkRows(stride, len(alpha) >= len(rows) && len(from) >= len(rows))
	addToRows(m, rows, alpha, x, from, stride)
}

func checkRows(stride int, long bool) {
	if stride%Lanes != 0 || !long {
		panic("vec: rows are no whole lanes, or a list is too short")
	}
}

func dotRowsScalar(out, m []float32, rows []int32, x []float32) {
	n := len(x)
	for i, r := range rows {
		row := m[int(r)*n : int(r)*n+n]
		var s [Lanes]float32
		for j := 0; j < n; j += Lanes {
			a, b := row[j:j+Lanes], x[j:j+Lanes]
			for k := range s {
				s[k] += a[k] * b[k]
			}
		}
		for half := Lanes / 2; half > 0; half /= 2 {
			for k := range half {
				s[k] += s[k+half]
			}
		}
		out[i] = s[0]
	}
}

func addRowsScalar(y, alpha, m []float32, rows []int32) {
	n := len(y)
	for i, r := range rows {
		a := alpha[i]
		row := m[int(r)*n : int(r)*n+n]
		for j, v := range row {
			y[j] += a * v
		}
	}
}

func addToRowsScalar(m []float32, rows []int32, alpha, x []float32, from []int32, stride int) {
	for i, r := range rows {
		a, row := alpha[i], m[int(r)*stride:int(r)*stride+stride]
		for j, v := range x[int(from[i])*stride : int(from[i])*stride+stride] {
			row[j] += a * v
		}
	}
}
