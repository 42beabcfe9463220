// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package vec

func dotRows(out, m []float32, rows []int32, x []float32) { dotRowsScalar(out, m, rows, x) }

func addRows(y, alpha, m []float32, rows []int32) { addRowsScalar(y, alpha, m, rows) }

func addToRows(m []float32, rows []int32, alpha, x []float32, from []int32, stride int) {
	addToRowsScalar(m, rows, alpha, x, from, stride)
}
