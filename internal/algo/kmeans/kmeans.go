// SPDX-License-Identifier: Apache-2.0

// Package kmeans is SageMaker's k-means: centres that follow mini-batches, more
// of them than asked for, and are drawn together at the end.
//
// Sources: Sculley, "Web-Scale K-Means Clustering", WWW 2010; "How K-Means
// Clustering Works" in the SageMaker developer guide.
package kmeans

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is SageMaker's k-means.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train learns centres from the channel train and tells how far the rows of it,
// and of test where there is one, are from them. When ctx is cancelled it gives
// the centres so far, and ctx's error when there are none.
//
// Of several hosts each learns from its own part of the rows; all get the model
// that one host with all rows would get, but for the last bits of sums.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report := firstparty.Begin(in, "AWS/KMeansWebscale")
	train, err := load(ctx, in, "train")
	if err != nil {
		return nil, err
	}
	k := in.Params.Int("k")
	if train.Total < k {
		return nil, algo.ClientErrorf("train channel: %d rows, but k is %d: at least as many rows as clusters are needed", train.Total, k)
	}
	var test *table
	if in.Channels["test"] != nil {
		if test, err = load(ctx, in, "test"); err != nil {
			return nil, err
		}
	}
	l := newLearner(in, report, train)
	if l.many > mostNumbers/l.d {
		return nil, algo.ClientErrorf("Hyperparameter k: %d centres of %d features do not fit into memory; a smaller k or extra_center_factor does", l.many, l.d)
	}
	if err := l.learn(ctx); err != nil {
		return nil, err
	}
	m := l.model()
	if err := l.measure(ctx, train, "train"); err != nil {
		return nil, err
	}
	if test != nil && ctx.Err() == nil {
		test.origin = train.origin
		if err := l.measure(ctx, test, "test"); err != nil {
			return nil, err
		}
	}
	report.End()
	return m, nil
}

func load(ctx context.Context, in algo.Input, name string) (*table, error) {
	p, err := across.Load(ctx, in, in.Channels[name], data.Options{
		Formats: []data.Format{data.RecordIO, data.CSV}, Unsupervised: true,
		Cols: in.Params.Int("feature_dim"), Finite: true, Threads: in.Threads,
		Bounds: data.Squarable,
	})
	if err != nil {
		return nil, err
	}
	return newTable(p), nil
}

// measure shows how far the rows of a channel are from the centres.
func (l *learner) measure(ctx context.Context, t *table, channel string) error {
	if err := l.passes.run(ctx, t, nil, l.final, l.k, false, false); err != nil {
		return err
	}
	for _, name := range l.evaluated {
		m, v := msd, l.passes.loss/float64(t.Total)
		if name == "ssd" {
			m, v = ssd, l.passes.loss
		}
		if channel == "test" {
			l.report.Score(channel, name, v)
		}
		l.report.Final(channel, m, v)
	}
	return nil
}

// Load reads the centres in model_algo-1.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, artifact)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return readModel(b)
}

// Centres are at most so many numbers, a few dozen bytes each; auto stays well
// below that.
const (
	mostNumbers = 1 << 30
	autoNumbers = 1 << 27
)

// autoFactor is how many times k centres there are where the user leaves it open:
// at least so many that the end has something to choose from, and for a small k
// many, since they cost little there.
func autoFactor(k, d int) int {
	factor := max(2, min(10, (250+k-1)/k))
	return max(1, min(factor, autoNumbers/d/k))
}

const autoTrials = 10
