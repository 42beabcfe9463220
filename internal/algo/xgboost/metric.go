// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// seen is what a metric looks at: the labels of a data set, or of this host's
// part of it, and what the model makes of them.
type seen struct {
	m       *algo.Matrix
	margins []float32 // rows×width
	preds   []float32 // transformed; probabilities for every multi-class objective
	width   int
	threads int
	across  *across // nil when the whole data set is here
}

func (s *seen) weight(i int) float64 {
	if s.m.Weight != nil {
		return float64(s.m.Weight[i])
	}
	return 1
}

// metric is one evaluation metric.
type metric struct {
	name     string // as shown
	maximize bool
	custom   bool // computed by SageMaker's container, not by XGBoost: shown last
	eval     func(s *seen) float64
	// fits tells whether a label suits the metric, and demand says what does;
	// nil where all do.
	fits   func(label float32) bool
	demand string
}

// check refuses data that m cannot look at.
func (m *metric) check(data *algo.Matrix) error {
	if m.fits == nil {
		return nil
	}
	for _, y := range data.Label {
		if !m.fits(y) {
			return algo.ClientErrorf("Metric '%s': %s (a label is %v)", m.name, m.demand, y)
		}
	}
	return nil
}

// maximized and minimized are the metrics that the container knows.
var (
	maximized = []string{
		"accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "precision",
		"precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro",
	}
	minimized = []string{
		"aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy",
		"logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle", "tweedie-nloglik",
	}
)

// newMetric gives the metric of that name for the objective o.
func newMetric(name string, o *objective) (metric, error) {
	if m, ok, err := grouped(name, o); ok {
		return m, err
	}
	head, at, hasAt := strings.Cut(name, "@")
	if hasAt && !slices.Contains([]string{"error", "ndcg", "map", "tweedie-nloglik"}, head) {
		return metric{}, algo.ClientErrorf("Metric '%s' is not supported. Parameter 'eval_metric' with customized threshold "+
			"should be one of these options: 'error', 'ndcg', 'map'.", name)
	}
	level := 0.5
	if hasAt {
		var err error
		if level, err = strconv.ParseFloat(strings.TrimSpace(at), 64); err != nil || math.IsNaN(level) {
			return metric{}, algo.ClientErrorf("Threshold value 't' in '%s@t' expects float input.", head)
		}
	}
	multi := o.classes > 1
	m := metric{name: name, maximize: slices.Contains(maximized, head)}
	switch head {
	case "merror", "mlogloss":
		if !multi {
			return metric{}, algo.ClientErrorf("Metric '%s' can only be applied for multi-class objectives.", name)
		}
	case "auc", "aucpr":
		ranks := strings.HasPrefix(o.name, "rank:")
		if head == "auc" && !ranks && !strings.HasPrefix(o.name, "binary:") {
			return metric{}, algo.ClientErrorf("Metric '%s' can only be applied for classification and ranking problems.", name)
		}
		if head == "aucpr" && ranks {
			m.fits, m.demand = isBinary, "PR-AUC supports only binary relevance for learning to rank."
		}
	case "aft-nloglik", "interval-regression-accuracy":
		if o.name != "survival:aft" {
			return metric{}, algo.ClientErrorf("Metric '%s' can only be applied for 'survival:aft' objective.", name)
		}
	}
	if eval, ok := byClass(head, o); ok {
		if eval == nil {
			return metric{}, algo.ClientErrorf("Metric '%s' cannot be applied to the objective %s.", name, o.name)
		}
		m.custom, m.eval = true, eval
		return m, nil
	}
	if m.eval = byRow(head, level, o); m.eval == nil {
		return metric{}, algo.ClientErrorf("Metric '%s' is not supported.", name)
	}
	if multi && head != "merror" && head != "mlogloss" && head != "aucpr" {
		return metric{}, algo.ClientErrorf("Metric '%s' cannot be applied to the objective %s.", name, o.name)
	}
	return m, nil
}

// byRow gives the metrics that XGBoost itself computes, nil for others.
func byRow(head string, level float64, o *objective) func(*seen) float64 {
	root := func(f func(y, p float64) float64) func(*seen) float64 {
		return func(s *seen) float64 { return math.Sqrt(mean(s, f)) }
	}
	plain := func(f func(y, p float64) float64) func(*seen) float64 {
		return func(s *seen) float64 { return mean(s, f) }
	}
	switch head {
	case "rmse":
		return root(func(y, p float64) float64 { return (y - p) * (y - p) })
	case "rmsle":
		return root(func(y, p float64) float64 {
			d := math.Log1p(y) - math.Log1p(p)
			return d * d
		})
	case "mae":
		return plain(func(y, p float64) float64 { return math.Abs(y - p) })
	case "mape":
		return plain(func(y, p float64) float64 { return math.Abs((y - p) / y) })
	case "mphe":
		return plain(func(y, p float64) float64 { return math.Sqrt(1+(y-p)*(y-p)) - 1 })
	case "logloss":
		return meanLogLoss
	case "error":
		return plain(func(y, p float64) float64 {
			if p > level {
				return 1 - y
			}
			return y
		})
	case "poisson-nloglik":
		return plain(func(y, p float64) float64 {
			p = max(p, smallest)
			gamma, _ := math.Lgamma(y + 1)
			return gamma + p - math.Log(p)*y
		})
	case "gamma-deviance":
		return func(s *seen) float64 {
			return 2 * mean(s, func(y, p float64) float64 {
				y, p = y+1e-6, p+1e-6
				return math.Log(p/y) + y/p - 1
			})
		}
	case "gamma-nloglik":
		return plain(func(y, p float64) float64 {
			p = max(p, 1e-6)
			return y/p + math.Log(p)
		})
	case "tweedie-nloglik":
		if level <= 1 || level >= 2 {
			return nil
		}
		return plain(func(y, p float64) float64 {
			return -y*math.Pow(p, 1-level)/(1-level) + math.Pow(p, 2-level)/(2-level)
		})
	case "aft-nloglik":
		return plain(o.lossOf)
	case "interval-regression-accuracy": // of labels that are no intervals
		return plain(func(y, p float64) float64 {
			if math.Exp(p) == y {
				return 1
			}
			return 0
		})
	case "cox-nloglik":
		return coxLoss
	case "auc":
		return auc
	case "aucpr":
		return aucPR
	case "merror":
		return func(s *seen) float64 {
			return meanRows(s, func(i int) float64 {
				if highest(s.preds[i*s.width:(i+1)*s.width]) == int(s.m.Label[i]) {
					return 0
				}
				return 1
			})
		}
	case "mlogloss":
		return func(s *seen) float64 {
			return meanRows(s, func(i int) float64 {
				return -math.Log(max(float64(s.preds[i*s.width+int(s.m.Label[i])]), smallest))
			})
		}
	}
	return nil
}

// meanLogLoss is the mean of logLoss. Logarithms are what costs, so that of a
// product is taken in place of the sum of those of its factors.
func meanLogLoss(s *seen) float64 {
	if s.m.Weight != nil {
		return mean(s, logLoss)
	}
	parts := make([]float64, (s.m.Rows+span-1)/span)
	spans(s.threads, s.m.Rows, func(_, block, lo, hi int) {
		product, sum := 1.0, 0.0
		for i := lo; i < hi; i++ {
			y, p := float64(s.m.Label[i]), float64(s.preds[i])
			q := math.Abs(p + y - 1) // of p or 1-p what belongs to the label
			if y*(1-y) != 0 || !(p >= smallest && p <= 1-smallest) {
				sum += logLoss(y, p)
				continue
			}
			if product *= q; product < 1e-280 {
				sum -= math.Log(product)
				product = 1
			}
		}
		parts[block] = sum - math.Log(product)
	})
	var sum float64
	for _, p := range parts {
		sum += p
	}
	v := s.total(sum, float64(s.m.Rows))
	return v[0] / v[1]
}

// logLoss is the negative log-likelihood of label y under probability p. As in
// XGBoost only small values are held off, so margins above 1 count as well.
func logLoss(y, p float64) float64 {
	var loss float64
	if y != 0 {
		loss -= y * math.Log(max(p, smallest))
	}
	if y != 1 {
		loss -= (1 - y) * math.Log(max(1-p, smallest))
	}
	return loss
}

// mean is the weighted mean of f(label, prediction) over the rows.
func mean(s *seen, f func(y, p float64) float64) float64 {
	return meanRows(s, func(i int) float64 { return f(float64(s.m.Label[i]), float64(s.preds[i])) })
}

func meanRows(s *seen, f func(i int) float64) float64 {
	var v []float64
	if s.m.Weight == nil {
		v = s.total(sumSpans(s.threads, s.m.Rows, f), float64(s.m.Rows))
	} else {
		v = s.total(sumSpans(s.threads, s.m.Rows, func(i int) float64 { return f(i) * s.weight(i) }),
			sumSpans(s.threads, s.m.Rows, s.weight))
	}
	return v[0] / v[1]
}
