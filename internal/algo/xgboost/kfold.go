// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// predictionsFile is where cross validation tells what it predicts for each row.
const predictionsFile = "predictions.csv"

// crossValidate trains a model for each fold of the rows, as _kfold asks, on the
// rows outside of it, several times over by _num_cv_round, and gives all models.
// It shows the mean of the metrics over the folds, and writes what the models
// predict for the rows that they have not seen to output/data/predictions.csv.
//
// m is the rows of train and validation together. The folds hang on seed, where
// those of SageMaker's container are different each time.
func crossValidate(ctx context.Context, in algo.Input, c *config, m *algo.Matrix) (*Ensemble, error) {
	in.Log.Info(fmt.Sprintf("Run %d-round of %d-fold cross validation with %d rows", c.repeats, c.folds, m.Rows))
	classes := c.classes > 1 || strings.HasPrefix(c.objective, "binary:")
	if m.Groups != nil {
		return nil, algo.ClientErrorf("_kfold cannot divide rows in query groups: leave qid:n or _kfold out")
	}
	told := newRecord(m, c, classes)
	var models []*Model
	var all [][][]float64 // last metrics by fold and data set
	var names []metric
	for repeat := range c.repeats {
		folds, err := foldsOf(m, c.folds, classes, uint64(c.seed), uint64(repeat))
		if err != nil {
			return nil, err
		}
		for i, fold := range folds {
			in.Log.Info(fmt.Sprintf("Train cross validation fold %d", i+1))
			run := *c
			o, err := newObjective(&run)
			if err != nil {
				return nil, err
			}
			if names, err = metricsOf(&run, o); err != nil {
				return nil, err
			}
			train, valid := pick(m, outside(fold, m.Rows)), pick(m, fold)
			var last [][]float64
			run.seen = func(values [][]float64) { last = values }
			number := len(models)
			model, err := foldModel(ctx, in, &run, number, train, valid)
			if err != nil {
				return nil, fmt.Errorf("fold %d: %w", i+1, err)
			}
			models, all = append(models, model), append(all, last)
			p, err := model.Predict(ctx, valid)
			if err != nil {
				return nil, err
			}
			told.add(fold, p, repeat)
		}
		in.Log.Info(fmt.Sprintf("The metrics of round %d cross validation", repeat+1))
		in.Print("%s", meanLine(c.rounds, names, all[len(all)-c.folds:]))
	}
	if c.repeats > 1 {
		in.Log.Info(fmt.Sprintf("The overall metrics of %d-round cross validation", c.repeats))
		in.Print("%s", meanLine(c.rounds, names, all))
	}
	if in.Output != "" {
		in.Log.Info("Storing predictions on validation set(s) in " + filepath.Join(in.Output, predictionsFile))
		if err := told.save(in.Output); err != nil {
			return nil, err
		}
	}
	return together(models)
}

// foldModel trains on one fold, which has checkpoints of its own.
func foldModel(ctx context.Context, in algo.Input, c *config, number int, train, valid *algo.Matrix) (*Model, error) {
	if in.Checkpoints != "" {
		in.Checkpoints = filepath.Join(in.Checkpoints, fmt.Sprintf("model-%d", number))
	}
	return trainOn(ctx, in, c, nil, train, valid)
}

// meanLine is the means of the metrics over runs, by run, data set and metric.
func meanLine(rounds int, names []metric, runs [][][]float64) string {
	var line strings.Builder
	fmt.Fprintf(&line, "[%d]", rounds)
	for i, m := range names {
		for set, name := range []string{"train", "validation"} {
			var sum float64
			n := 0
			for _, run := range runs {
				if set < len(run) { // a run that had nothing left to do has none
					sum += run[set][i]
					n++
				}
			}
			fmt.Fprintf(&line, "\t%s-%s:%s", name, m.name, pythonFloat(sum/float64(n)))
		}
	}
	return line.String()
}

// foldsOf deals the rows out to n folds, ascending within each. With classes
// each fold has about the same share of every label.
func foldsOf(m *algo.Matrix, n int, classes bool, seed, repeat uint64) ([][]int, error) {
	if n > m.Rows {
		return nil, algo.ClientErrorf("Cannot have number of splits n_splits=%d greater than the number of samples: n_samples=%d.", n, m.Rows)
	}
	key := mix(mix(seed^0xcf01d) ^ repeat)
	rng := rand.New(rand.NewPCG(key, mix(key)))
	folds := make([][]int, n)
	if !classes {
		rows := rng.Perm(m.Rows)
		for i := range folds {
			size := m.Rows / n
			if i < m.Rows%n {
				size++
			}
			folds[i], rows = slices.Clone(rows[:size]), rows[size:]
			slices.Sort(folds[i])
		}
		return folds, nil
	}
	by := map[float32][]int{}
	var labels []float32
	for r, y := range m.Label {
		if by[y] == nil {
			labels = append(labels, y)
		}
		by[y] = append(by[y], r)
	}
	slices.Sort(labels)
	most := 0
	for _, rows := range by {
		most = max(most, len(rows))
	}
	if n > most {
		return nil, algo.ClientErrorf("n_splits=%d cannot be greater than the number of members in each class.", n)
	}
	// Dealing out goes on from class to class, so that the folds are of one size.
	next := 0
	for _, y := range labels {
		rows := by[y]
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for _, r := range rows {
			folds[next%n] = append(folds[next%n], r)
			next++
		}
	}
	for _, fold := range folds {
		slices.Sort(fold)
	}
	return folds, nil
}

// outside is the rows of n that are not in fold, which ascends.
func outside(fold []int, n int) []int {
	rest := make([]int, 0, n-len(fold))
	for r := range n {
		if len(fold) > 0 && fold[0] == r {
			fold = fold[1:]
			continue
		}
		rest = append(rest, r)
	}
	return rest
}

// pick gives the matrix of some rows of m.
func pick(m *algo.Matrix, rows []int) *algo.Matrix {
	out := &algo.Matrix{Rows: len(rows), Cols: m.Cols}
	if m.Sparse() {
		out.Start = make([]int64, 1, len(rows)+1)
	}
	for _, r := range rows {
		if m.Sparse() {
			lo, hi := m.Start[r], m.Start[r+1]
			out.Values, out.Index = append(out.Values, m.Values[lo:hi]...), append(out.Index, m.Index[lo:hi]...)
			out.Start = append(out.Start, int64(len(out.Values)))
		} else {
			out.Values = append(out.Values, m.Values[r*m.Cols:(r+1)*m.Cols]...)
		}
		out.Label = append(out.Label, m.Label[r])
		if m.Weight != nil {
			out.Weight = append(out.Weight, m.Weight[r])
		}
	}
	return out
}

// joined gives the rows of a and, behind them, those of b, which may be nil.
func joined(a, b *algo.Matrix) (*algo.Matrix, error) {
	switch {
	case b == nil:
		return a, nil
	case a.Sparse() != b.Sparse():
		return nil, algo.ClientErrorf("_kfold puts train and validation together: both must be dense, or both sparse")
	case !a.Sparse() && a.Cols != b.Cols:
		return nil, algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d: the validation channel", a.Cols, b.Cols)
	}
	m := &algo.Matrix{
		Rows: a.Rows + b.Rows, Cols: max(a.Cols, b.Cols), Values: slices.Concat(a.Values, b.Values),
		Index: slices.Concat(a.Index, b.Index), Label: slices.Concat(a.Label, b.Label),
	}
	if a.Sparse() {
		m.Start = slices.Clone(a.Start)
		for _, at := range b.Start[1:] {
			m.Start = append(m.Start, a.Start[a.Rows]+at)
		}
	}
	if a.Weight != nil || b.Weight != nil {
		for _, part := range []*algo.Matrix{a, b} {
			for r := range part.Rows {
				w := float32(1)
				if part.Weight != nil {
					w = part.Weight[r]
				}
				m.Weight = append(m.Weight, w)
			}
		}
	}
	if a.Groups != nil || b.Groups != nil {
		m.Groups = []int{0, m.Rows}
	}
	return m, nil
}

// record is what cross validation predicts: by repeat and row.
type record struct {
	truth     []float32
	classes   bool
	threshold float32
	told      bool // predictions are labels
	labels    [][]float32
	scores    [][]float32
}

func newRecord(m *algo.Matrix, c *config, classes bool) *record {
	r := &record{truth: m.Label, classes: classes, threshold: 0.5, told: transformOf(c.objective) == toClass}
	if c.objective == "binary:logitraw" {
		r.threshold = 0
	}
	for range c.repeats {
		r.labels, r.scores = append(r.labels, make([]float32, m.Rows)), append(r.scores, make([]float32, m.Rows))
	}
	return r
}

// add notes the predictions of a fold.
func (r *record) add(fold []int, p algo.Prediction, repeat int) {
	for i, row := range fold {
		values := p.Values[i*p.Width : (i+1)*p.Width]
		best := highest(values)
		r.scores[repeat][row] = values[best]
		switch {
		case len(values) > 1:
			r.labels[repeat][row] = float32(best)
		case r.told: // multi:softmax
			r.labels[repeat][row] = values[0]
		case values[0] > r.threshold:
			r.labels[repeat][row] = 1
		}
	}
}

// save writes a line for each row: its label, the mean of the predictions and,
// of classes, the label predicted most often, the smallest of equals.
func (r *record) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("store predictions: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, predictionsFile))
	if err != nil {
		return fmt.Errorf("store predictions: %w", err)
	}
	w := bufio.NewWriter(f)
	votes := vote(r.labels)
	for row, y := range r.truth {
		var sum float64
		for _, scores := range r.scores {
			sum += float64(scores[row])
		}
		fmt.Fprintf(w, "%f,%f", y, sum/float64(len(r.scores)))
		if r.classes {
			fmt.Fprintf(w, ",%f", votes[row])
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("store predictions: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("store predictions: %w", err)
	}
	return nil
}
