// SPDX-License-Identifier: Apache-2.0

package tune

import "math"

// Matrices here are square, row-major and small: some hundred rows at most.

// dot is the inner product of a and b, in four sums, which the processor can do
// side by side; the order of addition is the same everywhere.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

// cholesky overwrites the lower half of a, n×n, with L such that L·Lᵀ is a. It
// reports false when a is not positive definite.
func cholesky(a []float64, n int) bool {
	for i := range n {
		ri := a[i*n : i*n+i+1]
		for j := range i {
			rj := a[j*n : j*n+j+1]
			ri[j] = (ri[j] - dot(ri[:j], rj[:j])) / rj[j]
		}
		d := ri[i] - dot(ri[:i], ri[:i])
		if !(d > 0) {
			return false
		}
		ri[i] = math.Sqrt(d)
	}
	return true
}

// forwardSolve overwrites b with L⁻¹b.
func forwardSolve(l []float64, n int, b []float64) {
	for i := range n {
		r := l[i*n : i*n+i+1]
		b[i] = (b[i] - dot(r[:i], b[:i])) / r[i]
	}
}

// backwardSolve overwrites b with L⁻ᵀb.
func backwardSolve(l []float64, n int, b []float64) {
	for i := n - 1; i >= 0; i-- {
		r := l[i*n : i*n+i+1]
		b[i] /= r[i]
		x := b[i]
		for j, v := range r[:i] {
			b[j] -= v * x
		}
	}
}

// inverse gives the whole inverse of L·Lᵀ.
func inverse(l []float64, n int) []float64 {
	// The rows of t are the columns of L⁻¹, so that what is multiplied lies side by side.
	t := make([]float64, n*n)
	for j := range n {
		col := t[j*n : j*n+n]
		col[j] = 1 / l[j*n+j]
		for i := j + 1; i < n; i++ {
			col[i] = -dot(l[i*n+j:i*n+i], col[j:i]) / l[i*n+i]
		}
	}
	out := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			v := dot(t[i*n+i:i*n+n], t[j*n+i:j*n+n])
			out[i*n+j], out[j*n+i] = v, v
		}
	}
	return out
}

// minimize looks for a minimum of f within the box low ≤ x ≤ high, from x on, by
// a quasi-Newton method with limited memory whose steps are cut to the box. f
// gives the value and writes the gradient. It gives the best point and value.
//
// Source: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms
// 7.4 and 3.1.
func minimize(f func(x, grad []float64) float64, x, low, high []float64, steps int) ([]float64, float64) {
	const memory, shrink, sufficient = 6, 0.4, 1e-4
	n := len(x)
	x = append([]float64(nil), x...)
	grad, next, nextGrad := make([]float64, n), make([]float64, n), make([]float64, n)
	value := f(x, grad)
	var ss, ys [][]float64
	dir := make([]float64, n)
	for range steps {
		free := 0.0
		for i := range dir {
			dir[i] = -grad[i]
			if x[i] <= low[i] && dir[i] < 0 || x[i] >= high[i] && dir[i] > 0 {
				dir[i] = 0
			}
			free += dir[i] * dir[i]
		}
		if free < 1e-12 {
			break
		}
		steepest := append([]float64(nil), dir...)
		twoLoop(dir, ss, ys)
		slope := 0.0
		for i := range dir {
			if steepest[i] == 0 {
				dir[i] = 0
			}
			slope += grad[i] * dir[i]
		}
		if slope >= 0 {
			copy(dir, steepest)
			slope = -free
			ss, ys = nil, nil
		}
		step := 1.0
		if len(ss) == 0 {
			step = min(1, 0.3/math.Sqrt(free))
		}
		moved := false
		for range 12 {
			for i := range next {
				next[i] = min(max(x[i]+step*dir[i], low[i]), high[i])
			}
			v := f(next, nextGrad)
			if v <= value+sufficient*step*slope {
				moved = true
				s, y := make([]float64, n), make([]float64, n)
				for i := range s {
					s[i], y[i] = next[i]-x[i], nextGrad[i]-grad[i]
				}
				if dot(s, y) > 1e-12 {
					ss, ys = append(ss, s), append(ys, y)
					if len(ss) > memory {
						ss, ys = ss[1:], ys[1:]
					}
				}
				gain := value - v
				value = v
				copy(x, next)
				copy(grad, nextGrad)
				if gain < 1e-7*(1+math.Abs(value)) {
					return x, value
				}
				break
			}
			step *= shrink
		}
		if !moved {
			break
		}
	}
	return x, value
}

// twoLoop multiplies dir by the inverse curvature that the last steps have shown.
func twoLoop(dir []float64, ss, ys [][]float64) {
	if len(ss) == 0 {
		return
	}
	a := make([]float64, len(ss))
	for k := len(ss) - 1; k >= 0; k-- {
		a[k] = dot(ss[k], dir) / dot(ss[k], ys[k])
		for i := range dir {
			dir[i] -= a[k] * ys[k][i]
		}
	}
	last := len(ss) - 1
	scale := dot(ss[last], ys[last]) / dot(ys[last], ys[last])
	for i := range dir {
		dir[i] *= scale
	}
	for k := range ss {
		b := dot(ys[k], dir) / dot(ss[k], ys[k])
		for i := range dir {
			dir[i] += (a[k] - b) * ss[k][i]
		}
	}
}
