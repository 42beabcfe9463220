// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"runtime"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Predict gives, for each row, what XGBoost's predict gives: a probability for
// logistic objectives, a mean for count:poisson and its like, the class for
// multi:softmax, one probability per class for multi:softprob, the margin for
// the rest. Columns that rows lack are missing values; a row with more columns
// than the model has features is a client error.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.PredictInto(ctx, rows, nil)
}

// PredictInto is Predict with the memory of values for the result.
func (m *Model) PredictInto(ctx context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	p, err := m.margin(ctx, rows, values)
	if err != nil {
		return p, err
	}
	t := transformOf(m.objective)
	t.apply(p.Values, p.Width)
	if t == toClass {
		for i := range rows.Rows {
			p.Values[i] = p.Values[i*p.Width]
		}
		p.Values, p.Width = p.Values[:rows.Rows], 1
	}
	return p, nil
}

// PredictMargin gives the sums of the leaves, or of the linear terms, and the
// intercept: one number per row, or one per class.
func (m *Model) PredictMargin(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	return m.margin(ctx, rows, nil)
}

func (m *Model) margin(ctx context.Context, rows *algo.Matrix, values []float32) (algo.Prediction, error) {
	if rows.Cols > m.features {
		return algo.Prediction{}, algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d", m.features, rows.Cols)
	}
	n := rows.Rows * m.width
	if cap(values) < n {
		values = make([]float32, n)
	}
	p := algo.Prediction{Values: values[:n], Width: m.width}
	for at := 0; at < n; at += m.width {
		copy(p.Values[at:], m.margins)
	}
	if m.booster == linearBooster {
		m.addLinear(rows, p.Values, runtime.GOMAXPROCS(0))
		return p, ctx.Err()
	}
	return p, m.forest.add(ctx, rows, p.Values, runtime.GOMAXPROCS(0))
}
