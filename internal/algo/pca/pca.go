// SPDX-License-Identifier: Apache-2.0

// Package pca is principal component analysis: the directions in which rows vary
// most, and rows projected on them.
//
// Source: "How PCA Works" in the SageMaker developer guide.
package pca

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/floats"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Algorithm is SageMaker's PCA.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train finds the components. Of several hosts each adds up its own rows; all of
// them get the same model.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "PCA")
	p := in.Params
	dims, k := p.Int("feature_dim"), p.Int("num_components")
	if k > dims {
		return nil, algo.ClientErrorf("Hyperparameter num_components: %d is more than feature_dim, which is %d", k, dims)
	}
	opts := data.Options{
		Formats: []data.Format{data.RecordIO, data.CSV}, Cols: dims, Finite: true, Unsupervised: true, Threads: in.Threads,
	}
	train, err := data.Load(in.Channels["train"], opts)
	if errors.Is(err, data.ErrNoRows) && in.Peers.Size() > 1 {
		train, err = &algo.Matrix{Cols: dims}, nil
	}
	if err != nil {
		return nil, err
	}
	test, err := loadTest(in, opts)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	t := &table{ctx: ctx, m: train, to: train.Rows, dims: dims, threads: in.Threads, peers: in.Peers}
	if size := in.Peers.Size(); size > 1 && !in.Channels["train"].Sharded { // all have all rows: each takes its part
		t.from, t.to = in.Peers.Rank()*train.Rows/size, (in.Peers.Rank()+1)*train.Rows/size
	}
	b, err := components(t, p)
	if err != nil {
		return nil, err
	}
	if b.vanishing() {
		// Squares of very large numbers, or of very small ones, are none in float32.
		scale, err := t.rescale()
		if err != nil {
			return nil, err
		}
		if scale != 1 {
			if b, err = components(t, p); err != nil {
				return nil, err
			}
			vec.Scale(float32(1/scale), t.mean)
			floats.Scale(1/scale, b.s)
		}
	}
	m := newModel(t.mean, b)
	batches := (t.rows() + p.Int("mini_batch_size") - 1) / p.Int("mini_batch_size")
	report.Info("%d components of %d records", k, t.all)
	report.Progress(1, 1)
	report.Throughput(t.rows(), time.Since(began))
	report.Counts(0, t.rows(), batches)
	if test != nil {
		left, err := m.left(ctx, in, test)
		if err != nil {
			return nil, err
		}
		report.Score("test", "mse", left)
	}
	report.End()
	return m, nil
}

// loadTest reads the channel test, nil when there is none.
func loadTest(in algo.Input, opts data.Options) (*algo.Matrix, error) {
	ch := in.Channels["test"]
	if ch == nil {
		return nil, nil
	}
	test, err := data.Load(ch, opts)
	if errors.Is(err, data.ErrNoRows) && in.Peers.Size() > 1 && ch.Sharded {
		return &algo.Matrix{Cols: opts.Cols}, nil
	}
	return test, err
}

// components finds the mean and the components of t as the hyperparameters p say.
func components(t *table, p algo.Params) (*basis, error) {
	if err := t.center(p.Bool("subtract_mean")); err != nil {
		return nil, err
	}
	k := p.Int("num_components")
	if p.String("algorithm_mode") == "regular" {
		return exact(t, k)
	}
	extra := p.Int("extra_components")
	if extra < 0 {
		extra = max(10, k)
	}
	return sketch(t, k, min(k+extra, t.dims), p.Int("mini_batch_size"))
}

// left is the mean over the rows of all hosts of |x - x̂|², where x̂ is what the
// projection tells of the row x.
func (m *Model) left(ctx context.Context, in algo.Input, rows *algo.Matrix) (float64, error) {
	p, err := m.Predict(ctx, rows)
	if err != nil {
		return 0, err
	}
	sum, room := 0.0, make([]float32, rows.Cols)
	for i := range rows.Rows {
		whole, told := 0.0, 0.0
		for j, v := range rows.Row(i, room) {
			whole += (float64(v) - float64(m.mean[j])) * (float64(v) - float64(m.mean[j]))
		}
		for _, v := range p.Values[i*p.Width : (i+1)*p.Width] {
			told += float64(v) * float64(v)
		}
		sum += math.Max(whole-told, 0)
	}
	all := []float64{sum, float64(rows.Rows)}
	if err := in.Peers.SumFloats(ctx, all); err != nil {
		return 0, fmt.Errorf("add up the test records: %w", err)
	}
	return all[0] / math.Max(all[1], 1), nil
}
