// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"context"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Model is a factorization machine. It does not change once trained and is safe
// for concurrent use.
type Model struct {
	binary  bool
	factors int
	bias    float32
	linear  []float32 // by feature
	pairs   []float32 // features×factors

	firstparty.Layout
}

var (
	_ algo.Model         = (*Model)(nil)
	_ algo.IntoPredictor = (*Model)(nil)
	_ algo.Sizer         = (*Model)(nil)
	_ algo.Formatter     = (*Model)(nil)
)

// prepare makes the layout of answers.
func (m *Model) prepare() {
	m.Layout = firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{{Name: "score", Width: 1}}}
	if m.binary {
		m.Fields = append(m.Fields, firstparty.Field{Name: "predicted_label", Width: 1, Integer: true})
	}
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 { return int64(4*(len(m.linear)+len(m.pairs)) + 512) }

// Predict gives score and predicted_label of each row; of a regressor the score
// alone. What a sparse row does not store is 0.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// manyValues is from how many products on several goroutines predict.
const manyValues = 1 << 18

// PredictInto implements algo.IntoPredictor.
func (m *Model) PredictInto(ctx context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if err := m.check(rows); err != nil {
		return algo.Prediction{}, err
	}
	width := m.Width()
	out := resize(values, rows.Rows*width)
	parts := 1
	if len(rows.Values)*m.factors >= manyValues {
		parts = 8
	}
	vec.Parallel(parts, parts, func(_, p int) {
		room := m.room()
		for i := p * rows.Rows / parts; i < (p+1)*rows.Rows/parts; i++ {
			m.answer(m.score(rows, i, room), out[i*width:(i+1)*width])
		}
	})
	return algo.Prediction{Values: out, Width: width}, ctx.Err()
}

func (m *Model) check(rows *algo.Matrix) error {
	if rows.Fits(len(m.linear)) {
		return nil
	}
	return algo.ClientErrorf("the rows have %d features, but the model has %d", rows.Cols, len(m.linear))
}

// CheckRows implements algo.RowChecker: no value may be missing.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error {
	if err := m.check(rows); err != nil {
		return err
	}
	for _, v := range rows.Values {
		if v != v {
			return algo.ClientErrorf("a feature is missing or NaN")
		}
	}
	return nil
}

// room is what score needs.
func (m *Model) room() []float32 { return make([]float32, m.factors) }

// score is the raw score of row i.
func (m *Model) score(rows *algo.Matrix, i int, sums []float32) float64 {
	clear(sums)
	k := m.factors
	linear, squares := float64(m.bias), float64(0)
	add := func(f int, x float32) {
		v := m.pairs[f*k : (f+1)*k]
		linear += float64(m.linear[f]) * float64(x)
		squares += float64(vec.Dot(v, v)) * float64(x) * float64(x)
		vec.Axpy(x, v, sums)
	}
	if rows.Sparse() {
		for at := rows.Start[i]; at < rows.Start[i+1]; at++ {
			add(int(rows.Index[at]), rows.Values[at])
		}
	} else {
		for f, x := range rows.Values[i*rows.Cols : (i+1)*rows.Cols] {
			if x != 0 {
				add(f, x)
			}
		}
	}
	return linear + 0.5*(float64(vec.Dot(sums, sums))-squares)
}

// answer writes what is answered for a raw score.
func (m *Model) answer(score float64, out []float32) {
	if !m.binary {
		out[0] = float32(score)
		return
	}
	out[0], out[1] = float32(1/(1+math.Exp(-score))), 0
	if score >= 0 {
		out[1] = 1
	}
}

// finite reports whether all weights are finite.
func (m *Model) finite() bool {
	for _, part := range [][]float32{{m.bias}, m.linear, m.pairs} {
		for _, v := range part {
			if v-v != 0 {
				return false
			}
		}
	}
	return true
}
