// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// batch is the rows of a step, by rows and by features. A goroutine works on
// whole rows, then on whole features, so that sums have one order with any
// number of threads.
type batch struct {
	rows   []int32   // of this host
	sums   []float32 // rows×factors: the row's factors, weighed by its values
	slopes []float32 // by row
	tally  []tally   // by row

	slot     []int32 // by feature: its place in features plus one, or 0
	features []int32
	starts   []int32 // of features' entries, and their number
	entries  []entry

	gradient []float32 // features×(factors+2), of several hosts: see gather
}

// entry is a value of a feature in a row of the batch.
type entry struct {
	row   int32 // its place in the batch
	value float32
}

// batchOf makes a step by the rows order[from:to]. stop says that a host has been
// told to stop, and that no step was made.
func (w *work) batchOf(t *table, from, to int) (stop bool, err error) {
	b, k := &w.batch, w.factors
	b.rows = b.rows[:0]
	stored := 0
	for _, row := range w.order[from:to] {
		if own := int(row) - t.from; own >= 0 && own < t.Rows {
			b.rows = append(b.rows, int32(own))
			stored += int(t.Start[own+1] - t.Start[own])
		}
	}
	n := len(b.rows)
	b.sums, b.slopes, b.tally = resize(b.sums, n*k), resize(b.slopes, n), resize(b.tally, n)
	w.each(n, stored*k/2, func(i int) {
		row := int(b.rows[i])
		s := b.sums[i*k : (i+1)*k]
		score := w.score(t, row, s)
		b.tally[i] = tally{}
		b.slopes[i] = b.tally[i].add(w.binary, score, t.Label[row])
	})
	b.turn(t, stored)

	var sum float64
	var all tally
	for i, g := range b.slopes {
		sum += float64(g)
		all.plus(&b.tally[i])
	}
	scale := w.rescale
	if scale == 0 {
		scale = 1 / float64(to-from)
	}
	if w.in.Peers.Size() > 1 {
		return w.together(t, sum, all, scale)
	}
	if w.ctx.Err() != nil {
		return true, nil
	}
	w.tally.plus(&all)
	w.forward(sum, scale)
	w.each(len(b.features), (stored+8*len(b.features))*k/2, func(i int) {
		// The gradient of a feature's factors v is the sum over rows of
		// slope·x·(s - x·v), where s is the row's sums.
		f := int(b.features[i])
		var room [maxRoom]float32
		g := room[:0]
		if k > maxRoom {
			g = make([]float32, 0, k)
		}
		g = g[:k]
		slope, square := b.addUp(i, k, g)
		w.update(f, g, slope, square, float32(scale))
	})
	w.clearSlots()
	return false, nil
}

// maxRoom is how many factors a gradient on the stack may have.
const maxRoom = 256

// score is the raw score of a row; s gets its sums.
func (w *work) score(t *table, row int, s []float32) float64 {
	clear(s)
	m, k := w.model, w.factors
	linear, squares := float64(m.bias), float32(0)
	for at := t.Start[row]; at < t.Start[row+1]; at++ {
		f, x := int(t.Index[at]), t.Values[at]
		linear += float64(m.linear[f] * x)
		squares += w.squares[f] * x * x
		vec.Axpy(x, m.pairs[f*k:(f+1)*k], s)
	}
	return linear + 0.5*float64(vec.Dot(s, s)-squares)
}

// turn finds the features of the batch and their entries, in the order of rows.
func (b *batch) turn(t *table, stored int) {
	b.features, b.starts = b.features[:0], append(b.starts[:0], 0)
	for _, row := range b.rows {
		for _, f := range t.Index[t.Start[row]:t.Start[row+1]] {
			s := b.slot[f]
			if s == 0 {
				b.features, b.starts = append(b.features, f), append(b.starts, 0)
				s = int32(len(b.features))
				b.slot[f] = s
			}
			b.starts[s]++
		}
	}
	for i := 1; i < len(b.starts); i++ {
		b.starts[i] += b.starts[i-1]
	}
	b.entries = resize(b.entries, stored)
	// starts[s-1] is the next free entry of slot s; after that the start of the
	// slot that follows, so all are one further on.
	for i, row := range b.rows {
		for at := t.Start[row]; at < t.Start[row+1]; at++ {
			s := b.slot[t.Index[at]] - 1
			b.entries[b.starts[s]] = entry{int32(i), t.Values[at]}
			b.starts[s]++
		}
	}
	copy(b.starts[1:], b.starts[:len(b.starts)-1])
	b.starts[0] = 0
}

func (w *work) clearSlots() {
	for _, f := range w.batch.features {
		w.batch.slot[f] = 0
	}
}

// addUp writes the sum of slope·x·s over the rows with feature i of the batch to
// g, and gives those of slope·x and of slope·x².
func (b *batch) addUp(i, k int, g []float32) (slope, square float32) {
	clear(g)
	for _, e := range b.entries[b.starts[i]:b.starts[i+1]] {
		a := b.slopes[e.row] * e.value
		slope += a
		square += a * e.value
		vec.Axpy(a, b.sums[int(e.row)*k:(int(e.row)+1)*k], g)
	}
	return slope, square
}

// Adam's decays.
const (
	beta1 = 0.9
	beta2 = 0.999
)

// forward begins the next step, with that of the bias, whose gradient is sum.
func (w *work) forward(sum, scale float64) {
	w.step++
	w.linearRate, w.pairsRate = w.adamRate(w.linear.lr), w.adamRate(w.pairs.lr)
	if w.useBias {
		r := w.adamRate(w.bias.lr)
		w.adam(&w.model.bias, &w.bias1, &w.bias2, float32(sum*scale), r, float32(w.bias.wd))
	}
}

// adamRate is a learning rate with the correction of this step.
func (w *work) adamRate(lr float64) float32 {
	t := float64(w.step)
	return float32(lr * math.Sqrt(1-math.Pow(beta2, t)) / (1 - math.Pow(beta1, t)))
}

// adam makes a step of one weight. As in MXNet the penalty is part of the
// gradient, which is clipped then.
//
// Source: Kingma and Ba, "Adam", ICLR 2015.
func (w *work) adam(x, m, v *float32, g, rate, wd float32) {
	g += wd * *x
	if w.clip > 0 {
		g = min(max(g, -w.clip), w.clip)
	}
	*m = beta1**m + (1-beta1)*g
	*v = beta2**v + (1-beta2)*g*g
	*x -= rate * *m / (float32(math.Sqrt(float64(*v))) + w.eps)
}

// update makes a step of a feature by the sums of addUp, which it uses up. A
// feature that no row of the batch has stays as it is, its penalty and Adam's
// means too: MXNet's "lazy update" of sparse gradients.
func (w *work) update(f int, g []float32, slope, square, scale float32) {
	m, k := w.model, w.factors
	if w.useLinear {
		w.adam(&m.linear[f], &w.linear1[f], &w.linear2[f], slope*scale, w.linearRate, float32(w.linear.wd))
	}
	x, m1, m2 := m.pairs[f*k:(f+1)*k], w.pairs1[f*k:(f+1)*k], w.pairs2[f*k:(f+1)*k]
	g, m1, m2 = g[:len(x)], m1[:len(x)], m2[:len(x)]
	rate, wd, eps, sum := w.pairsRate, float32(w.pairs.wd), w.eps, float32(0)
	for i, old := range x {
		d := scale*(g[i]-square*old) + wd*old
		if w.clip > 0 {
			d = min(max(d, -w.clip), w.clip)
		}
		m1[i] = beta1*m1[i] + (1-beta1)*d
		m2[i] = beta2*m2[i] + (1-beta2)*d*d
		old -= rate * m1[i] / (float32(math.Sqrt(float64(m2[i]))) + eps)
		x[i] = old
		sum += old * old
	}
	w.squares[f] = sum
}

// together is the rest of batchOf on several hosts. Each tells the sums of its
// features, and all make the same step by all of them.
func (w *work) together(t *table, sum float64, all tally, scale float64) (stop bool, err error) {
	b, k := &w.batch, w.factors
	head := make([]float64, 2+tallyLen)
	head[0] = sum
	if w.ctx.Err() != nil {
		head[1] = 1
	}
	all.to(head[2:])
	if err := w.in.Peers.SumFloats(w.all, head); err != nil || head[1] > 0 {
		w.clearSlots()
		return true, err
	}
	all.from(head[2:])
	w.tally.plus(&all)
	own := make([]byte, 0, len(b.features)*4*(k+3))
	g := make([]float32, k)
	for i, f := range b.features {
		slope, square := b.addUp(i, k, g)
		own = binary.LittleEndian.AppendUint32(own, uint32(f))
		for _, v := range append([]float32{slope, square}, g...) {
			own = binary.LittleEndian.AppendUint32(own, math.Float32bits(v))
		}
	}
	w.clearSlots()
	parts, err := w.in.Peers.AllGather(w.all, own)
	if err != nil {
		return true, err
	}
	b.features, b.gradient = b.features[:0], b.gradient[:0]
	size := k + 2
	for _, part := range parts {
		if len(part)%(4*(size+1)) != 0 {
			return true, fmt.Errorf("a host sent %d bytes of gradients", len(part))
		}
		for ; len(part) > 0; part = part[4*(size+1):] {
			f := int32(binary.LittleEndian.Uint32(part))
			if b.slot[f] == 0 {
				b.features = append(b.features, f)
				b.slot[f] = int32(len(b.features))
				b.gradient = append(b.gradient, make([]float32, size)...)
			}
			to := b.gradient[int(b.slot[f]-1)*size:]
			for i := range size {
				to[i] += math.Float32frombits(binary.LittleEndian.Uint32(part[4*(i+1):]))
			}
		}
	}
	w.forward(head[0], scale)
	w.each(len(b.features), 8*len(b.features)*k, func(i int) {
		g := b.gradient[i*size : (i+1)*size]
		w.update(int(b.features[i]), g[2:], g[0], g[1], float32(scale))
	})
	w.clearSlots()
	return false, nil
}

// resize gives s with length n; the content is not defined.
func resize[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]T, n)
}
