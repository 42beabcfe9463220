// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// linearBooster is the name of the booster whose rounds improve one linear
// model.
const linearBooster = "gblinear"

// baseMargin is the intercept of output k as a margin. XGBoost's gblinear takes
// the first one for all.
func (m *Model) baseMargin(k int) float32 {
	if k >= len(m.base) || m.booster == linearBooster {
		k = 0
	}
	return marginOf(m.objective, m.base[k])
}

// addLinear adds the linear model's terms of rows to margins, rows×width.
// What a row lacks counts as 0.
func (m *Model) addLinear(rows *algo.Matrix, margins []float32, threads int) {
	spans(threads, rows.Rows, func(_, _, lo, hi int) { m.addLinearRows(rows, margins, lo, hi) })
}

// addLinearRows is addLinear for rows lo to hi.
func (m *Model) addLinearRows(rows *algo.Matrix, margins []float32, lo, hi int) {
	bias := m.linear[m.features*m.width:]
	for r := lo; r < hi; r++ {
		out := margins[r*m.width : (r+1)*m.width]
		for k, b := range bias {
			out[k] += b
		}
		term := func(f int, v float32) {
			if v != v || f >= m.features {
				return
			}
			for k, w := range m.linear[f*m.width : (f+1)*m.width] {
				out[k] += v * w
			}
		}
		if rows.Sparse() {
			for i := rows.Start[r]; i < rows.Start[r+1]; i++ {
				term(int(rows.Index[i]), rows.Values[i])
			}
			continue
		}
		for f, v := range rows.Values[r*rows.Cols : (r+1)*rows.Cols] {
			term(f, v)
		}
	}
}

// writeLinear writes the booster.
func (m *Model) writeLinear(w sink) {
	w.open()
	w.key("model")
	w.open()
	w.key("boosted_rounds")
	w.integer(m.NumRounds())
	w.key("weights")
	w.floats(m.linear)
	w.close()
	w.key("name")
	w.text(linearBooster)
	w.close()
}

// decodeLinear reads the booster.
func (m *Model) decodeLinear(c cursor) {
	m.booster = linearBooster
	model := c.get("model")
	m.linear = model.get("weights").floats(-1)
	m.bounds = []int{0}
	if model.has("boosted_rounds") { // since 1.4
		if n, ok := model.get("boosted_rounds").at.(float64); ok && n > 0 && n < math.MaxInt32 {
			m.rounds = int(n)
		}
	}
}

// linearLearner improves a linear model round by round: one step of coordinate
// descent for the intercept and each weight in turn. XGBoost's two updaters,
// shotgun and coord_descent, both take these steps; the first takes several at
// once where it has threads, and then does not say in which order.
//
// Source: Friedman, Hastie and Tibshirani, "Regularization Paths for Generalized
// Linear Models via Coordinate Descent", Journal of Statistical Software 2010.
type linearLearner struct {
	rows    [][]uint32  // by feature: the rows that have it; nil for all
	values  [][]float32 // by feature
	weight  float64     // of all rows together, by which the penalties count
	best    []float32   // weights of the best round on the validation data
	bestFor int         // that round, -1 for none
}

// newLinearLearner looks at the columns of m.
func newLinearLearner(m *algo.Matrix) (*linearLearner, error) {
	l := &linearLearner{rows: make([][]uint32, m.Cols), values: make([][]float32, m.Cols), weight: float64(m.Rows), bestFor: -1}
	if len(m.Weight) == m.Rows { // not by query group
		l.weight = 0
		for _, w := range m.Weight {
			l.weight += float64(w)
		}
	}
	for f, column := range columnsWithRows(m) {
		if hasInfinity(column.values) {
			return nil, infinite(f)
		}
		l.values[f] = column.values
		if len(column.values) < m.Rows {
			l.rows[f] = column.rows
		}
	}
	return l, nil
}

// learnLinear takes a step for every weight. The pairs follow the steps.
func (t *booster) learnLinear(pairs [][]gradPair) error {
	l, m := t.line, t.model
	alpha, lambda := t.alpha*l.weight, t.lambda*l.weight
	inner := t.workers
	if len(pairs) >= t.workers {
		inner = 1
	}
	vec.Parallel(t.workers, len(pairs), func(_, k int) {
		of := pairs[k]
		bias := &m.linear[m.features*m.width+k]
		g, h := l.sums(of, nil, nil, inner)
		var step float32
		if h+t.biasPenalty > 0 {
			step = float32(t.eta * -(g + t.biasPenalty*float64(*bias)) / (h + t.biasPenalty))
		}
		*bias += step
		l.follow(of, nil, nil, step, inner)
		for f, values := range l.values {
			w := &m.linear[f*m.width+k]
			g, h := l.sums(of, l.rows[f], values, inner)
			step := float32(t.eta * coordinateStep(g, h, float64(*w), alpha, lambda))
			*w += step
			l.follow(of, l.rows[f], values, step, inner)
		}
	})
	for _, w := range m.linear {
		if !(math.Abs(float64(w)) <= math.MaxFloat32) {
			return errDiverged
		}
	}
	m.rounds++
	t.retell()
	return nil
}

// retell computes the margins of all data sets anew.
func (t *booster) retell() {
	m := t.model
	for _, set := range t.sets {
		spans(t.workers, set.m.Rows, func(_, _, lo, hi int) {
			for r := lo; r < hi; r++ {
				for k := range m.width {
					set.margins[r*m.width+k] = m.baseMargin(k)
				}
			}
			m.addLinearRows(set.m, set.margins, lo, hi)
		})
	}
}

// coordinateStep is the change of weight w that minimizes the loss to second
// order, with sums g and h of the derivatives by w, and the penalties.
func coordinateStep(g, h, w, alpha, lambda float64) float64 {
	if h < 1e-5 {
		return 0
	}
	g, h = g+lambda*w, h+lambda
	if w-g/h >= 0 {
		return max(-(g+alpha)/h, -w)
	}
	return min(-(g-alpha)/h, -w)
}

// sums adds up the derivatives by a weight over the rows that have its feature.
// Without values it is those by the intercept.
func (l *linearLearner) sums(pairs []gradPair, rows []uint32, values []float32, threads int) (g, h float64) {
	n := len(pairs)
	if values != nil {
		n = len(values)
	}
	if n < wideRows {
		threads = 1
	}
	parts := make([][2]float64, (n+span-1)/span)
	spans(threads, n, func(_, block, lo, hi int) {
		var g, h float64
		switch {
		case values == nil:
			for _, p := range pairs[lo:hi] {
				g += float64(p.g)
				h += float64(p.h)
			}
		case rows == nil:
			for i, p := range pairs[lo:hi] {
				v := values[lo+i]
				g += float64(p.g * v)
				h += float64(p.h * v * v)
			}
		default:
			for i := lo; i < hi; i++ {
				p, v := pairs[rows[i]], values[i]
				g += float64(p.g * v)
				h += float64(p.h * v * v)
			}
		}
		parts[block] = [2]float64{g, h}
	})
	for _, p := range parts {
		g += p[0]
		h += p[1]
	}
	return g, h
}

// follow brings the first derivatives up to a step of a weight.
func (l *linearLearner) follow(pairs []gradPair, rows []uint32, values []float32, step float32, threads int) {
	if step == 0 {
		return
	}
	n := len(pairs)
	if values != nil {
		n = len(values)
	}
	if n < wideRows {
		threads = 1
	}
	spans(threads, n, func(_, _, lo, hi int) {
		switch {
		case values == nil:
			for i := range pairs[lo:hi] {
				pairs[lo+i].g += pairs[lo+i].h * step
			}
		case rows == nil:
			for i := range pairs[lo:hi] {
				pairs[lo+i].g += pairs[lo+i].h * values[lo+i] * step
			}
		default:
			for i := lo; i < hi; i++ {
				p := &pairs[rows[i]]
				p.g += p.h * values[i] * step
			}
		}
	})
}

// note keeps the weights of the best round.
func (l *linearLearner) note(m *Model, stop *stopper, round int) {
	if l != nil && stop != nil && stop.best == round {
		l.best, l.bestFor = append(l.best[:0], m.linear...), round
	}
}
