// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// seed is that of all random choices: the hyperparameters have none.
const seed = 1

// learner is training under way.
type learner struct {
	passes
	params    algo.Params
	report    *firstparty.Report
	t         *table
	k         int // clusters
	many      int // centres while it learns
	evaluated []string
	rng       *rand.Rand

	centre []float64 // many×D, less the origin
	single []float32 // the same
	seen   []float64 // by centre: how many rows it has seen, less what has decayed
	final  []float32 // k×D, less the origin
}

func newLearner(in algo.Input, report *firstparty.Report, t *table) *learner {
	p := in.Params
	l := &learner{
		passes: passes{peers: in.Peers, threads: in.Threads, d: t.Cols},
		params: p, report: report, t: t, k: p.Int("k"), evaluated: p.List("eval_metrics"), rng: rand.New(rand.NewPCG(seed, seed)),
	}
	factor := autoFactor(l.k, l.d)
	if p.Auto("extra_center_factor") {
		report.Info("'extra_center_factor' was set to 'auto', evaluated to %d.", factor)
	} else {
		factor = p.Int("extra_center_factor")
	}
	l.many = t.Total
	if factor < (t.Total+l.k-1)/l.k {
		l.many = l.k * factor
	}
	return l
}

// learn finds the final centres.
func (l *learner) learn(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	stopped, err := l.stream(ctx)
	if err != nil {
		return err
	}
	l.shrink()
	if stopped || l.params.Int("half_life_time_size") > 0 {
		return nil
	}
	return l.polish(ctx)
}

// begin puts the first centres on rows of a sample, of all hosts.
func (l *learner) begin(ctx context.Context) error {
	b := newBatches(l.t.Total, max(l.params.Int("mini_batch_size"), 3*l.many), seed)
	if b.size(0) < l.many {
		b = newBatches(l.t.Total, l.t.Total, seed)
	}
	rows := b.of(0, l.t.First, l.t.Rows, nil)
	before, err := l.shares(ctx, float64(len(rows)))
	if err != nil {
		return err
	}
	if err := l.setOrigin(ctx, rows, b.size(0)); err != nil {
		return err
	}
	if l.params.String("init_method") == "random" {
		l.centre = make([]float64, l.many*l.d)
		x := make([]float32, l.d)
		for c, i := range across.Sample(l.many, b.size(0), l.rng) {
			if own := i - int(before); own >= 0 && own < len(rows) {
				l.t.put(x, int(rows[own]))
				widen(l.centre[c*l.d:(c+1)*l.d], x)
			}
		}
		return l.peers.SumFloats(ctx, l.centre)
	}
	return l.spread(ctx, rows)
}

// shares is what the hosts before this one have of something.
func (l *learner) shares(ctx context.Context, own float64) (before float64, err error) {
	all := make([]float64, l.peers.Size())
	all[l.peers.Rank()] = own
	err = l.peers.SumFloats(ctx, all)
	for _, v := range all[:l.peers.Rank()] {
		before += v
	}
	return before, err
}

func widen(to []float64, x []float32) {
	for k, v := range x {
		to[k] = float64(v)
	}
}

// setOrigin makes the mean of the sampled rows the origin of dense ones.
func (l *learner) setOrigin(ctx context.Context, rows []int32, all int) error {
	if l.t.keepsSparse() {
		return nil
	}
	sum := make([]float64, l.d)
	x := make([]float32, l.d)
	for _, i := range rows {
		vec.Accumulate(l.t.Row(int(i), x), sum)
	}
	if err := l.peers.SumFloats(ctx, sum); err != nil {
		return err
	}
	for k, v := range sum {
		l.t.origin[k] = float32(v / float64(all))
	}
	return nil
}

// spread is k-means++ on the sampled rows: each next centre is drawn with
// probability proportional to its squared distance to the nearest one so far.
func (l *learner) spread(ctx context.Context, rows []int32) error {
	near := make([]float64, len(rows))
	for i := range near {
		near[i] = 1
	}
	x := make([]float32, l.d)
	for c := range l.many {
		own := 0.0
		for _, v := range near {
			own += v
		}
		all := make([]float64, l.peers.Size())
		all[l.peers.Rank()] = own
		if err := l.peers.SumFloats(ctx, all); err != nil {
			return err
		}
		whole := 0.0
		for _, v := range all {
			whole += v
		}
		left := l.rng.Float64() * whole
		next := make([]float64, l.d)
		if whole > 0 {
			host := 0
			for host+1 < len(all) && (left >= all[host] || all[host] == 0) {
				left -= all[host]
				host++
			}
			if host == l.peers.Rank() && len(rows) > 0 {
				l.t.put(x, int(rows[at(near, left)]))
				widen(next, x)
			}
			if err := l.peers.SumFloats(ctx, next); err != nil {
				return err
			}
		} else { // fewer different rows than centres: the rest are copies
			copy(next, l.centre[:l.d])
		}
		l.centre = append(l.centre, next...)
		narrow(x, next)
		if c == 0 {
			for i := range near {
				near[i] = math.Inf(1)
			}
		}
		l.t.distances(rows, x, near, l.threads)
	}
	return nil
}

// at is the index at which the sum of weight passes left.
func at(weight []float64, left float64) int {
	last := 0
	for i, w := range weight {
		if w > 0 {
			if left < w {
				return i
			}
			left -= w
			last = i
		}
	}
	return last
}

func narrow(to []float32, x []float64) {
	for k, v := range x {
		to[k] = float32(v)
	}
}

// stream moves the centres batch by batch. stopped says that a host was told to
// stop.
func (l *learner) stream(ctx context.Context) (stopped bool, err error) {
	epochs, half := l.params.Int("epochs"), l.params.Float("half_life_time_size")
	l.seen, l.single = make([]float64, l.many), make([]float32, l.many*l.d)
	var rows []int32
	for epoch := range epochs {
		began := time.Now()
		b := newBatches(l.t.Total, l.params.Int("mini_batch_size"), splitmix(uint64(epoch))+seed)
		loss := 0.0
		for i := range b.count {
			rows = b.of(i, l.t.First, l.t.Rows, rows)
			narrow(l.single, l.centre)
			if err := l.run(ctx, l.t, rows, l.single, l.many, true, ctx.Err() != nil); err != nil {
				return false, err
			}
			keep := 1.0
			if half > 0 {
				keep = math.Exp2(-float64(b.size(i)) / half)
			}
			l.move(keep)
			loss += l.loss
			if l.stopAsked {
				l.report.Info("Training was told to stop; the centres so far make the model")
				return true, nil
			}
		}
		l.report.Info("epoch %d: mean square distance of rows to the %d centres as they were met: %g", epoch, l.many, loss/float64(l.t.Total))
		l.report.Progress(epoch+1, epochs)
		l.report.Counts(epoch, l.t.Total, b.count)
		l.report.Throughput(l.t.Total, time.Since(began))
	}
	return false, nil
}

// move draws each centre towards the mean of the rows of a batch that are its
// own. keep is what is left of the weight of earlier rows.
func (l *learner) move(keep float64) {
	vec.Stretches(l.threads, l.many, moveBlock, func(_, from, to int) {
		for c := from; c < to; c++ {
			l.seen[c] *= keep
			n := l.count[c]
			if n == 0 {
				continue
			}
			l.seen[c] += n
			part := n / l.seen[c]
			centre, sum := l.centre[c*l.d:(c+1)*l.d], l.sum[c*l.d:(c+1)*l.d]
			for k, v := range sum {
				centre[k] += part * (v/n - centre[k])
			}
		}
	})
}

// moveBlock is how many centres one goroutine moves at a time.
const moveBlock = 64

// shrink makes k centres of the many, each of which counts as often as it has
// seen rows.
func (l *learner) shrink() {
	narrow(l.single, l.centre)
	if l.many == l.k {
		l.final = l.single
		return
	}
	l.report.Info("shrinking %d centers into %d", l.many, l.k)
	trials := autoTrials
	if !l.params.Auto("local_lloyd_num_trials") {
		trials = l.params.Int("local_lloyd_num_trials")
	}
	how := Lloyd{
		K: l.k, Random: l.params.String("local_lloyd_init_method") == "random", Rounds: l.params.Int("local_lloyd_max_iter"),
		Tolerance: l.params.Float("local_lloyd_tol"), Threads: l.threads,
	}
	points := Points{V: l.single, N: l.many, D: l.d, Weight: l.seen}
	least := math.Inf(1)
	for i := range trials {
		centres, loss := how.Fit(points, l.rng)
		l.report.Info("local kmeans attempt #%d. Current mean square distance %g", i, loss)
		if loss < least || l.final == nil {
			least, l.final = loss, centres
		}
	}
	l.report.Info("finished shrinking process. Mean Square Distance = %g", least)
}

// Rounds of Lloyd's method on rows follow on the finished centres: first on a
// sample, until a round gains next to nothing, then a few on all rows. They cost
// little beside what was done with many times as many centres.
const (
	sampleRows   = 1 << 16 // at least, and so many for each cluster
	sampleEach   = 1 << 9
	sampleRounds = 100
	sampleGain   = 2e-4
	allRounds    = 5
	allGain      = 1e-3
)

// polish draws the final centres to the means of their rows.
func (l *learner) polish(ctx context.Context) error {
	b := newBatches(l.t.Total, max(sampleRows, sampleEach*l.k), splitmix(seed))
	if b.count > 1 {
		rows := b.of(0, l.t.First, l.t.Rows, make([]int32, 0, b.size(0)))
		if stopped, err := l.refine(ctx, rows, sampleRounds, sampleGain); err != nil || stopped {
			return err
		}
	}
	_, err := l.refine(ctx, nil, allRounds, allGain)
	return err
}

// refine does rounds of Lloyd's method on rows, nil for all, until one gains less
// than a share of the loss.
func (l *learner) refine(ctx context.Context, rows []int32, rounds int, gain float64) (stopped bool, err error) {
	last := math.Inf(1)
	for range rounds {
		if err := l.run(ctx, l.t, rows, l.final, l.k, true, ctx.Err() != nil); err != nil {
			return false, err
		}
		if l.stopAsked {
			return true, nil
		}
		if last-l.loss <= gain*last && !math.IsInf(last, 1) {
			return false, nil
		}
		last = l.loss
		for c, n := range l.count {
			if n > 0 {
				for k, v := range l.sum[c*l.d : (c+1)*l.d] {
					l.final[c*l.d+k] = float32(v / n)
				}
			}
		}
	}
	return false, nil
}

// model is the final centres as a model.
func (l *learner) model() *Model {
	v := make([]float32, len(l.final))
	for i, x := range l.final {
		v[i] = x + l.t.origin[i%l.d]
	}
	return newModel(v, l.k, l.d)
}
