// SPDX-License-Identifier: Apache-2.0

// Package knn is SageMaker's k-nearest neighbours: a sample of the rows, perhaps
// made shorter, in an index of the kinds that faiss has; the labels of the
// nearest ones make the prediction.
//
// Sources: "How the k-NN Algorithm Works" in the SageMaker developer guide;
// Johnson, Douze and Jégou, "Billion-scale similarity search with GPUs", 2017.
package knn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is SageMaker's k-NN.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train makes an index of the channel train, and tells how well the labels of
// test, where there is one, are predicted. When ctx is cancelled before the index
// is made it gives ctx's error.
//
// Several hosts sample the rows of all, and each makes the same index.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report := firstparty.Begin(in, "AWS/KNN")
	c, err := configOf(in.Params)
	if err != nil {
		return nil, err
	}
	train, err := load(ctx, in, "train", c.features, "")
	if err != nil {
		return nil, err
	}
	trainCols := "" // what says how many features the test channel has
	if c.features == 0 {
		c.features, trainCols = train.Cols, data.OfTrain
	}
	if err := c.checkTarget(c.features); err != nil {
		return nil, err
	}
	if train.Total < c.k {
		return nil, algo.ClientErrorf("train channel: %d rows, but k is %d: at least as many rows as neighbours are needed", train.Total, c.k)
	}
	var test across.Part
	if in.Channels["test"] != nil {
		if test, err = load(ctx, in, "test", c.features, trainCols); err != nil {
			return nil, err
		}
	}
	if err := c.checkSize(min(c.sample, train.Total)); err != nil {
		return nil, err
	}
	began := time.Now()
	m := newModel(c)
	v, labels, err := m.sample(ctx, in, train, min(c.sample, train.Total))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil && in.Peers.Size() == 1 {
		return nil, err
	}
	report.Info("Training: %d of %d rows make the index %s", len(labels), train.Total, c.index)
	if lists := c.lists; c.index != flat && lists > len(labels) {
		report.Warn("faiss_index_ivf_nlists is %d, but there are %d rows; there will be as many lists", lists, len(labels))
	}
	m.index, m.labels = build(c, v, len(labels), m.dims(), in.Threads), labels
	report.Progress(1, 1)
	report.Counts(0, train.Total, 1)
	report.Throughput(train.Total, time.Since(began))
	if test.Matrix != nil && (ctx.Err() == nil || in.Peers.Size() > 1) {
		if err := m.measure(ctx, in, test, report); err != nil {
			return nil, err
		}
	}
	report.End()
	return m, nil
}

func load(ctx context.Context, in algo.Input, name string, features int, featuresOf string) (across.Part, error) {
	return across.Load(ctx, in, in.Channels[name], data.Options{
		Formats: []data.Format{data.RecordIO, data.CSV}, Cols: features, ColsOf: featuresOf, Finite: true, Threads: in.Threads,
		CheckLabel: func(y float32) error {
			if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) {
				return errors.New("a finite number was expected")
			}
			return nil
		},
		Bounds: data.Squarable,
	})
}

// sample gives size of the rows of all hosts, each as likely as any other, as the
// index takes them, and their labels.
func (m *Model) sample(ctx context.Context, in algo.Input, p across.Part, size int) (v, labels []float32, err error) {
	all := across.Sample(size, p.Total, rand.New(rand.NewPCG(seed, seed)))
	own := make([]int, 0, len(all))
	for _, i := range all {
		if i >= p.First && i < p.First+p.Rows {
			own = append(own, i-p.First)
		}
	}
	d := m.dims()
	v, labels = make([]float32, len(own)*d), make([]float32, len(own))
	for at, i := range own {
		labels[at] = p.Label[i]
	}
	m.parallel(in.Threads, len(own), func(w *work, from, to int) {
		m.rows(w, p.Matrix, own[from:to], v[from*d:to*d])
	})
	if in.Peers.Size() == 1 {
		return v, labels, nil
	}
	parts, err := in.Peers.AllGatherFloats(context.WithoutCancel(ctx), append(labels, v...))
	if err != nil {
		return nil, nil, err
	}
	v, labels = make([]float32, 0, size*d), make([]float32, 0, size)
	for _, part := range parts {
		n := len(part) / (d + 1)
		labels, v = append(labels, part[:n]...), append(v, part[n:]...)
	}
	return v, labels, nil
}

// measure shows how well the labels of the test rows are predicted.
func (m *Model) measure(ctx context.Context, in algo.Input, p across.Part, report *firstparty.Report) error {
	predicted := make([]float32, p.Rows)
	m.parallel(in.Threads, p.Rows, func(w *work, from, to int) {
		m.search(w, p.Matrix, from, to, func(i int, label float32, _ []float32) { predicted[i] = label })
	})
	ctx = context.WithoutCancel(ctx)
	if m.note.Predictor == regressor {
		sum := []float64{0}
		for i, y := range p.Label {
			d := float64(y) - float64(predicted[i])
			sum[0] += d * d
		}
		if err := in.Peers.SumFloats(ctx, sum); err != nil {
			return err
		}
		report.Score("test", mse.Name, sum[0]/float64(p.Total))
		report.Final("test", mse, sum[0]/float64(p.Total))
		return nil
	}
	right, macro, err := classScores(ctx, in.Peers, p.Label, predicted)
	if err != nil {
		return err
	}
	report.Score("test", accuracy.Name, right/float64(p.Total))
	report.Score("test", "macro_f_1.000", macro)
	report.Final("test", accuracy, right/float64(p.Total))
	return nil
}

// Load reads model_algo-1, model_algo-1.labels and model_algo-1.json.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	var files [3][]byte
	for i, name := range []string{artifact, artifact + ".labels", artifact + ".json"} {
		b, err := fs.ReadFile(artifacts, name)
		if err != nil {
			return nil, fmt.Errorf("read the model: %w", err)
		}
		files[i] = b
	}
	return readModel(files[0], files[1], files[2])
}
