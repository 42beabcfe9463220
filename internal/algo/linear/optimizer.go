// SPDX-License-Identifier: Apache-2.0

package linear

import "math"

// tiny keeps a division by a root from one by 0, as in MXNet's optimizers.
const tiny = 1e-8

// update makes a step of the weights of output o, which is number b of its epoch,
// by the gradient g of the mean loss. The L1 penalty is a proximal step of the same size, so
// that weights become 0.
//
// Source: Kingma and Ba, "Adam", ICLR 2015; Hinton's rmsprop as in MXNet.
func (w *work) update(o, step, b int, g []float32) {
	s := &w.set[o/w.classes]
	at := o * w.width
	x, m, v := w.weights[at:at+w.width], w.moment[at:at+w.width], w.square[at:at+w.width]
	rate := s.rateAt(step)
	switch w.optimizer {
	case "sgd":
		w.sgd(x, m, g, float32(rate), float32(s.wd), float32(s.l1))
	case "rmsprop":
		w.rmsprop(x, v, g, float32(rate), float32(s.wd), float32(s.l1))
	default:
		t := float64(step + 1)
		rate *= math.Sqrt(1-math.Pow(float64(w.beta2), t)) / (1 - math.Pow(float64(w.beta1), t))
		w.adam(x, m, v, g, float32(rate), float32(s.wd), float32(s.l1))
	}
	mean, share := w.mean[at:at+w.width], 1/float32(b+1)
	for i, v := range x {
		mean[i] += (v - mean[i]) * share
	}
}

func (w *work) adam(x, m, v, g []float32, rate, wd, l1 float32) {
	b1, b2 := w.beta1, w.beta2
	m, v, g = m[:len(x)], v[:len(x)], g[:len(x)]
	for i, old := range x {
		d, r, thr := g[i]+wd*old, rate, l1
		if w.useBias && i == len(x)-1 {
			d, r, thr = g[i]+wd*w.biasDecay*old, rate*w.biasRate, 0
		}
		m[i] = b1*m[i] + (1-b1)*d
		v[i] = b2*v[i] + (1-b2)*d*d
		r /= float32(math.Sqrt(float64(v[i]))) + tiny
		x[i] = shrink(old-r*m[i], r*thr)
	}
}

func (w *work) rmsprop(x, v, g []float32, rate, wd, l1 float32) {
	const decay = 0.9
	for i, old := range x {
		d, r, thr := g[i]+wd*old, rate, l1
		if w.useBias && i == len(x)-1 {
			d, r, thr = g[i]+wd*w.biasDecay*old, rate*w.biasRate, 0
		}
		v[i] = decay*v[i] + (1-decay)*d*d
		r /= float32(math.Sqrt(float64(v[i] + tiny)))
		x[i] = shrink(old-r*d, r*thr)
	}
}

func (w *work) sgd(x, m, g []float32, rate, wd, l1 float32) {
	for i, old := range x {
		d, r, thr := g[i]+wd*old, rate, l1
		if w.useBias && i == len(x)-1 {
			d, r, thr = g[i]+wd*w.biasDecay*old, rate*w.biasRate, 0
		}
		m[i] = w.momentum*m[i] - r*d
		x[i] = shrink(old+m[i], r*thr)
	}
}

// shrink brings x nearer to 0 by thr.
func shrink(x, thr float32) float32 {
	switch {
	case thr == 0:
		return x
	case x > thr:
		return x - thr
	case x < -thr:
		return x + thr
	case x != x:
		return x
	}
	return 0
}
