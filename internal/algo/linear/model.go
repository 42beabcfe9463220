// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"context"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Model is a linear model of one or several outputs. It does not change and is
// safe for concurrent use.
type Model struct {
	kind      kind
	loss      string
	features  int
	classes   int       // outputs
	weights   []float32 // classes×features
	bias      []float32 // by output
	threshold float64   // of a binary classifier's answered score, from which on the label is 1

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
	m.Layout = firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{{Name: "score", Width: m.classes, List: m.kind == multiclass}}}
	if m.kind != regressor {
		m.Fields = append(m.Fields, firstparty.Field{Name: "predicted_label", Width: 1, Integer: true})
	}
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 { return int64(4*(len(m.weights)+len(m.bias)) + 512) }

// Predict gives score and predicted_label of each row; of a regressor the score
// alone. What a sparse row does not store is 0.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// manyValues is from how many products on several goroutines predict.
const manyValues = 1 << 20

// PredictInto implements algo.IntoPredictor.
func (m *Model) PredictInto(ctx context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if err := m.check(rows); err != nil {
		return algo.Prediction{}, err
	}
	width := m.Width()
	out := resize(values, rows.Rows*width)
	parts := 1
	if len(rows.Values)*m.classes >= manyValues {
		parts = 8
	}
	vec.Parallel(parts, parts, func(_, p int) {
		m.predict(rows, p*rows.Rows/parts, (p+1)*rows.Rows/parts, width, out)
	})
	return algo.Prediction{Values: out, Width: width}, ctx.Err()
}

// check refuses rows of another shape than the model's.
func (m *Model) check(rows *algo.Matrix) error {
	if rows.Fits(m.features) {
		return nil
	}
	return algo.ClientErrorf("the rows have %d features, but the model has %d", rows.Cols, m.features)
}

func (m *Model) predict(rows *algo.Matrix, from, to, width int, out []float32) {
	var room [1]float64
	scores := room[:]
	if m.classes > 1 {
		scores = make([]float64, m.classes)
	}
	for i := from; i < to; i++ {
		for c := range scores {
			x := m.weights[c*m.features : (c+1)*m.features]
			if rows.Sparse() {
				s := 0.0
				for at := rows.Start[i]; at < rows.Start[i+1]; at++ {
					s += float64(rows.Values[at]) * float64(x[rows.Index[at]])
				}
				scores[c] = s + float64(m.bias[c])
			} else {
				scores[c] = dot(rows.Values[i*rows.Cols:(i+1)*rows.Cols], x) + float64(m.bias[c])
			}
		}
		m.answer(scores, out[i*width:(i+1)*width])
	}
}

// dot is summed in float64: where the mean of a feature is large beside its
// deviation, the bias takes off most of the sum.
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + (s2 + s3)
}

// answer writes what is answered for the scores of a row.
func (m *Model) answer(scores []float64, out []float32) {
	switch m.kind {
	case binary:
		s := scores[0]
		if m.loss == "logistic" {
			s = sigmoid(s)
		}
		out[0], out[1] = float32(s), 0
		if s >= m.threshold {
			out[1] = 1
		}
	case multiclass:
		best := 0
		for c, s := range scores {
			if s > scores[best] {
				best = c
			}
		}
		total, most := 0.0, scores[best]
		for c, s := range scores {
			scores[c] = math.Exp(s - most)
			total += scores[c]
		}
		for c, s := range scores {
			out[c] = float32(s / total)
		}
		out[len(scores)] = float32(best)
	default:
		out[0] = float32(scores[0])
	}
}

// CheckRows implements algo.RowChecker: no value may be missing.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error {
	if err := m.check(rows); err != nil {
		return err
	}
	for at, v := range rows.Values {
		if v != v {
			if !rows.Sparse() && rows.Cols > 0 {
				return algo.ClientErrorf("row %d, feature %d is missing or NaN", at/rows.Cols+1, at%rows.Cols+1)
			}
			return algo.ClientErrorf("a feature is missing or NaN")
		}
	}
	return nil
}

// String tells what the model is.
func (m *Model) String() string {
	return fmt.Sprintf("%s of %d features by %s", m.kind, m.features, m.loss)
}
