// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// work is a training job under way.
type work struct {
	*config
	in     algo.Input
	ctx    context.Context // of the job
	all    context.Context // of what the hosts do together: a stop is agreed upon
	report *firstparty.Report

	model *Model
	// Adam's means of gradients and of their squares, as the model's weights lie.
	bias1, bias2     float32
	linear1, linear2 []float32
	pairs1, pairs2   []float32
	squares          []float32 // by feature: the sum of its factors' squares

	order                 []int32
	step                  int     // that have been made
	linearRate, pairsRate float32 // of the step
	batch                 batch
	tally                 tally // of the epoch
}

// seed is of all random draws: the algorithm has no hyperparameter for it.
const seed = 0x5a6eb705

// begin makes the first weights.
func (w *work) begin(t *table) {
	k, n := w.factors, w.features
	m := &Model{binary: w.binary, factors: k, linear: make([]float32, n), pairs: make([]float32, n*k)}
	m.prepare()
	rng := rand.New(rand.NewPCG(seed, 1))
	if w.useBias {
		m.bias = w.first(rng, "bias")()
	}
	if w.useLinear {
		draw := w.first(rng, "linear")
		for f := range m.linear {
			m.linear[f] = draw()
		}
	}
	draw := w.first(rng, "factors")
	for i := range m.pairs {
		m.pairs[i] = draw()
	}
	w.model = m
	w.linear1, w.linear2 = make([]float32, n), make([]float32, n)
	w.pairs1, w.pairs2 = make([]float32, n*k), make([]float32, n*k)
	w.squares = make([]float32, n)
	for f := range w.squares {
		v := m.pairs[f*k : (f+1)*k]
		w.squares[f] = vec.Dot(v, v)
	}
	w.order = make([]int32, t.total)
	for i := range w.order {
		w.order[i] = int32(i)
	}
	w.batch.slot = make([]int32, n)
}

// first draws the first values of a part.
func (w *work) first(rng *rand.Rand, part string) func() float32 {
	p := w.in.Params
	switch p.String(part + "_init_method") {
	case "constant":
		value := float32(p.Float(part + "_init_value"))
		return func() float32 { return value }
	case "uniform":
		scale := 0.07 // MXNet's
		if p.Has(part + "_init_scale") {
			scale = p.Float(part + "_init_scale")
		}
		return func() float32 { return float32(scale * (2*rng.Float64() - 1)) }
	}
	sigma := p.Float(part + "_init_sigma")
	return func() float32 { return float32(sigma * rng.NormFloat64()) }
}

// learn makes the epochs.
func (w *work) learn(t *table) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	// Batches are as large as each other: a short one at the end would weigh its
	// rows more.
	nb := (t.total + w.config.batch - 1) / w.config.batch
	for epoch := range w.epochs {
		began := time.Now()
		rng.Shuffle(len(w.order), func(i, j int) { w.order[i], w.order[j] = w.order[j], w.order[i] })
		w.tally = tally{}
		for b := range nb {
			stop, err := w.batchOf(t, b*t.total/nb, (b+1)*t.total/nb)
			if err != nil {
				return err
			}
			if stop && w.step == 0 {
				return w.ctx.Err()
			} else if stop {
				w.report.Info("Training was told to stop in epoch %d", epoch)
				return nil
			}
			if b%w.publish == 0 && w.host1() {
				w.tally.tell(w.binary, func(m firstparty.Measure, v float64) { w.report.Batch(epoch, b, "train", m, v) })
			}
		}
		if !w.host1() {
			continue
		}
		w.tally.tell(w.binary, func(m firstparty.Measure, v float64) { w.report.Epoch(epoch, "train", m, v) })
		w.report.Counts(epoch, t.total, nb)
		w.report.Progress(epoch+1, w.epochs)
		w.report.Throughput(t.total, time.Since(began))
	}
	return nil
}

func (w *work) host1() bool { return w.in.Peers.Rank() == 0 }

// finish measures the model.
func (w *work) finish(test *table) error {
	if w.host1() && w.tally.rows > 0 {
		w.tally.tell(w.binary, func(m firstparty.Measure, v float64) { w.report.Final("train", m, v) })
	}
	if !w.model.finite() {
		return algo.ClientErrorf("training diverged: weights are no finite numbers. Lower bias_lr, linear_lr or factors_lr, or scale large features")
	}
	if test != nil {
		sums := make([]float64, tallyLen)
		var y tally
		room := w.model.room()
		for i := range test.Rows {
			y.add(w.binary, w.model.score(test.Matrix, i, room), test.Label[i])
		}
		y.to(sums)
		if err := w.in.Peers.SumFloats(w.all, sums); err != nil {
			return err
		}
		if y.from(sums); w.host1() {
			y.tell(w.binary, func(m firstparty.Measure, v float64) { w.report.Score("test", m.Name, v) })
			y.tell(w.binary, func(m firstparty.Measure, v float64) { w.report.Final("test", m, v) })
		}
	}
	if w.host1() {
		w.report.End()
	}
	return nil
}

// tally is sums over rows that were predicted.
type tally struct {
	rows, loss, absolute                       float64 // of a classifier absolute is 0
	truePositive, falsePositive, falseNegative float64
}

const tallyLen = 6

func (y *tally) to(v []float64) {
	v[0], v[1], v[2], v[3], v[4], v[5] = y.rows, y.loss, y.absolute, y.truePositive, y.falsePositive, y.falseNegative
}

func (y *tally) from(v []float64) {
	*y = tally{v[0], v[1], v[2], v[3], v[4], v[5]}
}

func (y *tally) plus(o *tally) {
	y.rows += o.rows
	y.loss += o.loss
	y.absolute += o.absolute
	y.truePositive += o.truePositive
	y.falsePositive += o.falsePositive
	y.falseNegative += o.falseNegative
}

// add counts a row, whose score is raw, and gives the derivative of its loss:
// half the squared error of a regressor, the cross entropy of a classifier.
func (y *tally) add(binary bool, score float64, label float32) (slope float32) {
	y.rows++
	if !binary {
		e := score - float64(label)
		y.loss += e * e
		y.absolute += math.Abs(e)
		return float32(e)
	}
	t := math.Exp(-math.Abs(score))
	p := 1 / (1 + t)
	if score < 0 {
		p = t * p
	}
	y.loss += math.Log1p(t) + max(score, 0) - score*float64(label)
	switch positive := score >= 0; {
	case positive && label == 1:
		y.truePositive++
	case positive:
		y.falsePositive++
	case label == 1:
		y.falseNegative++
	}
	return float32(p - float64(label))
}

// tell calls write with what is measured.
func (y *tally) tell(binary bool, write func(m firstparty.Measure, v float64)) {
	n := max(y.rows, 1)
	if !binary {
		for i, v := range []float64{math.Sqrt(y.loss / n), y.loss / n, y.absolute / n} {
			write(numbers[i], v)
		}
		return
	}
	f := 0.0
	if y.truePositive > 0 {
		f = 2 * y.truePositive / (2*y.truePositive + y.falsePositive + y.falseNegative)
	}
	for i, v := range []float64{1 - (y.falsePositive+y.falseNegative)/n, y.loss / n, f} {
		write(classes[i], v)
	}
}

// each calls do for all i < n on so many goroutines, or by the caller alone when
// the work, about so many nanoseconds, is small.
func (w *work) each(n, cost int, do func(i int)) {
	const small = 100_000
	threads := min(w.in.Threads, n)
	if threads < 2 || cost < small {
		for i := range n {
			do(i)
		}
		return
	}
	vec.Parallel(threads, threads, func(_, p int) {
		for i := p * n / threads; i < (p+1)*n/threads; i++ {
			do(i)
		}
	})
}
