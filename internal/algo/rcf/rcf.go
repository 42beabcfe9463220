// SPDX-License-Identifier: Apache-2.0

// Package rcf is Random Cut Forest: trees of random cuts over samples of the
// data, and scores that say how much a row would change them.
//
// Source: Guha, Mishra, Roy and Schrijvers, "Robust Random Cut Forest Based
// Anomaly Detection on Streams", ICML 2016; "How RCF Works" in the SageMaker
// developer guide. Scores are those of the open-source forest of AWS.
package rcf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Algorithm is SageMaker's Random Cut Forest.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// seed is that of all draws: the algorithm has no hyperparameter for it.
const seed = 0x52434621

// Train builds the forest. Of several hosts each gives the rows of the sample
// that it holds; all of them get the same forest.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "RandomCutForest")
	if ch := in.Channels["train"]; !ch.Sharded {
		return nil, algo.ClientErrorf("the train channel is FullyReplicated: Random Cut Forest takes it with S3DataDistributionType ShardedByS3Key only")
	}
	if ch := in.Channels["test"]; ch != nil && ch.Sharded {
		return nil, algo.ClientErrorf("the test channel is ShardedByS3Key: Random Cut Forest takes it with S3DataDistributionType FullyReplicated only")
	}
	opts := data.Options{
		Formats: []data.Format{data.RecordIO, data.CSV}, Cols: in.Params.Int("feature_dim"), Finite: true, Unsupervised: true, Threads: in.Threads,
	}
	train, err := data.Load(in.Channels["train"], opts)
	if errors.Is(err, data.ErrNoRows) && in.Peers.Size() > 1 {
		train, err = &algo.Matrix{Cols: opts.Cols}, nil
	}
	if err != nil {
		return nil, err
	}
	test, err := loadTest(in, opts)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	trees, size := in.Params.Int("num_trees"), in.Params.Int("num_samples_per_tree")
	f, seen, err := grow(ctx, in, train, trees, size)
	if err != nil {
		return nil, err
	}
	report.Info("A forest of %d trees with up to %d of %d records each", trees, min(size, seen), seen)
	report.Throughput(train.Rows, time.Since(began))
	report.Counts(0, train.Rows, 1)
	if test != nil {
		if err := evaluate(ctx, report, f, test, in.Params.List("eval_metrics")); err != nil {
			return nil, err
		}
	}
	report.Progress(1, 1)
	report.End()
	return f, nil
}

// loadTest reads the channel test, nil when there is none.
func loadTest(in algo.Input, opts data.Options) (*algo.Matrix, error) {
	if in.Channels["test"] == nil {
		return nil, nil
	}
	opts.Unsupervised = false
	opts.CheckLabel = func(y float32) error {
		if y != 0 && y != 1 {
			return errors.New("0 (usual) or 1 (anomalous) was expected")
		}
		return nil
	}
	return data.Load(in.Channels["test"], opts)
}

// grow draws the samples of all trees from the rows of all hosts and builds the
// trees. seen is how many rows there are.
func grow(ctx context.Context, in algo.Input, train *algo.Matrix, trees, size int) (f *Forest, seen int, err error) {
	first, seen, err := in.Peers.Place(ctx, train.Rows) // the first row of this host, of all hosts' rows
	if err != nil {
		return nil, 0, fmt.Errorf("count the records: %w", err)
	}
	if seen == 0 {
		return nil, 0, algo.ClientErrorf("train channel: %w on any host", data.ErrNoRows)
	}
	samples := draw(seen, trees, size)
	rows, index := distinct(samples)
	points, err := gather(ctx, in, train, rows, first)
	if err != nil {
		return nil, 0, err
	}
	f = &Forest{dims: train.Cols, points: points, trees: make([]tree, trees), size: len(samples[0])}
	for t := range samples {
		for i, row := range samples[t] {
			samples[t][i] = index[row]
		}
	}
	vec.Parallel(in.Threads, trees, func(_, t int) {
		if ctx.Err() != nil {
			return
		}
		b := builder{f: f, rng: rand.New(rand.NewPCG(seed, uint64(t)))}
		b.build(samples[t])
		f.trees[t] = b.tree
	})
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f.bound(in.Threads)
	return f, seen, nil
}

// draw gives each tree the rows of its sample. None has a row twice; as long as
// there are rows no two trees share one, which is the sampling without
// replacement that AWS documents.
func draw(seen, trees, size int) [][]int32 {
	size = min(size, seen)
	rng := rand.New(rand.NewPCG(seed, math.MaxUint64))
	order := make([]int32, seen) // 2³¹ records would be 8 GB of indices: no file of that size fits the memory that data.Load needs
	for i := range order {
		order[i] = int32(i)
	}
	samples, from := make([][]int32, trees), seen
	for t := range samples {
		if from+size > seen { // what is left would not do: all rows can be drawn again
			from = 0
			rng.Shuffle(seen, func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		samples[t] = slices.Clone(order[from : from+size])
		from += size
	}
	return samples
}

// distinct gives the drawn rows in order, and the place of each.
func distinct(samples [][]int32) (rows []int32, index map[int32]int32) {
	rows = slices.Concat(samples...)
	slices.Sort(rows)
	rows = slices.Compact(rows)
	index = make(map[int32]int32, len(rows))
	for i, row := range rows {
		index[row] = int32(i)
	}
	return rows, index
}

// gather gives the values of rows, which count over all hosts; first is the
// first one of this host.
func gather(ctx context.Context, in algo.Input, train *algo.Matrix, rows []int32, first int) ([]float32, error) {
	from, _ := slices.BinarySearch(rows, int32(first))
	to, _ := slices.BinarySearch(rows, int32(first+train.Rows))
	own := make([]float32, (to-from)*train.Cols)
	room := make([]float32, train.Cols)
	for i, row := range rows[from:to] {
		copy(own[i*train.Cols:], train.Row(int(row)-first, room))
	}
	if in.Peers.Size() == 1 {
		return own, nil
	}
	parts, err := in.Peers.AllGatherFloats(ctx, own)
	if err != nil {
		return nil, fmt.Errorf("gather the sample: %w", err)
	}
	return slices.Concat(parts...), nil
}

// evaluate scores the labelled rows of test. A row is called anomalous when its
// score is more than three standard deviations above the mean.
func evaluate(ctx context.Context, report *firstparty.Report, f *Forest, test *algo.Matrix, asked []string) error {
	p, err := f.Predict(ctx, test)
	if err != nil {
		return err
	}
	var sum, square float64
	for _, s := range p.Values {
		sum += float64(s)
	}
	mean := sum / float64(len(p.Values))
	for _, s := range p.Values {
		square += (float64(s) - mean) * (float64(s) - mean)
	}
	cut := mean + 3*math.Sqrt(square/float64(len(p.Values)))
	var hit, missed, wrong, right float64
	for i, s := range p.Values {
		switch found, is := float64(s) > cut, test.Label[i] == 1; {
		case found && is:
			hit++
		case found:
			wrong++
		case is:
			missed++
		default:
			right++
		}
	}
	quotient := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	tell := func(name string, v float64) {
		report.Score("test", name, v)
		report.Final("test", firstparty.Score(name), v)
	}
	if slices.Contains(asked, "accuracy") {
		tell("accuracy", quotient(hit+right, float64(len(p.Values))))
	}
	if slices.Contains(asked, "precision_recall_fscore") {
		precision, recall := quotient(hit, hit+wrong), quotient(hit, hit+missed)
		tell("precision", precision)
		tell("recall", recall)
		tell("f1", quotient(2*precision*recall, precision+recall))
	}
	return nil
}

// Load reads the forest of the folder artifacts.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, artifact)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return read(b)
}
