// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// objective is a loss to learn by. A scalar one has pair; one whose derivatives
// hang on several rows has whole; one of several classes has neither and is
// handled by softmaxPairs.
type objective struct {
	name   string
	metric string // shown when the user names none
	// pair gives the derivatives of the loss at a margin, whose transform is pred.
	pair func(margin, pred, label float32) (g, h float32)
	// whole fills into with the derivatives of all rows of this host, weighted.
	whole func(m *algo.Matrix, margins, preds []float32, into []gradPair, threads int)
	// grouped says that rows are weighed by query group, not one by one.
	grouped bool
	// single says that the whole of the data must be on one host.
	single bool
	// medians says that the leaves are medians of what is left of the labels.
	medians bool
	// raw says that metrics look at margins in place of predictions.
	raw bool
	// lossOf is the loss that the metric named as the objective's own shows, of
	// those that have it.
	lossOf func(label, margin float64) float64
	// allows tells whether a label is fit, and demand says what is.
	allows func(label float32) bool
	demand string
	start  startRule
	// params is what the model file says of the objective besides its name:
	// one group of settings, "" when there is none.
	group  string
	params map[string]string
	// positive is scale_pos_weight: rows labelled 1 count that much.
	positive float32
	classes  int
}

// startRule is how the intercept is estimated when the user gives none.
type startRule int

const (
	// The zero rule takes one Newton step from margin 0, as XGBoost's FitStump does.
	_ startRule = iota
	// byMean takes the weighted mean of the labels.
	byMean
	// byPriors takes the centred logarithms of the classes' shares.
	byPriors
	// byHalf takes 0.5, whatever the labels are.
	byHalf
	// byMedian takes the median of the labels.
	byMedian
)

// smallest keeps second derivatives above 0.
const smallest = 1e-16

func logisticPair(_, p, label float32) (g, h float32) {
	return p - label, max(p*(1-p), smallest)
}

func unitLabel(y float32) bool { return y >= 0 && y <= 1 }

// newObjective gives the objective that c asks for.
func newObjective(c *config) (*objective, error) {
	o := &objective{name: c.objective, positive: 1, classes: 1, allows: func(float32) bool { return true }}
	logistic := func(metric string) {
		o.metric, o.pair, o.allows = metric, logisticPair, unitLabel
		o.demand, o.start = "label must be in [0,1] for logistic regression", byMean
		o.scaled(c)
	}
	switch c.objective {
	case "reg:squarederror":
		o.metric = "rmse"
		o.pair = func(margin, _, label float32) (g, h float32) { return margin - label, 1 }
		o.scaled(c)
	case "reg:logistic":
		logistic("rmse")
	case "binary:logistic", "binary:logitraw":
		logistic("logloss")
		if c.objective == "binary:logitraw" {
			o.pair = func(margin, _, label float32) (g, h float32) { return logisticPair(margin, sigmoid(margin), label) }
		}
	case "binary:hinge":
		o.metric = "error"
		o.pair = hingePair
	case "multi:softmax", "multi:softprob":
		o.metric, o.classes, o.start = "mlogloss", c.classes, byPriors
		o.allows = func(y float32) bool {
			return y >= 0 && y < float32(c.classes) && y == float32(math.Floor(float64(y)))
		}
		o.demand = "SoftmaxMultiClassObj: label must be discrete values in the range of [0, num_class)"
		o.group, o.params = "softmax_multiclass_param", map[string]string{"num_class": strconv.Itoa(c.classes)}
	case "count:poisson":
		step := c.poissonStep
		o.metric, o.start = "poisson-nloglik", byMean
		stretch := exp32(step)
		o.pair = func(_, pred, label float32) (g, h float32) { return pred - label, pred * stretch }
		o.allows, o.demand = func(y float32) bool { return y >= 0 }, "label must be non-negative for Poisson/Tweedie regression"
		o.group = "poisson_regression_param"
		o.params = map[string]string{"max_delta_step": formatFloat(step)}
	case "reg:tweedie":
		rho := c.tweediePower
		o.metric, o.start = "tweedie-nloglik@"+formatFloat(rho), byMean
		o.pair = func(margin, _, label float32) (g, h float32) { return tweediePair(margin, label, rho) }
		o.allows, o.demand = func(y float32) bool { return y >= 0 }, "label must be non-negative for Poisson/Tweedie regression"
		o.group = "tweedie_regression_param"
		o.params = map[string]string{"tweedie_variance_power": formatFloat(rho)}
	case "reg:gamma":
		o.metric, o.start = "gamma-deviance", byMean
		o.pair = func(_, pred, label float32) (g, h float32) {
			ratio := label / pred
			return 1 - ratio, ratio
		}
		o.allows, o.demand = func(y float32) bool { return y > 0 }, "label must be positive for gamma regression"
		o.scaled(c)
	case "reg:squaredlogerror":
		o.metric = "rmsle"
		o.pair = squaredLogPair
		o.allows, o.demand = func(y float32) bool { return y > -1 }, "label must be greater than -1 for rmsle so that log(label + 1) can be valid"
		o.group, o.params = "reg_loss_param", map[string]string{"scale_pos_weight": "1"} // releases before 3 ask for it
	case "reg:pseudohubererror":
		o.metric = "mphe"
		o.pair = huberPair
		o.group, o.params = "pseudo_huber_param", map[string]string{"huber_slope": "1"}
	case "reg:absoluteerror":
		o.metric, o.start, o.medians = "mae", byMedian, true
		o.pair = absolutePair
	case "rank:pairwise", "rank:ndcg", "rank:map":
		o.rank(c.objective)
	case "survival:aft":
		o.aft(c)
	case "survival:cox":
		o.metric, o.whole, o.single = "cox-nloglik", coxPairs, true
	default: // aft_loss_distribution, which the container takes as the name of an objective by mistake
		return nil, algo.ClientErrorf("Unknown objective function: `%s`", c.objective)
	}
	return o, nil
}

// scaled takes scale_pos_weight from c.
func (o *objective) scaled(c *config) {
	o.positive = c.positiveWeight
	o.group = "reg_loss_param"
	o.params = map[string]string{"scale_pos_weight": formatFloat(c.positiveWeight)}
}

func hingePair(margin, _, label float32) (g, h float32) {
	sign := 2*label - 1
	if margin*sign < 1 {
		return -sign, 1
	}
	return 0, math.SmallestNonzeroFloat32
}

func absolutePair(margin, _, label float32) (g, h float32) {
	switch {
	case margin > label:
		return 1, 1
	case margin < label:
		return -1, 1
	}
	return 0, 1
}

func tweediePair(margin, label, rho float32) (g, h float32) {
	a, b := exp32((1-rho)*margin), exp32((2-rho)*margin)
	return -label*a + b, -label*(1-rho)*a + (2-rho)*b
}

func squaredLogPair(margin, _, label float32) (g, h float32) {
	p := max(float64(margin), -1+1e-6)
	diff := math.Log1p(p) - math.Log1p(float64(label))
	return float32(diff / (p + 1)), float32(max((1-diff)/((p+1)*(p+1)), 1e-6))
}

func huberPair(margin, _, label float32) (g, h float32) {
	z := margin - label
	scale := float32(math.Sqrt(float64(1 + z*z)))
	return z / scale, 1 / ((1 + z*z) * scale)
}

// check refuses labels and weights that do not fit o.
func (o *objective) check(m *algo.Matrix) error {
	if len(m.Label) != m.Rows {
		return algo.ClientErrorf("the data has no labels: %d rows, %d labels", m.Rows, len(m.Label))
	}
	for _, y := range m.Label {
		if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) {
			return algo.ClientErrorf("Label contains NaN, infinity or a value too large.")
		}
		if !o.allows(y) {
			return algo.ClientErrorf("%s (a label is %v)", o.demand, y)
		}
	}
	if groups := groupsOf(m); (o.grouped || m.Groups != nil) && m.Weight != nil && len(m.Weight) != len(groups)-1 {
		return algo.ClientErrorf("Size of weight must equal to the number of query groups when ranking group is used: %d weights, %d groups",
			len(m.Weight), len(groups)-1)
	}
	for _, w := range m.Weight {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return algo.ClientErrorf("Weights must be positive values. (a weight is %v)", w)
		}
	}
	return nil
}

// weightOf is what row i counts.
func (o *objective) weightOf(m *algo.Matrix, i int) float32 {
	w := float32(1)
	if m.Weight != nil {
		w = m.Weight[i]
	}
	if m.Label[i] == 1 {
		w *= o.positive
	}
	return w
}

// pairs fills into, one slice of rows per class, with the derivatives at
// margins, rows×classes, which transform into preds (for multi:softmax as for
// multi:softprob).
func (o *objective) pairs(m *algo.Matrix, margins, preds []float32, into [][]gradPair, threads int) {
	if o.whole != nil {
		o.whole(m, margins, preds, into[0], threads)
		return
	}
	spans(threads, m.Rows, func(_, _, lo, hi int) {
		if o.pair == nil {
			o.softmaxPairs(m, preds, into, lo, hi)
			return
		}
		out := into[0][lo:hi]
		plain := m.Weight == nil && o.positive == 1
		for i, margin := range margins[lo:hi] {
			g, h := o.pair(margin, preds[lo+i], m.Label[lo+i])
			if !plain {
				w := o.weightOf(m, lo+i)
				g, h = g*w, h*w
			}
			out[i] = gradPair{g, h}
		}
	})
}

func (o *objective) softmaxPairs(m *algo.Matrix, preds []float32, into [][]gradPair, lo, hi int) {
	for i := lo; i < hi; i++ {
		w := o.weightOf(m, i)
		for k, pk := range preds[i*o.classes : (i+1)*o.classes] {
			g := pk
			if int(m.Label[i]) == k {
				g--
			}
			into[k][i] = gradPair{g * w, max(2*pk*(1-pk)*w, smallest)}
		}
	}
}

// estimate gives the intercept in the form of the model file: a value that
// marginOf turns into a margin, one per class. m is this host's part of the
// labels; all hosts get the same intercept.
func (o *objective) estimate(ctx context.Context, peers *collective.Group, m *algo.Matrix, threads int) ([]float32, error) {
	plain := func(i int) float64 {
		if m.Weight != nil {
			return float64(m.Weight[i])
		}
		return 1
	}
	switch {
	case o.start == byPriors:
		v := make([]float64, o.classes, o.classes+1)
		for i, y := range m.Label {
			v[int(y)] += plain(i)
		}
		v = append(v, sumSpans(threads, m.Rows, plain))
		if err := peers.SumFloats(ctx, v); err != nil {
			return nil, err
		}
		return priors(v[:o.classes], v[o.classes]), nil
	case o.start == byMean && o.positive == 1:
		v := []float64{
			sumSpans(threads, m.Rows, func(i int) float64 { return plain(i) * float64(m.Label[i]) }),
			sumSpans(threads, m.Rows, plain),
		}
		err := peers.SumFloats(ctx, v)
		return []float32{float32(v[0] / max(v[1], smallest))}, err
	}
	switch o.start {
	case byHalf:
		return []float32{0.5}, nil
	case byMedian:
		return medianLabel(ctx, peers, m)
	}
	v := []float64{0, 0} // sums of g and h
	at := []float32{0}
	transformOf(o.name).apply(at, 1)
	if o.whole != nil {
		margins, preds, pairs := make([]float32, m.Rows), make([]float32, m.Rows), make([]gradPair, m.Rows)
		for i := range preds {
			preds[i] = at[0]
		}
		o.whole(m, margins, preds, pairs, threads)
		for _, p := range pairs {
			v[0] += float64(p.g)
			v[1] += float64(p.h)
		}
	} else {
		for i, y := range m.Label {
			a, b := o.pair(0, at[0], y)
			w := float64(o.weightOf(m, i))
			v[0] += float64(a) * w
			v[1] += float64(b) * w
		}
	}
	if err := peers.SumFloats(ctx, v); err != nil {
		return nil, err
	}
	base := []float32{float32(-v[0] / max(v[1], 1e-6))}
	transformOf(o.name).apply(base, 1)
	return base, nil
}

// priors gives the centred logarithms of the shares of the classes, whose
// weights sum up to total.
func priors(share []float64, total float64) []float32 {
	var mean float64
	for k := range share {
		// The small amount keeps a class without rows finite.
		share[k] = math.Log(share[k]/max(total, smallest) + 1e-6)
		mean += share[k] / float64(len(share))
	}
	base := make([]float32, len(share))
	for k := range base {
		base[k] = float32(share[k] - mean)
	}
	return base
}
