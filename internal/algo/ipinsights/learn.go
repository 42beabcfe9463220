// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// table is parameters in rows of dim that are updated row by row: Adam moves
// only what a batch has touched. The dense layers are tables of one row each
// that is touched by every batch.
type table struct {
	dim         int
	value, m, v []float32
}

func newTable(value []float32, dim int) *table {
	return &table{dim, value, make([]float32, len(value)), make([]float32, len(value))}
}

// Adam's constants. Source: Kingma and Ba, "Adam", ICLR 2015.
const beta1, beta2, epsilon = 0.9, 0.999, 1e-8

// step moves row by the gradient g, which it changes; rate has the correction
// for the bias of the first steps in it.
func (t *table) step(row int, g []float32, rate, decay float32) {
	value, m, v := t.value[row*t.dim:(row+1)*t.dim], t.m[row*t.dim:(row+1)*t.dim], t.v[row*t.dim:(row+1)*t.dim]
	for i := range value {
		d := g[i] + decay*value[i]
		m[i] = beta1*m[i] + (1-beta1)*d
		v[i] = beta2*v[i] + (1-beta2)*d*d
		value[i] -= rate * m[i] / (float32(math.Sqrt(float64(v[i]))) + epsilon)
	}
}

// trainer learns m. All that a batch does is cut by rows, never by who is free,
// so that the sums have one order and the model the same bytes on any number of
// threads.
type trainer struct {
	options
	m      *Model
	rng    *rand.Rand
	steps  int
	entity *table
	prefix [len(prefixes)]*table
	weight []*table
	bias   []*table

	// Of a batch: its examples, and for each address vector and gradient.
	examples []example
	ips      []uint32
	states   [][]float32
	grads    []float32
	room     []float32
	turned   [2][]float32
}

// example is a pair and whether it is real.
type example struct {
	pair
	real  bool
	slope float32 // of the loss by the score
}

func newTrainer(m *Model, o options) *trainer {
	t := &trainer{options: o, m: m, rng: rand.New(rand.NewPCG(seed, 2)), entity: newTable(m.entity, m.dim), states: make([][]float32, len(m.layers)+1)}
	for p := range prefixes {
		t.prefix[p] = newTable(m.prefix[p], m.dim)
	}
	for _, l := range m.layers {
		t.weight = append(t.weight, newTable(l.weight, m.dim))
		t.bias = append(t.bias, newTable(l.bias, m.dim))
	}
	return t
}

// most is how many examples are worked on at once: a batch of 500,000 pairs with
// 500 false ones each has 250 million. Its gradients are those of parts.
const most = 1 << 16

// epoch learns from all pairs once, in a new order.
func (t *trainer) epoch(ctx context.Context, report *firstparty.Report, number int, pairs []pair) (all tally, err error) {
	order := slices.Clone(pairs)
	t.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var since tally
	batch := 0
	for chunk := range slices.Chunk(order, min(t.batch, max(1, most/(1+t.random+t.shuffled)))) {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		seen := t.learn(chunk, order)
		all.add(seen)
		since.add(seen)
		if batch%t.interval == 0 {
			report.Batch(number, batch, "train", accuracy, since.accuracy())
			report.Batch(number, batch, "train", entropy, since.entropy())
			since = tally{}
		}
		batch++
	}
	return all, nil
}

// learn makes one step on a batch; addresses of false pairs come from all.
func (t *trainer) learn(batch, all []pair) tally {
	t.examples = t.examples[:0]
	for _, p := range batch {
		t.examples = append(t.examples, example{pair: p, real: true})
		for range t.random {
			t.examples = append(t.examples, example{pair: pair{p.entity, t.rng.Uint32()}})
		}
		for range t.shuffled {
			t.examples = append(t.examples, example{pair: pair{p.entity, all[t.rng.IntN(len(all))].ip}})
		}
	}
	n, d := len(t.examples), t.m.dim
	t.ips = t.ips[:0]
	for _, e := range t.examples {
		t.ips = append(t.ips, e.ip)
	}
	for l := range t.states {
		t.states[l] = grown(t.states[l], n*d)
	}
	t.grads, t.room = grown(t.grads, n*d), grown(t.room, n*d)
	seen := t.forward()
	rate, decay := t.schedule(), float32(t.decay)
	t.entities(rate, decay)
	for l := len(t.m.layers) - 1; l >= 0; l-- {
		t.backward(l, rate, decay)
	}
	for p := range prefixes {
		t.update(t.prefix[p], rate, decay, func(i int) uint32 { return t.m.prefixRow(p, t.ips[i]) }, func(i int, into []float32) { vec.Axpy(1, t.grads[i*d:(i+1)*d], into) })
	}
	return seen
}

func grown(v []float32, n int) []float32 {
	if cap(v) < n {
		return make([]float32, n)
	}
	return v[:n]
}

// schedule is the rate of the next step.
func (t *trainer) schedule() float32 {
	t.steps++
	n := float64(t.steps)
	return float32(t.rate * math.Sqrt(1-math.Pow(beta2, n)) / (1 - math.Pow(beta1, n)))
}

// block is how many examples a goroutine takes at once.
const block = 512

// forward fills states, and the slope of each example's loss.
func (t *trainer) forward() (all tally) {
	n, d := len(t.examples), t.m.dim
	tallies := make([]tally, (n+block-1)/block)
	scale := 1 / float32(n)
	vec.Stretches(t.threads, n, block, func(_, from, to int) {
		part := make([][]float32, len(t.states))
		for l := range part {
			part[l] = t.states[l][from*d : to*d]
		}
		t.m.encode(t.ips[from:to], part, t.room[from*d:to*d])
		last, seen := part[len(part)-1], &tallies[from/block]
		for i := from; i < to; i++ {
			e := &t.examples[i]
			s := float64(vec.Dot(t.m.entityVector(e.entity), last[(i-from)*d:(i-from+1)*d]))
			y := 0.0
			if e.real {
				y = 1
			}
			e.slope = float32(1/(1+math.Exp(-s))-y) * scale
			seen.examples++
			seen.loss += math.Max(s, 0) - s*y + math.Log1p(math.Exp(-math.Abs(s)))
			if (s > 0) == e.real {
				seen.right++
			}
		}
	})
	for _, part := range tallies {
		all.add(part)
	}
	return all
}

// entities fills grads, by the vectors of addresses, and updates the vectors of
// entities.
func (t *trainer) entities(rate, decay float32) {
	d := t.m.dim
	vec.Stretches(t.threads, len(t.examples), block, func(_, from, to int) {
		clear(t.grads[from*d : to*d])
		for i := from; i < to; i++ {
			vec.Axpy(t.examples[i].slope, t.m.entityVector(t.examples[i].entity), t.grads[i*d:(i+1)*d])
		}
	})
	last := t.states[len(t.states)-1]
	t.update(t.entity, rate, decay, func(i int) uint32 { return t.examples[i].entity },
		func(i int, into []float32) { vec.Axpy(t.examples[i].slope, last[i*d:(i+1)*d], into) })
}

// update adds up the gradients of the examples of each row of a table and moves
// the row.
func (t *trainer) update(to *table, rate, decay float32, rowOf func(i int) uint32, add func(i int, into []float32)) {
	order := make([]uint64, len(t.examples)) // row and example: examples of a row keep their order
	for i := range order {
		order[i] = uint64(rowOf(i))<<32 | uint64(i)
	}
	slices.Sort(order)
	var starts []int
	for i := range order {
		if i == 0 || order[i]>>32 != order[i-1]>>32 {
			starts = append(starts, i)
		}
	}
	starts = append(starts, len(order))
	vec.Stretches(t.threads, len(starts)-1, 64, func(_, from, till int) {
		sum := make([]float32, to.dim)
		for r := from; r < till; r++ {
			clear(sum)
			for _, o := range order[starts[r]:starts[r+1]] {
				add(int(uint32(o)), sum)
			}
			to.step(int(order[starts[r]]>>32), sum, rate, decay)
		}
	})
}

// backward takes grads, by what layer l gives, to what it gets, and updates it.
func (t *trainer) backward(l int, rate, decay float32) {
	n, d, layer := len(t.examples), t.m.dim, t.m.layers[l]
	// Of the weights: gradᵀ·in, whose rows are those of the layer.
	rectify(t.room[:n*d], t.states[l][:n*d])
	for i, from := range [][]float32{t.grads, t.room} {
		t.turned[i] = grown(t.turned[i], n*d)
		turn(t.turned[i], from, n, d, t.threads)
	}
	turnedWeight := make([]float32, d*d)
	turn(turnedWeight, layer.weight, d, d, 1)
	slopes := make([]float32, d*d)
	vec.Stretches(t.threads, d, 16, func(_, from, to int) {
		vec.MulT(slopes[from*d:to*d], t.turned[0][from*n:to*n], t.turned[1], to-from, d, n)
	})
	biases := make([]float32, d)
	for i := range n {
		vec.Axpy(1, t.grads[i*d:(i+1)*d], biases)
	}
	// Of the input: grad·W where it was above 0.
	vec.Stretches(t.threads, n, block, func(_, from, to int) {
		vec.MulT(t.room[from*d:to*d], t.grads[from*d:to*d], turnedWeight, to-from, d, d)
		for i := from * d; i < to*d; i++ {
			t.grads[i] = 0
			if t.states[l][i] > 0 {
				t.grads[i] = t.room[i]
			}
		}
	})
	for r := range d {
		t.weight[l].step(r, slopes[r*d:(r+1)*d], rate, decay)
	}
	t.bias[l].step(0, biases, rate, 0)
}

// turn writes the transpose of the n×d matrix v.
func turn(out, v []float32, n, d, threads int) {
	vec.Stretches(threads, n, block, func(_, from, to int) {
		for i := from; i < to; i++ {
			for j, x := range v[i*d : (i+1)*d] {
				out[j*n+i] = x
			}
		}
	})
}
