// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
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
	crew   *vec.Crew

	tables map[string]*table // by channel; those that the job has
	cols   int
	scaler scaler
	learner
}

// table is a channel: the rows of this host, and how many all hosts have.
type table struct {
	*algo.Matrix
	from, total int // place of the first of them among all, and the number of all
	ranked      *ranked
}

// row is one of a dense table.
func (t *table) row(i int32) []float32 { return t.Values[int(i)*t.Cols : (int(i)+1)*t.Cols] }

func newWork(ctx context.Context, in algo.Input, c *config, report *firstparty.Report) *work {
	return &work{config: c, in: in, ctx: ctx, all: context.WithoutCancel(ctx), report: report, crew: vec.NewCrew(in.Threads), tables: map[string]*table{}}
}

// each calls do for all i < n, by the crew, or by the caller alone when the work is
// small: cost is about how many nanoseconds it takes.
func (w *work) each(n, cost int, do func(i int)) {
	const small = 10_000
	if cost >= small {
		w.crew.Do(n, do)
		return
	}
	for i := range n {
		do(i)
	}
}

func (w *work) first() bool { return w.in.Peers.Rank() == 0 }

// loadAll reads the channels. All hosts, and all channels, have as many features.
func (w *work) loadAll() error {
	for _, name := range []string{"train", "validation", "test"} {
		ch := w.in.Channels[name]
		if ch == nil {
			continue
		}
		opts := data.Options{
			Threads: w.in.Threads, Formats: []data.Format{data.RecordIO, data.CSV}, Cols: w.featureDim, Finite: true, CheckLabel: w.checkLabel,
		}
		if w.featureDim == 0 {
			opts.Cols, opts.ColsOf = w.cols, data.OfTrain
		}
		m, err := data.Load(ch, opts)
		if w.in.Peers.Size() > 1 && errors.Is(err, data.ErrNoRows) {
			m, err = new(algo.Matrix), nil
		}
		if err != nil {
			return err
		}
		t := &table{Matrix: m}
		if err := w.agree(name, t); err != nil {
			return err
		}
		if w.tables[name] = t; name == "train" {
			w.cols = t.Cols
		}
	}
	return nil
}

// agree finds how many rows and features the hosts have.
func (w *work) agree(name string, t *table) error {
	var err error
	if t.from, t.total, err = w.in.Peers.Place(w.all, t.Rows); err != nil {
		return err
	}
	widest := []float64{float64(max(t.Cols, w.cols))}
	if err := w.in.Peers.MaxFloats(w.all, widest); err != nil {
		return err
	}
	if t.total == 0 {
		return algo.ClientErrorf("%s channel: %w on any host", name, data.ErrNoRows)
	}
	cols := int(widest[0])
	switch {
	case t.Rows == 0 || t.Sparse() && t.Cols < cols && w.cols == 0:
		t.Cols = cols
	case t.Cols != cols:
		return algo.ClientErrorf("%s channel: has %d features, but other data has %d", name, t.Cols, cols)
	}
	return nil
}

func (w *work) checkLabel(y float32) error {
	switch {
	case w.kind == binary && y != 0 && y != 1:
		return errors.New("0 or 1 was expected, for predictor_type binary_classifier")
	case w.kind == multiclass && !(y >= 0 && y < float32(w.classes) && y == float32(int(y))):
		return fmt.Errorf("a whole number from 0 to %d was expected, for num_classes %d", w.classes-1, w.classes)
	case math.IsNaN(float64(y)) || math.IsInf(float64(y), 0):
		return errors.New("a finite number was expected")
	}
	return nil
}

// scaler is how features and labels are normalised: (x-mean)/deviation.
type scaler struct {
	mean, deviation []float64 // by feature
	shift           []float32 // mean/deviation, which is taken off the rows of sparse tables when they are scored; nil when all are 0
	label, labelBy  float64   // mean and deviation of labels
}

// normalize learns the scaler from the first rows of the channel train and applies
// it to all tables. A feature that is constant there stays as it is, but for its
// mean.
func (w *work) normalize() error {
	t := w.tables["train"]
	s := &w.scaler
	s.label, s.labelBy = 0, 1
	s.mean, s.deviation = make([]float64, w.cols), make([]float64, w.cols)
	for f := range s.deviation {
		s.deviation[f] = 1
	}
	if w.center || w.scale || w.centerLabel || w.scaleLabel {
		if err := w.moments(t, min(max(w.scalerRows-t.from, 0), t.Rows), min(w.scalerRows, t.total)); err != nil {
			return err
		}
	}
	for _, name := range []string{"train", "validation", "test"} {
		if t := w.tables[name]; t != nil {
			w.apply(t)
		}
	}
	if w.center {
		s.shift = make([]float32, w.cols)
		for f := range s.shift {
			s.shift[f] = float32(s.mean[f] / s.deviation[f])
		}
	}
	return nil
}

// moments finds means and deviations from the first rows of t, of which all
// hosts have n.
func (w *work) moments(t *table, rows, n int) error {
	s := &w.scaler
	sums := make([]float64, w.cols+1)
	eachValue(t, rows, func(f int, v float64) { sums[f] += v })
	for _, y := range t.Label[:rows] {
		sums[w.cols] += float64(y)
	}
	if err := w.in.Peers.SumFloats(w.all, sums); err != nil {
		return err
	}
	for f := range sums {
		sums[f] /= float64(n)
	}
	// Squares about the mean; of a sparse row each value that is not stored adds
	// the mean's square, which is put right for those that are.
	squares, missing := make([]float64, w.cols+1), t.Sparse()
	if missing {
		for f := range w.cols {
			squares[f] = float64(rows) * sums[f] * sums[f]
		}
	}
	eachValue(t, rows, func(f int, v float64) {
		d := v - sums[f]
		squares[f] += d * d
		if missing {
			squares[f] -= sums[f] * sums[f]
		}
	})
	for _, y := range t.Label[:rows] {
		d := float64(y) - sums[w.cols]
		squares[w.cols] += d * d
	}
	if err := w.in.Peers.SumFloats(w.all, squares); err != nil {
		return err
	}
	for f := range w.cols {
		if w.center {
			s.mean[f] = sums[f]
		}
		if w.scale {
			s.deviation[f] = deviation(squares[f], sums[f], n)
		}
	}
	if w.centerLabel {
		s.label = sums[w.cols]
	}
	if w.scaleLabel {
		s.labelBy = deviation(squares[w.cols], sums[w.cols], n)
	}
	return nil
}

// deviation is the root of the mean of squares, or 1 where that is no more than
// what float32 leaves of a constant.
func deviation(squares, mean float64, n int) float64 {
	d := math.Sqrt(max(0, squares) / float64(n))
	if d <= 1e-7*math.Abs(mean) || d < 1e-30 {
		return 1
	}
	return d
}

// eachValue calls do with all values of the first rows; of sparse ones with those
// that are stored.
func eachValue(t *table, rows int, do func(f int, v float64)) {
	if !t.Sparse() {
		for i := range rows {
			for f, v := range t.Values[i*t.Cols : (i+1)*t.Cols] {
				do(f, float64(v))
			}
		}
		return
	}
	if rows == 0 {
		return
	}
	for at := t.Start[0]; at < t.Start[rows]; at++ {
		do(int(t.Index[at]), float64(t.Values[at]))
	}
}

// apply normalises t in its place. Sparse rows keep their means, which shift
// stands for.
func (w *work) apply(t *table) {
	s := &w.scaler
	const piece = 4096
	pieces := func(n int) int { return (n + piece - 1) / piece }
	if t.Sparse() {
		w.each(pieces(len(t.Values)), len(t.Values), func(i int) {
			for at := i * piece; at < min((i+1)*piece, len(t.Values)); at++ {
				t.Values[at] = float32(float64(t.Values[at]) / s.deviation[t.Index[at]])
			}
		})
	} else {
		by := make([]float64, t.Cols)
		for f := range by {
			by[f] = 1 / s.deviation[f]
		}
		w.each(pieces(t.Rows), len(t.Values), func(i int) {
			for r := i * piece; r < min((i+1)*piece, t.Rows); r++ {
				row := t.Values[r*t.Cols : (r+1)*t.Cols]
				for f, v := range row {
					row[f] = float32((float64(v) - s.mean[f]) * by[f])
				}
			}
		})
	}
	if s.label != 0 || s.labelBy != 1 {
		for i, y := range t.Label {
			t.Label[i] = float32((float64(y) - s.label) / s.labelBy)
		}
	}
}
