// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// watched is a data set whose metrics are shown each round.
type watched struct {
	name    string // train, validation
	m       *algo.Matrix
	margins []float32
	preds   []float32
}

// booster is a training run, or this host's part in one.
type booster struct {
	*config
	o       *objective
	shown   []metric
	workers int
	peers   *collective.Group // nil for one host
	sets    []*watched        // train first
	grow    maker             // nil where no trees are grown
	line    *linearLearner    // of gblinear
	out     dropout           // of dart
	from    *Model            // to go on with; of process_type=update: whose trees are gone over
	model   *Model
	print   func(format string, args ...any)
	before  []float32 // margins of the train rows before the round, of objectives with medians
}

// boost learns from train, and shows the metrics on it and on valid, which may
// be nil, through print. It is the whole of training but for reading data. It
// may add columns to sparse or empty matrices.
//
// Of several hosts each has its part of the rows, which may be none. All get
// the same model, and the first one prints.
func boost(ctx context.Context, c *config, peers *collective.Group, train, valid *algo.Matrix, threads int,
	print func(string, ...any),
) (*Model, error) {
	return boostFrom(ctx, c, peers, nil, train, valid, threads, print)
}

// boostFrom is boost that goes on with from, unless that is nil: with rounds
// behind its own, or of process_type=update with its trees.
func boostFrom(ctx context.Context, c *config, peers *collective.Group, from *Model, train, valid *algo.Matrix, threads int,
	print func(string, ...any),
) (*Model, error) {
	o, err := newObjective(c)
	if err != nil {
		return nil, err
	}
	if c.threads > 0 {
		threads = min(threads, c.threads)
	}
	t := &booster{config: c, from: from, o: o, workers: max(threads, 1), peers: peers, print: print}
	if t.shown, err = metricsOf(c, o); err != nil {
		return nil, err
	}
	if c.watch != "" && valid != nil && c.patience > 0 && !slices.ContainsFunc(t.shown, func(m metric) bool { return m.name == c.watch }) {
		return nil, algo.ClientErrorf("Metric '%s' cannot be watched for early stopping", c.watch)
	}
	if err := t.start(ctx, train, valid); err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// metricsOf gives the metrics to show: the objective's own when none of
// XGBoost's is named, and those that the container computes behind those of
// XGBoost, which does not hear of them.
func metricsOf(c *config, o *objective) ([]metric, error) {
	var own, custom []metric
	for _, name := range c.metrics {
		name = strings.TrimSpace(name)
		m, err := newMetric(name, o)
		if err != nil {
			return nil, err
		}
		if m.custom {
			custom = append(custom, m)
		} else {
			own = append(own, m)
		}
	}
	if len(own) == 0 {
		m, err := newMetric(o.metric, o)
		if err != nil {
			return nil, err
		}
		own = append(own, m)
	}
	return append(own, custom...), nil
}

// start checks the data, bins it and sets the intercept.
func (t *booster) start(ctx context.Context, train, valid *algo.Matrix) error {
	features := 0
	if t.peers.Size() > 1 && (t.o.single || slices.ContainsFunc(t.shown, func(m metric) bool { return m.name == "cox-nloglik" })) {
		return algo.ClientErrorf("survival:cox and cox-nloglik do not support distributed training: use one instance")
	}
	var at place // of the train channel's rows
	for _, set := range []*watched{{name: "train", m: train}, {name: "validation", m: valid}} {
		if set.m == nil {
			continue
		}
		if err := t.o.check(set.m); err != nil {
			return fmt.Errorf("%s channel: %w", set.name, err)
		}
		for _, m := range t.shown {
			if err := m.check(set.m); err != nil {
				return fmt.Errorf("%s channel: %w", set.name, err)
			}
		}
		where, err := settle(ctx, t.peers, set.name, set.m)
		if err != nil {
			return err
		}
		if err := agreeGroups(ctx, t.peers, set.name, set.m); err != nil {
			return err
		}
		if set.m == train {
			at = where
		}
		features = max(features, set.m.Cols)
		t.sets = append(t.sets, set)
	}
	if valid != nil && !valid.Sparse() && !train.Sparse() && valid.Cols != train.Cols {
		return algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d: the validation channel", train.Cols, valid.Cols)
	}
	if uint64(train.Rows) > math.MaxUint32 {
		return algo.ClientErrorf("the train channel has %d rows; at most %d can be learned from", train.Rows, uint32(math.MaxUint32))
	}
	if err := t.fits(train.Cols, t.peers.Size()); err != nil {
		return err
	}
	var err error
	if t.grow, err = t.maker(ctx, train, at); err != nil {
		return err
	}
	if t.booster == linearBooster {
		if t.line, err = newLinearLearner(train); err != nil {
			return fmt.Errorf("train channel: %w", err)
		}
	}
	base := make([]float32, 0, t.o.classes)
	if t.update {
		if base, err = t.updatable(features); err != nil {
			return err
		}
	} else if t.from != nil {
		for k := range t.o.classes {
			base = append(base, t.from.base[min(k, len(t.from.base)-1)])
		}
	} else if t.baseScore != nil {
		for range t.o.classes {
			base = append(base, *t.baseScore)
		}
	} else if base, err = t.o.estimate(ctx, t.peers, train, t.workers); err != nil {
		return err
	}
	t.model = &Model{
		objective: t.o.name, group: t.o.group, params: t.o.params,
		width: t.o.classes, features: features, base: base, parallel: t.parallelTrees,
		bounds: []int{0}, attributes: map[string]string{},
		booster: t.config.booster, types: t.featureTypes(features),
	}
	if t.line != nil {
		t.model.linear = make([]float32, (features+1)*t.o.classes)
	}
	for _, set := range t.sets {
		set.margins = make([]float32, 0, set.m.Rows*t.o.classes)
		for range set.m.Rows {
			for k := range base {
				set.margins = append(set.margins, t.model.baseMargin(k))
			}
		}
	}
	if t.from != nil && !t.update {
		if err := t.extend(ctx); err != nil {
			return err
		}
	}
	for _, set := range t.sets {
		set.preds = make([]float32, len(set.margins))
		t.transform(set)
	}
	return nil
}

// run boosts round after round.
func (t *booster) run(ctx context.Context) (*Model, error) {
	pairs := make([][]gradPair, t.o.classes)
	for k := range pairs {
		pairs[k] = make([]gradPair, t.sets[0].m.Rows)
	}
	stop := newStopper(t)
	first := t.model.NumRounds() // of a model to go on with
	for round := first; round < first+t.rounds; round++ {
		if stop, err := t.stopped(ctx); err != nil || stop != nil && (!t.keepOnStop || round == 0) {
			return nil, cmp.Or(err, stop)
		} else if stop != nil {
			break
		}
		// All hosts go through a round once they have agreed on it: a stop that
		// one of them hears of in between is for the next.
		ctx := context.WithoutCancel(ctx)
		if t.config.booster == dartBooster {
			if err := t.leaveOut(ctx, round); err != nil {
				return nil, err
			}
		}
		t.o.pairs(t.sets[0].m, t.sets[0].margins, t.sets[0].preds, pairs, t.workers)
		if t.o.medians {
			t.before = append(t.before[:0], t.sets[0].margins...)
		}
		if err := t.learn(ctx, pairs); err != nil {
			return nil, err
		}
		t.model.bounds = append(t.model.bounds, len(t.model.trees))
		values, err := t.show(ctx, round)
		if err != nil {
			return nil, err
		}
		done := stop.after(round, values)
		t.line.note(t.model, stop, round)
		if t.keep != nil && t.peers.Rank() == 0 {
			if err := t.keep(t.model, round); err != nil {
				return nil, err
			}
		}
		if done {
			break
		}
	}
	if stop != nil && stop.best >= 0 {
		// The container keeps the rounds up to the best one.
		m := t.model
		m.keepRounds(stop.best + 1)
		if t.line != nil {
			m.linear = t.line.best
		}
		m.attributes["best_iteration"] = strconv.Itoa(stop.best)
		m.attributes["best_score"] = strconv.FormatFloat(stop.score, 'g', -1, 64)
	}
	if err := t.model.prepare(); err != nil {
		return nil, fmt.Errorf("ready the model: %w", err)
	}
	return t.model, nil
}

// stopped gives the reason to stop, on all hosts alike when one of them has
// been told to. err is of another host.
func (t *booster) stopped(ctx context.Context) (stop, err error) {
	if t.peers.Size() == 1 {
		return ctx.Err(), nil
	}
	told := 0.0
	if ctx.Err() != nil {
		told = 1
	}
	all, err := gatherFloats(context.WithoutCancel(ctx), t.peers, told)
	if host, ok := errors.AsType[*collective.HostError](err); ok && host.Cause == collective.Stopped && told > 0 {
		// Another host has heard of this one's stop, and is gone before all have.
		return ctx.Err(), nil
	}
	if err != nil {
		return nil, err
	}
	for host, v := range all {
		if v[0] != 0 {
			if ctx.Err() != nil {
				return ctx.Err(), nil
			}
			return &collective.HostError{Host: t.peers.Host(host), Cause: collective.Stopped, Text: "was told to stop"}, nil
		}
	}
	return nil, nil
}

// addTree grows a tree for class k and adds its leaves to the margins.
func (t *booster) addTree(ctx context.Context, pairs []gradPair, k int) error {
	grown, err := t.grow.grow(ctx, pairs, uint64(len(t.model.trees)))
	if err != nil {
		return err
	}
	if t.refresh {
		if err := t.refreshTree(ctx, &grown.tree, pairs); err != nil {
			return err
		}
	}
	if t.o.medians {
		if err := t.leavesToMedians(ctx, grown, k); err != nil {
			return err
		}
	}
	width := t.o.classes
	t.grow.addLeaves(grown, t.sets[0].margins, width, k)
	t.model.trees = append(t.model.trees, grown.tree)
	t.model.class = append(t.model.class, int32(k))
	if len(t.sets) > 1 {
		f := forest{width: width}
		if err := f.grow(&grown.tree, int32(k), t.model.features); err != nil {
			return fmt.Errorf("flatten a grown tree: %w", err)
		}
		return f.add(context.Background(), t.sets[1].m, t.sets[1].margins, t.workers)
	}
	return nil
}

// addLeaves adds to margins, rows×width, at column k the leaf of every row.
func (g *grower) addLeaves(t *grown, margins []float32, width, k int) {
	vec.Parallel(g.threads, len(t.leaves), func(_, i int) {
		leaf := t.leaves[i]
		v := t.value[leaf.id]
		for _, r := range g.rows[leaf.lo:leaf.hi] {
			margins[int(r)*width+k] += v
		}
	})
	if g.out == nil {
		return
	}
	spans(g.threads, g.b.rows, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			if !g.out[r] {
				continue
			}
			at := int32(0)
			for t.left[at] >= 0 {
				bin, ok := g.b.bin(uint32(r), int(t.feature[at]))
				if ok && t.goesLeft(at, bin) || !ok && t.missingLeft[at] {
					at = t.left[at]
				} else {
					at = t.right[at]
				}
			}
			margins[r*width+k] += t.value[at]
		}
	})
}

// transform brings the predictions of a set up to its margins. Loss and
// metrics of softmax look at probabilities, although it predicts a class.
func (t *booster) transform(set *watched) {
	how, width := transformOf(t.o.name), t.o.classes
	switch {
	case how == toClass:
		how = toProbabilities
	case t.o.raw:
		how = identity
	}
	spans(t.workers, set.m.Rows, func(_, _, lo, hi int) {
		part := set.preds[lo*width : hi*width]
		copy(part, set.margins[lo*width:hi*width])
		how.apply(part, width)
	})
}

// show prints the metrics of a round as XGBoost's EvaluationMonitor does and
// gives those of the last data set.
func (t *booster) show(ctx context.Context, round int) ([]float64, error) {
	across := newAcross(ctx, t.peers)
	var line strings.Builder
	fmt.Fprintf(&line, "[%d]", round)
	var all [][]float64
	var values []float64
	for _, set := range t.sets {
		t.transform(set)
		s := &seen{m: set.m, margins: set.margins, preds: set.preds, width: t.o.classes, threads: t.workers, across: across}
		values = make([]float64, 0, len(t.shown))
		for _, m := range t.shown {
			v := m.eval(s)
			values = append(values, v)
			fmt.Fprintf(&line, "\t%s-%s:%s", set.name, m.name, pythonFloat(v))
		}
		all = append(all, values)
	}
	if t.seen != nil {
		t.seen(all)
	}
	if across != nil && across.err != nil {
		return nil, fmt.Errorf("compute the metrics: %w", across.err)
	}
	if t.peers.Rank() == 0 {
		t.print("%s", line.String())
	}
	return values, nil
}

// pythonFloat writes v as Python's format(v, ".5f").
func pythonFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	return strconv.FormatFloat(v, 'f', 5, 64)
}

// stopper is early stopping on the validation data.
type stopper struct {
	metric   int
	maximize bool
	patience int
	best     int // round, -1 for none yet
	score    float64
}

// newStopper gives nil where nothing is to be watched.
func newStopper(t *booster) *stopper {
	if t.patience == 0 || len(t.sets) < 2 {
		return nil
	}
	s := &stopper{metric: len(t.shown) - 1, patience: t.patience, best: -1}
	for i, m := range t.shown {
		if m.name == t.watch {
			s.metric = i
		}
	}
	s.maximize = t.shown[s.metric].maximize
	return s
}

// after takes the values of a round and tells whether to stop.
func (s *stopper) after(round int, values []float64) bool {
	if s == nil {
		return false
	}
	v := values[s.metric]
	if s.best < 0 || s.maximize && v > s.score || !s.maximize && v < s.score {
		s.best, s.score = round, v
	}
	return round-s.best >= s.patience
}
