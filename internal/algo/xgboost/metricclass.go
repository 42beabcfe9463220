// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"slices"
	"strings"
)

// byClass gives the metrics that SageMaker's container computes besides those
// of XGBoost, unweighted as there. ok is false for other names; eval is nil
// where the metric does not suit the objective.
func byClass(head string, o *objective) (eval func(*seen) float64, ok bool) {
	multi, binary := o.classes > 1, strings.HasPrefix(o.name, "binary:")
	average := func(of func(c confusion) []float64) func(*seen) float64 {
		return func(s *seen) float64 {
			var sum float64
			values := of(confuse(s))
			for _, v := range values {
				sum += v
			}
			return sum / float64(len(values))
		}
	}
	one := func(of func(c confusion) []float64) func(*seen) float64 {
		if !binary {
			return nil
		}
		return func(s *seen) float64 { return of(confuse(s))[1] }
	}
	switch head {
	case "mse", "r2":
		if multi {
			return nil, true
		}
		if head == "mse" {
			return func(s *seen) float64 {
				v := s.total(squares(s), float64(s.m.Rows))
				return v[0] / v[1]
			}, true
		}
		return rSquared, true
	case "accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "precision", "precision_macro",
		"precision_micro", "recall", "recall_macro", "recall_micro":
		if !multi && !binary {
			return nil, true
		}
	default:
		return nil, false
	}
	switch head {
	case "balanced_accuracy":
		return func(s *seen) float64 {
			var sum, n float64
			c := confuse(s)
			for k, v := range c.recall() {
				if c.truth[k] > 0 {
					sum += v
					n++
				}
			}
			return sum / n
		}, true
	case "f1", "f1_macro":
		return average(confusion.f1), true
	case "f1_binary":
		return one(confusion.f1), true
	case "precision":
		return one(confusion.precision), true
	case "precision_macro":
		return average(confusion.precision), true
	case "recall":
		return one(confusion.recall), true
	case "recall_macro":
		return average(confusion.recall), true
	}
	// Over all classes together precision and recall are both the accuracy.
	return func(s *seen) float64 {
		var hits, rows float64
		c := confuse(s)
		for k, v := range c.hit {
			hits += v
			rows += c.truth[k]
		}
		return hits / rows
	}, true
}

// confusion counts, by class, the rows that are of it, were taken for it, and both.
type confusion struct{ truth, taken, hit []float64 }

// confuse counts. Of two classes the second is taken when the margin is above 0.
// A class that neither occurs nor is predicted is left out of averages over
// several classes, as in scikit-learn.
func confuse(s *seen) confusion {
	n := max(s.width, 2)
	c := confusion{make([]float64, n), make([]float64, n), make([]float64, n)}
	for i, y := range s.m.Label {
		var guess, truth int
		if s.width > 1 {
			guess, truth = highest(s.margins[i*s.width:(i+1)*s.width]), int(y)
		} else {
			if s.margins[i] > 0 {
				guess = 1
			}
			if y > 0.5 { // logistic labels may lie between
				truth = 1
			}
		}
		c.truth[truth]++
		c.taken[guess]++
		if truth == guess {
			c.hit[guess]++
		}
	}
	if s.across != nil {
		v := s.total(slices.Concat(c.truth, c.taken, c.hit)...)
		c = confusion{v[:n], v[n : 2*n], v[2*n:]}
	}
	if s.width > 1 {
		k := 0
		for i := range n {
			if c.truth[i]+c.taken[i] > 0 {
				c.truth[k], c.taken[k], c.hit[k] = c.truth[i], c.taken[i], c.hit[i]
				k++
			}
		}
		c.truth, c.taken, c.hit = c.truth[:k], c.taken[:k], c.hit[:k]
	}
	return c
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func (c confusion) each(f func(k int) float64) []float64 {
	values := make([]float64, len(c.hit))
	for k := range values {
		values[k] = f(k)
	}
	return values
}

func (c confusion) precision() []float64 {
	return c.each(func(k int) float64 { return ratio(c.hit[k], c.taken[k]) })
}

func (c confusion) recall() []float64 {
	return c.each(func(k int) float64 { return ratio(c.hit[k], c.truth[k]) })
}

func (c confusion) f1() []float64 {
	return c.each(func(k int) float64 { return ratio(2*c.hit[k], c.taken[k]+c.truth[k]) })
}

// squares is the sum of squared errors of the rows that are here.
func squares(s *seen) float64 {
	return sumSpans(s.threads, s.m.Rows, func(i int) float64 {
		d := float64(s.m.Label[i]) - float64(s.preds[i])
		return d * d
	})
}

// rSquared is 1 less the share of the labels' variance that the model leaves;
// for labels that are all the same it is 1 when all are met and 0 otherwise.
func rSquared(s *seen) float64 {
	n := s.m.Rows
	v := s.total(sumSpans(s.threads, n, func(i int) float64 { return float64(s.m.Label[i]) }), float64(n))
	mean := v[0] / v[1]
	v = s.total(squares(s), sumSpans(s.threads, n, func(i int) float64 {
		d := float64(s.m.Label[i]) - mean
		return d * d
	}))
	left, spread := v[0], v[1]
	if spread == 0 {
		if left == 0 {
			return 1
		}
		return 0
	}
	return 1 - left/spread
}
