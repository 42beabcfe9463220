// SPDX-License-Identifier: Apache-2.0

// Package fm is SageMaker's Factorization Machines, of order two: a linear model
// with a weight for each pair of features, which is the product of their factors.
//
// Source: Rendle, "Factorization Machines", ICDM 2010.
package fm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is Factorization Machines.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// rate is how one part of the model learns.
type rate struct{ lr, wd float64 }

// config is the hyperparameters of a job.
type config struct {
	binary              bool
	features, factors   int
	epochs, batch       int
	bias, linear, pairs rate
	useBias, useLinear  bool
	clip                float32 // 0 for none
	rescale             float64 // 0 for one through the rows of a batch
	eps                 float32
	publish             int
}

func configFrom(p algo.Params) (*config, error) {
	of := func(part string) rate { return rate{p.Float(part + "_lr"), p.Float(part + "_wd")} }
	c := &config{
		binary: p.String("predictor_type") == "binary_classifier", features: p.Int("feature_dim"), factors: p.Int("num_factors"),
		epochs: p.Int("epochs"), batch: p.Int("mini_batch_size"), bias: of("bias"), linear: of("linear"), pairs: of("factors"),
		useBias: p.Bool("use_bias"), useLinear: p.Bool("use_linear"), clip: float32(math.Abs(p.Float("clip_gradient"))),
		rescale: p.Float("rescale_grad"), eps: 1e-8, publish: p.Int("batch_metrics_publish_interval"),
	}
	if p.Has("eps") {
		c.eps = float32(p.Float("eps"))
	}
	// 12 GiB with what adam keeps beside them.
	const most = 1 << 30
	if c.factors > most || c.features > most/(c.factors+1) {
		return nil, algo.ClientErrorf("Hyperparameter feature_dim: %d features of %d factors are more than the %d weights that can be trained", c.features, c.factors, most)
	}
	return c, nil
}

// Train learns from the channel train and measures on test. The same data gives
// the same model, byte for byte, with any number of threads. When ctx is
// cancelled it gives the model so far, once there is one.
//
// Of several hosts each works on its own part of each mini-batch; the sums of
// gradients are those of one host with all data up to rounding.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "factorization-machines")
	c, err := configFrom(in.Params)
	if err != nil {
		return nil, err
	}
	if len(in.Hosts) > 1 && in.Peers.Size() != len(in.Hosts) {
		return nil, fmt.Errorf("train on %d hosts: they are not connected", len(in.Hosts))
	}
	w := &work{config: c, in: in, ctx: ctx, all: context.WithoutCancel(ctx), report: report}
	train, err := w.load("train")
	if err != nil {
		return nil, err
	}
	var test *table
	if in.Channels["test"] != nil {
		if test, err = w.load("test"); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil && in.Peers.Size() == 1 {
		return nil, ctx.Err()
	}
	w.begin(train)
	if err := w.learn(train); err != nil {
		return nil, err
	}
	if err := w.finish(test); err != nil {
		return nil, err
	}
	return w.model, nil
}

// table is the rows of a channel that this host has, sparse, and how many all
// hosts have.
type table struct {
	*algo.Matrix
	from, total int // place of the first of them among all, and the number of all
}

// load reads a channel.
func (w *work) load(name string) (*table, error) {
	m, err := data.Load(w.in.Channels[name], data.Options{
		Threads: w.in.Threads, Formats: []data.Format{data.RecordIO}, Cols: w.features, Finite: true, CheckLabel: w.checkLabel,
	})
	if w.in.Peers.Size() > 1 && errors.Is(err, data.ErrNoRows) {
		m, err = &algo.Matrix{Cols: w.features}, nil
	}
	if err != nil {
		return nil, err
	}
	t := &table{Matrix: sparse(m)}
	if t.from, t.total, err = w.in.Peers.Place(w.all, t.Rows); err != nil {
		return nil, err
	}
	if t.total == 0 {
		return nil, algo.ClientErrorf("%s channel: %w on any host", name, data.ErrNoRows)
	}
	return t, nil
}

func (w *work) checkLabel(y float32) error {
	switch {
	case w.binary && y != 0 && y != 1:
		return errors.New("0 or 1 was expected, for predictor_type binary_classifier")
	case math.IsNaN(float64(y)) || math.IsInf(float64(y), 0):
		return errors.New("a finite number was expected")
	}
	return nil
}

// sparse gives m without its zeros.
func sparse(m *algo.Matrix) *algo.Matrix {
	if m.Sparse() {
		return m
	}
	s := &algo.Matrix{Rows: m.Rows, Cols: m.Cols, Label: m.Label, Start: make([]int64, 1, m.Rows+1)}
	for i := range m.Rows {
		for f, v := range m.Values[i*m.Cols : (i+1)*m.Cols] {
			if v != 0 {
				s.Index, s.Values = append(s.Index, int32(f)), append(s.Values, v)
			}
		}
		s.Start = append(s.Start, int64(len(s.Values)))
	}
	return s
}
