// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Model is a mean and principal components.
type Model struct {
	firstparty.Layout
	mean []float32
	v    []float32 // dims×k, the component of the largest singular value last
	s    []float32 // k, ascending
}

// What a Model can do.
var (
	_ algo.Model         = (*Model)(nil)
	_ algo.IntoPredictor = (*Model)(nil)
	_ algo.Formatter     = (*Model)(nil)
	_ algo.RowChecker    = (*Model)(nil)
	_ algo.Sizer         = (*Model)(nil)
)

func newModel(mean []float32, b *basis) *Model {
	k := len(b.s)
	m := &Model{mean: mean, v: make([]float32, len(mean)*k), s: make([]float32, k)}
	for j, v := range b.v {
		at := k - 1 - j
		m.s[at] = float32(b.s[j])
		for i, x := range v {
			m.v[i*k+at] = float32(x)
		}
	}
	return m.worded()
}

// worded gives m its layout.
func (m *Model) worded() *Model {
	m.Layout = firstparty.Layout{Of: "projections", Fields: []firstparty.Field{{Name: "projection", Width: len(m.s), List: true}}}
	return m
}

// file is the artifact, as the AWS container calls it.
const file = "model_algo-1"

// Save writes model_algo-1: MXNet arrays mean (1×dims), v (dims×k) and s (k).
func (m *Model) Save(dir string) error {
	b := ndarray.Append(nil,
		ndarray.Array{Name: "mean", Shape: []int{1, len(m.mean)}, Values: m.mean},
		ndarray.Array{Name: "v", Shape: []int{len(m.mean), len(m.s)}, Values: m.v},
		ndarray.Array{Name: "s", Shape: []int{len(m.s)}, Values: m.s},
	)
	return os.WriteFile(filepath.Join(dir, file), b, 0o644)
}

// Load reads what Save or AWS's PCA wrote.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, file)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return decode(b)
}

func decode(b []byte) (*Model, error) {
	arrays, err := ndarray.Named(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	m := &Model{mean: arrays["mean"].Values, v: arrays["v"].Values, s: arrays["s"].Values}
	shape := arrays["v"].Shape
	if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] != len(m.mean) || shape[1] != len(m.s) {
		return nil, fmt.Errorf("read %s: mean of %d, v of %v and s of %d numbers do not make a model", file, len(m.mean), shape, len(m.s))
	}
	return m.worded(), nil
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 { return int64(4 * (len(m.mean) + len(m.v) + len(m.s))) }

// CheckRows refuses rows of another width.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error {
	if !rows.Fits(len(m.mean)) {
		return algo.ClientErrorf("a row has %d features, the model has feature_dim %d", rows.Cols, len(m.mean))
	}
	return nil
}

// Predict gives (x-mean)·v for each row.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// rooms keeps memory for rows without the mean.
var rooms = sync.Pool{New: func() any { return new([]float32) }}

// PredictInto implements algo.IntoPredictor.
func (m *Model) PredictInto(ctx context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if err := m.CheckRows("", rows); err != nil {
		return algo.Prediction{}, err
	}
	dims, k := len(m.mean), len(m.s)
	if cap(values) < rows.Rows*k {
		values = make([]float32, rows.Rows*k)
	}
	values = values[:rows.Rows*k]
	block := min(max(blockValues/4/dims, 1), max(rows.Rows, 1))
	room := rooms.Get().(*[]float32)
	defer rooms.Put(room)
	if cap(*room) < block*dims {
		*room = make([]float32, block*dims)
	}
	x := (*room)[:block*dims]
	for from := 0; from < rows.Rows; from += block {
		if err := ctx.Err(); err != nil {
			return algo.Prediction{}, err
		}
		n := min(block, rows.Rows-from)
		for i := range n {
			dst := x[i*dims : (i+1)*dims]
			if row := rows.Row(from+i, dst[:rows.Cols]); !rows.Sparse() {
				copy(dst, row)
			} else {
				clear(dst[rows.Cols:])
			}
			vec.Axpy(-1, m.mean, dst)
		}
		vec.Gemm(runtime.GOMAXPROCS(0), vec.Rows(values[from*k:], k), vec.Rows(x, dims), vec.Rows(m.v, k), n, k, dims, false)
	}
	return algo.Prediction{Values: values, Width: k}, nil
}
