// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/kmeans"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// artifact is the name of the index's file; those of the labels and of the notes
// begin with it.
const artifact = "model_algo-1"

// note is model_algo-1.json. Who edits k or predictor_type there changes what the
// model answers.
type note struct {
	K         int        `json:"k"`
	Predictor string     `json:"predictor_type"`
	Reduction *reduction `json:"dimension_reduction"`
	Normalize bool       `json:"normalize"` // rows are given the length 1
	Version   string     `json:"version"`
	// Features is how many a row has where the index is wider; not the service's.
	Features int `json:"feature_dim,omitempty"`
}

// Model is an index and the labels of its vectors.
type Model struct {
	firstparty.Layout
	note    note
	reducer *reducer // nil for none
	padded  int      // the length of vectors, 0 for that of rows as they are or made shorter
	index   index
	labels  []float32
	works   *sync.Pool
}

var (
	_ algo.IntoPredictor = (*Model)(nil)
	_ algo.RowChecker    = (*Model)(nil)
	_ algo.Sizer         = (*Model)(nil)
)

// newModel is the model of c without its index.
func newModel(c config) *Model {
	m := &Model{note: note{K: c.k, Predictor: classifier, Normalize: c.metric == cosine, Version: "1.0", Features: c.features}}
	if c.regression {
		m.note.Predictor = regressor
	}
	d := c.features
	if c.reduction != "" {
		m.note.Reduction = &reduction{Type: c.reduction, Seed: seed, Target: c.target, Input: c.features}
		d = c.target
	}
	if c.index == ivfPQ {
		m.padded = (d + c.parts - 1) / c.parts * c.parts
	}
	if m.padded <= d {
		m.padded = 0
	}
	m.finish()
	return m
}

// finish makes what follows from the note.
func (m *Model) finish() {
	if m.note.Reduction != nil {
		m.reducer = newReducer(*m.note.Reduction)
	}
	m.works = &sync.Pool{New: func() any { return new(work) }}
	k := m.note.K
	m.Layout = firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{
		{Name: "predicted_label", Width: 1},
		{Name: "distances", Width: k, List: true, Verbose: true},
		{Name: "labels", Width: k, List: true, Verbose: true},
	}}
}

// dims is the length of vectors in the index.
func (m *Model) dims() int {
	switch {
	case m.padded > 0:
		return m.padded
	case m.reducer != nil:
		return m.reducer.Target
	}
	return m.note.Features
}

// readModel reads the three files.
func readModel(faiss, labels, notes []byte) (*Model, error) {
	m := new(Model)
	if err := json.Unmarshal(notes, &m.note); err != nil {
		return nil, algo.ClientErrorf("%s.json: %w", artifact, err)
	}
	x, err := readIndex(faiss)
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", artifact, err)
	}
	m.index = x
	m.labels = make([]float32, len(labels)/4)
	for i := range m.labels {
		m.labels[i] = math.Float32frombits(le.Uint32(labels[4*i:]))
	}
	r := m.note.Reduction
	if r != nil && (r.Type == "" || r.Type == "none") {
		r, m.note.Reduction = nil, nil
	}
	d := x.dims()
	switch {
	case len(labels) != 4*x.size():
		err = fmt.Errorf("%s.labels: %d bytes; 4 for each of %d vectors were expected", artifact, len(labels), x.size())
	case m.note.Predictor != classifier && m.note.Predictor != regressor:
		err = fmt.Errorf("%s.json: predictor_type is %q; %s or %s was expected", artifact, m.note.Predictor, classifier, regressor)
	case m.note.K < 1 || m.note.K > x.size():
		err = fmt.Errorf("%s.json: k is %d; 1 to %d, the number of vectors, was expected", artifact, m.note.K, x.size())
	case r != nil && (r.Type != sign && r.Type != fjlt || r.Target < 1 || r.Target >= r.Input || r.Target > d || r.Input > math.MaxInt32/max(1, r.Target)):
		err = fmt.Errorf("%s.json: a dimension_reduction %q of %d to %d for vectors of %d", artifact, r.Type, r.Input, r.Target, d)
	case m.note.Features > 0 && r == nil && m.note.Features > d || m.note.Features > 0 && r != nil && m.note.Features != r.Input:
		err = fmt.Errorf("%s.json: feature_dim is %d for vectors of %d", artifact, m.note.Features, d)
	}
	if err != nil {
		return nil, algo.ClientErrorf("%w", err)
	}
	has := d
	if r != nil {
		has, m.note.Features = r.Target, r.Input
	} else if m.note.Features > 0 {
		has = m.note.Features
	}
	if m.note.Features == 0 {
		m.note.Features = d
	}
	if has < d {
		m.padded = d
	}
	m.finish()
	return m, nil
}

// Save writes the three files.
func (m *Model) Save(dir string) error {
	n := m.note
	if n.Reduction != nil || m.padded == 0 {
		n.Features = 0
	}
	notes, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{"", m.index.append(nil)}, {".labels", appendFloats(nil, m.labels)}, {".json", notes}} {
		if err := os.WriteFile(filepath.Join(dir, artifact+f.name), f.b, 0o644); err != nil {
			return fmt.Errorf("write the model: %w", err)
		}
	}
	return nil
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 {
	n := m.index.bytes() + 4*int64(len(m.labels))
	if m.reducer != nil {
		n += 4 * int64(len(m.reducer.signs))
	}
	return n
}

// CheckRows refuses rows of another length, and numbers that are none.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error {
	return across.CheckRows(rows, m.note.Features)
}

// Predict gives for each row the label that its k nearest neighbours make, their
// distances and their labels.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// PredictInto implements algo.IntoPredictor.
func (m *Model) PredictInto(_ context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if err := m.CheckRows("", rows); err != nil {
		return algo.Prediction{}, err
	}
	width := m.Width()
	values = slices.Grow(values[:0], rows.Rows*width)[:rows.Rows*width]
	m.parallel(runtime.GOMAXPROCS(0), rows.Rows, func(w *work, from, to int) {
		m.search(w, rows, from, to, func(i int, label float32, neighbours []float32) {
			values[i*width] = label
			copy(values[i*width+1:(i+1)*width], neighbours)
		})
	})
	return algo.Prediction{Values: values, Width: width}, nil
}

// parallel does work for n rows in blocks, on up to threads goroutines.
func (m *Model) parallel(threads, n int, do func(w *work, from, to int)) {
	vec.Stretches(threads, n, m.block(n, threads), func(_, from, to int) {
		w := m.works.Get().(*work)
		do(w, from, to)
		m.works.Put(w)
	})
}

// block is how many rows are searched for at once: with lists many, so that
// several look at the same list.
func (m *Model) block(n, threads int) int {
	most := searchBlock
	if _, ok := m.index.(*ivfIndex); ok {
		most = 8 * searchBlock
	}
	return max(16, min(most, (n+threads-1)/threads))
}

// rows writes the rows that are named, as the index takes them, to out.
func (m *Model) rows(w *work, rows *algo.Matrix, named []int, out []float32) {
	in, d := m.note.Features, m.dims()
	w.x = sized(w.x, in)
	has := in
	if m.reducer != nil {
		has = m.reducer.Target
	}
	for at, i := range named {
		x, to := w.x, out[at*d:(at+1)*d]
		if rows.Cols == in {
			x = rows.Row(i, x)
		} else {
			clear(x)
			rows.Row(i, x[:rows.Cols])
		}
		if m.reducer != nil {
			m.reducer.apply(to[:has], x, 1)
		} else {
			copy(to, x)
		}
		clear(to[has:])
		if m.note.Normalize {
			kmeans.Normalize(to)
		}
	}
}

// search calls do with the prediction of each row from from to to, and with the
// distances and the labels of its neighbours, which are only lent.
func (m *Model) search(w *work, rows *algo.Matrix, from, to int, do func(i int, label float32, neighbours []float32)) {
	n, d, k := to-from, m.dims(), m.note.K
	x := rows.Values
	if rows.Sparse() || m.reducer != nil || m.padded > 0 || m.note.Normalize || rows.Cols != d {
		w.queries = sized(w.queries, n*d)
		named := make([]int, n)
		for i := range named {
			named[i] = from + i
		}
		m.rows(w, rows, named, w.queries)
		x = w.queries
	} else {
		x = x[from*d : to*d]
	}
	w.found, w.labels = sized(w.found, n*k), sized(w.labels, 2*k)
	m.index.search(w, x, n, k, w.found)
	for i := range n {
		for j, f := range w.found[i*k : (i+1)*k] {
			w.labels[j], w.labels[k+j] = f.Distance, m.labels[f.At]
		}
		do(from+i, m.vote(w, w.labels[k:]), w.labels)
	}
}

// vote makes a prediction of the neighbours' labels: their mean, or the commonest
// one, of equally common ones the least.
func (m *Model) vote(w *work, labels []float32) float32 {
	if m.note.Predictor == regressor {
		sum := 0.0
		for _, y := range labels {
			sum += float64(y)
		}
		return float32(sum / float64(len(labels)))
	}
	w.sorted = append(w.sorted[:0], labels...)
	slices.Sort(w.sorted)
	best, most := w.sorted[0], 0
	for at := 0; at < len(w.sorted); {
		to := at + 1
		for to < len(w.sorted) && w.sorted[to] == w.sorted[at] {
			to++
		}
		if to-at > most {
			best, most = w.sorted[at], to-at
		}
		at = to
	}
	return best
}
