// SPDX-License-Identifier: Apache-2.0

package vec

//go:noescape
func dotRows(out, m []float32, rows []int32, x []float32)

//go:noescape
func addRows(y, alpha, m []float32, rows []int32)

//go:noescape
func addToRows(m []float32, rows []int32, alpha, x []float32, from []int32, stride int)
