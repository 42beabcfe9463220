// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
)

// artifact is the name of the model's file.
const artifact = "model_algo-1"

// Model is centres.
type Model struct {
	firstparty.Layout
	centres []float32
	k, d    int
	set     *nearest.Set
	work    *sync.Pool
}

var (
	_ algo.IntoPredictor = (*Model)(nil)
	_ algo.RowChecker    = (*Model)(nil)
	_ algo.Sizer         = (*Model)(nil)
)

func newModel(centres []float32, k, d int) *Model {
	return &Model{
		Layout: firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{
			{Name: "closest_cluster", Width: 1}, {Name: "distance_to_cluster", Width: 1},
		}},
		centres: centres, k: k, d: d, set: nearest.NewSet(nearest.L2, centres, k, d),
		work: &sync.Pool{New: func() any { return new(modelWork) }},
	}
}

// readModel reads a file of MXNet arrays that holds one of k×d.
func readModel(b []byte) (*Model, error) {
	arrays, err := ndarray.Read(b)
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", artifact, err)
	}
	if len(arrays) != 1 || len(arrays[0].Shape) != 2 || len(arrays[0].Values) == 0 {
		return nil, algo.ClientErrorf("%s: one array of centres, k by feature_dim, was expected", artifact)
	}
	a := arrays[0]
	for i, v := range a.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, algo.ClientErrorf("%s: feature %d of centre %d is %g", artifact, i%a.Shape[1], i/a.Shape[1], v)
		}
	}
	return newModel(a.Values, a.Shape[0], a.Shape[1]), nil
}

// Save writes the centres as a list of one MXNet array, k×d.
func (m *Model) Save(dir string) error {
	b := ndarray.Append(nil, ndarray.Array{Shape: []int{m.k, m.d}, Values: m.centres})
	if err := os.WriteFile(filepath.Join(dir, artifact), b, 0o644); err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	return nil
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 { return 3 * 4 * int64(len(m.centres)) }

// CheckRows refuses rows of another length, and numbers that are none.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error { return across.CheckRows(rows, m.d) }

// Predict gives the nearest centre and the Euclidean distance to it.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// modelWork is the memory of a prediction.
type modelWork struct {
	nearest.Work
	x        []float32
	at       []int32
	distance []float32
}

// PredictInto implements algo.IntoPredictor.
func (m *Model) PredictInto(_ context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if err := m.CheckRows("", rows); err != nil {
		return algo.Prediction{}, err
	}
	w := m.work.Get().(*modelWork)
	defer m.work.Put(w)
	values = slices.Grow(values[:0], 2*rows.Rows)[:2*rows.Rows]
	w.at, w.distance = sized(w.at, passBlock), sized(w.distance, passBlock)
	for from := 0; from < rows.Rows; from += passBlock {
		n := min(passBlock, rows.Rows-from)
		var x []float32
		if rows.Sparse() || rows.Cols != m.d {
			w.x = sized(w.x, n*m.d)
			x = w.x
			clear(x)
			for i := range n {
				rows.Row(from+i, x[i*m.d:i*m.d+rows.Cols])
			}
		} else {
			x = rows.Values[from*m.d : (from+n)*m.d]
		}
		m.set.Nearest(&w.Work, x, n, w.at, w.distance)
		for i := range n {
			values[2*(from+i)] = float32(w.at[i])
			values[2*(from+i)+1] = float32(math.Sqrt(float64(w.distance[i])))
		}
	}
	return algo.Prediction{Values: values, Width: 2}, nil
}
