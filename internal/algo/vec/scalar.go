// SPDX-License-Identifier: Apache-2.0

package vec

import "math"

// The scalar twins: what the kernels do, in Go. Four sums at once are as many as
// a processor without vectors keeps busy.

func dotScalar(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func squaredDistanceScalar(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		d0, d1, d2, d3 := a[0]-b[0], a[1]-b[1], a[2]-b[2], a[3]-b[3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		d := v - b[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyScalar(alpha float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

func scaleScalar(alpha float32, x []float32) {
	for i := range x {
		x[i] *= alpha
	}
}

func accumulateScalar(x []float32, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float64(v)
	}
}

func dot64Scalar(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1 float64
	for len(a) >= 2 && len(b) >= 2 {
		s0 += float64(a[0]) * float64(b[0])
		s1 += float64(a[1]) * float64(b[1])
		a, b = a[2:], b[2:]
	}
	for i, v := range a {
		s0 += float64(v) * float64(b[i])
	}
	return s0 + s1
}

func leastScoreScalar(s, c []float32) (index int, score float32) {
	c = c[:len(s)]
	score = float32(math.Inf(1))
	found := false
	for j, v := range s {
		if d := c[j] - 2*v; d < score || d == score && !found {
			index, score, found = j, d, true
		}
	}
	return index, score
}

func belowScalar(s, c []float32, limit float32, from int) int {
	c = c[:len(s)]
	for j := from; j < len(s); j++ {
		if !(c[j]-2*s[j] > limit) {
			return j
		}
	}
	return len(s)
}

func expScalar(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = float32(math.Exp(float64(v)))
	}
}

func dotDoubleScalar(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyDoubleScalar(alpha float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

func updateTwoScalar(a, b, y, w, v, x []float64, by *[6]float64) (ax, bx float64) {
	n := len(a)
	b, y, w, v, x = b[:n], y[:n], w[:n], v[:n], x[:n]
	for i := range a {
		a[i] += by[0]*w[i] + by[1]*v[i]
		b[i] += by[2]*w[i] + by[3]*v[i]
		y[i] += by[4]*a[i] + by[5]*b[i]
		ax += a[i] * x[i]
		bx += b[i] * x[i]
	}
	return ax, bx
}
