// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package vec

const (
	level       = scalarLevel
	scalarLevel = 0
)

func shape() (rows, cols int) { return 4, 16 }

func tile(wide, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, add bool) {
	tileScalar(wide, k, a, rs, cs, b, bs, c, ldc, add)
}

func dot(a, b []float32) float32             { return dotScalar(a, b) }
func squaredDistance(a, b []float32) float32 { return squaredDistanceScalar(a, b) }
func axpy(alpha float32, x, y []float32)     { axpyScalar(alpha, x, y) }
func scale(alpha float32, x []float32)       { scaleScalar(alpha, x) }

func accumulate(x []float32, y []float64)      { accumulateScalar(x, y) }
func dot64(a, b []float32) float64             { return dot64Scalar(a, b) }
func leastScore(s, c []float32) (int, float32) { return leastScoreScalar(s, c) }
func exp(dst, x []float32)                     { expScalar(dst, x) }
func dotDouble(a, b []float64) float64         { return dotDoubleScalar(a, b) }
func axpyDouble(alpha float64, x, y []float64) { axpyDoubleScalar(alpha, x, y) }
func logistic(g, s, y, w, sums []float32)      { logisticScalar(g, s, y, w, sums) }
func logisticEach(g, s, y, w, sums []float32)  { logisticEachScalar(g, s, y, w, sums) }
func prefetch([]float32)                       {}
func updateTwo(a, b, y, w, v, x []float64, by *[6]float64) (ax, bx float64) {
	return updateTwoScalar(a, b, y, w, v, x, by)
}
func below(s, c []float32, limit float32, from int) int {
	return belowScalar(s, c, limit, from)
}
