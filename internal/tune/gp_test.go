// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"math"
	"math/rand/v2"
	"testing"
)

// some makes a process of n random observations, some of another source.
func some(n int) *process {
	rng := rand.New(rand.NewPCG(1, 2))
	p := &process{space: Space{{Name: "a", Max: 1}, {Name: "b", Max: 1}, {Name: "c", Kind: Categorical, Values: []string{"x", "y", "z"}}}}
	for i := range n {
		x := p.space.draw(rng)
		p.x = append(p.x, x)
		p.y = append(p.y, math.Sin(5*x[0])+x[1]*x[1]+0.3*x[2])
		p.source = append(p.source, i%3/2)
	}
	return p
}

func TestGradients(t *testing.T) {
	p := some(12)
	theta := []float64{-0.5, 0.3, -0.2, 0.4, -3, 0.7}
	grad, ignore := make([]float64, len(theta)), make([]float64, len(theta))
	p.loss(theta, grad)
	const h = 1e-5
	for i := range theta {
		up, down := append([]float64(nil), theta...), append([]float64(nil), theta...)
		up[i] += h
		down[i] -= h
		if want := (p.loss(up, ignore) - p.loss(down, ignore)) / (2 * h); math.Abs(grad[i]-want) > 1e-4*(1+math.Abs(want)) {
			t.Errorf("loss: slope %d is %g, want %g", i, grad[i], want)
		}
	}
	p.condition(theta)
	x := []float64{0.3, 0.6, 1}
	gm, gs := make([]float64, 3), make([]float64, 3)
	p.predict(x, gm, gs)
	for j := range 2 {
		up, down := append([]float64(nil), x...), append([]float64(nil), x...)
		up[j] += h
		down[j] -= h
		mu, su := p.predict(up, nil, nil)
		md, sd := p.predict(down, nil, nil)
		if w := (mu - md) / (2 * h); math.Abs(gm[j]-w) > 1e-5*(1+math.Abs(w)) {
			t.Errorf("mean: slope %d is %g, want %g", j, gm[j], w)
		}
		if w := (su - sd) / (2 * h); math.Abs(gs[j]-w) > 1e-5*(1+math.Abs(w)) {
			t.Errorf("spread: slope %d is %g, want %g", j, gs[j], w)
		}
	}
	for _, z := range []float64{5, 1, -0.9, -1.1, -5, -19.9, -20.1, -40} {
		f := func(m, s float64) float64 { v, _, _ := logImprovement(0, m, s); return v }
		m, s := -z*0.5, 0.5
		_, bm, bs := logImprovement(0, m, s)
		if w := (f(m+h, s) - f(m-h, s)) / (2 * h); math.Abs(bm-w) > 1e-3*(1+math.Abs(w)) {
			t.Errorf("z %g: slope by mean is %g, want %g", z, bm, w)
		}
		if w := (f(m, s+h) - f(m, s-h)) / (2 * h); math.Abs(bs-w) > 2e-3*(1+math.Abs(w)) {
			t.Errorf("z %g: slope by spread is %g, want %g", z, bs, w)
		}
	}
}

// TestOneMore compares the process that got one more observation with one that had it from the start.
func TestOneMore(t *testing.T) {
	p, all := some(11), some(12)
	all.source[11] = 0
	theta := []float64{-0.5, 0.3, -0.2, 0.4, -3, 0.7}
	p.condition(theta)
	all.condition(theta)
	b := belief{process: all}
	_, means := b.means()
	for i, x := range all.x {
		if m, _ := all.predict(x, nil, nil); all.source[i] == 0 && math.Abs(m-means[i]) > 1e-5 {
			t.Errorf("mean at observation %d is %g, want %g", i, means[i], m)
		}
	}
	got := p.with(all.x[11], all.y[11])
	for _, x := range [][]float64{{0.1, 0.2, 0}, {0.9, 0.5, 2}} {
		m1, s1 := got.predict(x, nil, nil)
		m2, s2 := all.predict(x, nil, nil)
		if math.Abs(m1-m2) > 1e-9 || math.Abs(s1-s2) > 1e-9 {
			t.Errorf("%g ± %g, want %g ± %g", m1, s1, m2, s2)
		}
	}
}
