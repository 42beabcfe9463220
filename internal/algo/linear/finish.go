// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

func (w *work) objective() firstparty.Measure {
	return firstparty.Loss(w.loss.objective(w.kind == binary && w.positive != 1 || w.classWeights != nil))
}

// finish chooses the best model and measures it.
func (w *work) finish() (algo.Model, error) {
	by := w.tables["validation"]
	if by == nil {
		by = w.tables["train"]
	}
	values, err := w.takeMeans(by)
	if err != nil {
		return nil, err
	}
	if w.kind == binary && w.criterion != "loss_function" {
		losses := values
		if values, err = w.criteria(by, w.best); err != nil {
			return nil, err
		}
		for m, v := range losses { // among equals the least loss decides
			if values[m] += 1e-9 * v; math.IsNaN(v) {
				values[m] = v
			}
		}
	}
	chosen, least := -1, math.Inf(1)
	for m, v := range values {
		if v < least {
			chosen, least = m, v
		}
	}
	if chosen < 0 {
		return nil, algo.ClientErrorf("%w", errDiverged)
	}
	if w.first() {
		w.report.Info("Best model found for hyperparameters: %s", w.describe(chosen))
	}
	threshold := 0.0
	if w.kind == binary && w.criterion != "loss_function" {
		r, err := w.rank(by, chosen, w.calibrationRows(by))
		if err != nil {
			return nil, err
		}
		threshold = w.threshold(r.list)
		if by.total <= w.calibration { // it has all rows
			by.ranked = &r
		}
	}
	for _, channel := range []string{"train", "validation", "test"} {
		if t := w.tables[channel]; t != nil {
			if err := w.measure(channel, t, chosen, threshold); err != nil {
				return nil, err
			}
		}
	}
	if w.first() {
		w.report.End()
	}
	return w.fold(chosen, threshold), nil
}

// takeMeans puts the means of the last epoch's weights in the place of the best
// ones where their loss on t is less: a mean has little of the noise of steps. It
// gives the losses of all models.
//
// Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by
// Averaging", 1992.
func (w *work) takeMeans(t *table) ([]float64, error) {
	losses, err := w.losses(t, w.best)
	if err != nil {
		return nil, err
	}
	means, err := w.losses(t, w.mean)
	if err != nil {
		return nil, err
	}
	size := w.classes * w.width
	for m, v := range means {
		if v < losses[m] || v == v && losses[m] != losses[m] {
			losses[m] = v
			copy(w.best[m*size:(m+1)*size], w.mean[m*size:])
		}
	}
	return losses, nil
}

// ranked is the rows of a channel by the scores of the chosen model.
type ranked struct {
	scores []float32           // of the rows of this host, in their order
	list   []firstparty.Scored // those of all hosts, sorted
}

// rank sorts the first rows of t by the scores of a binary classifier.
func (w *work) rank(t *table, model, rows int) (r ranked, err error) {
	r.scores = w.scoresOf(t, w.best, model)
	own := make([]firstparty.Scored, rows)
	for i := range own {
		own[i] = firstparty.ScoredOf(r.scores[i], t.Label[i])
	}
	r.list, err = w.gatherScored(own)
	return r, err
}

// named is a measured figure.
type named struct {
	firstparty.Measure
	value float64
}

// measure writes the figures of a model on a channel.
func (w *work) measure(channel string, t *table, model int, threshold float64) error {
	r := t.ranked
	switch {
	case r == nil && w.kind == binary:
		all, err := w.rank(t, model, t.Rows)
		if err != nil {
			return err
		}
		r = &all
	case r == nil:
		r = &ranked{scores: w.scoresOf(t, w.best, model)}
	}
	all, err := w.meanLoss(t, r.scores, model)
	if err != nil {
		return err
	}
	var more []named
	switch w.kind {
	case binary:
		more = w.measureBinary(r.list, threshold)
	case multiclass:
		more, err = w.measureClasses(t, r.scores)
	default:
		more, err = w.measureNumbers(t, r.scores)
	}
	if err != nil {
		return err
	}
	if all = append(all, more...); !w.first() {
		return nil
	}
	for _, f := range all {
		w.report.Score(channel, f.Name, f.value)
	}
	for _, f := range all {
		w.report.Final(channel, f.Measure, f.value)
	}
	return nil
}

func (w *work) meanLoss(t *table, scores []float32, model int) ([]named, error) {
	sum := []float64{0}
	var p part
	for from := 0; from < t.Rows; from += evalRows {
		p.y = t.Label[from:min(from+evalRows, t.Rows)]
		w.slopes(&p, model*w.classes, w.classes, scores[from*w.classes:], w.classes)
		sum[0] += p.losses[0]
	}
	if err := w.in.Peers.SumFloats(w.all, sum); err != nil {
		return nil, err
	}
	return []named{{w.objective(), sum[0] * w.back / float64(t.total)}}, nil
}

func (w *work) measureBinary(list []firstparty.Scored, threshold float64) []named {
	var c confusion
	for _, v := range list {
		switch positive := float64(v.Score()) >= threshold; {
		case positive && v.Label() == 1:
			c.truePositive++
		case positive:
			c.falsePositive++
		case v.Label() == 1:
			c.falseNegative++
		default:
			c.trueNegative++
		}
	}
	return []named{
		{firstparty.Score("binary_classification_accuracy"), c.accuracy()},
		{firstparty.Score(fmt.Sprintf("binary_f_%.3f", w.beta)), c.fBeta(w.beta)},
		{firstparty.Score("precision"), c.precision()},
		{firstparty.Score("recall"), c.recall()},
		{firstparty.Score("roc_auc_score"), firstparty.AreaUnder(list)},
	}
}

// measureClasses has dcg as the mean of 1/log2(1+r), r being the rank of the
// true class among the scores.
func (w *work) measureClasses(t *table, scores []float32) ([]named, error) {
	k := w.classes
	sums := make([]float64, 3+3*k) // right, in the top, gain; then of each class: right, predicted, true
	byClass := sums[3:]
	for i, label := range t.Label {
		row, truth := scores[i*k:(i+1)*k], int(label)
		rank, best := 1, 0
		for c, v := range row {
			if v > row[best] {
				best = c
			}
			if v > row[truth] || v == row[truth] && c < truth {
				rank++
			}
		}
		if rank == 1 {
			sums[0]++
			byClass[3*truth]++
		}
		if rank <= w.topK {
			sums[1]++
		}
		sums[2] += 1 / math.Log2(1+float64(rank))
		byClass[3*best+1]++
		byClass[3*truth+2]++
	}
	if err := w.in.Peers.SumFloats(w.all, sums); err != nil {
		return nil, err
	}
	var precision, recall, f, present float64
	balanced := 0.0
	for c := range k {
		one := confusion{truePositive: byClass[3*c], falsePositive: byClass[3*c+1] - byClass[3*c], falseNegative: byClass[3*c+2] - byClass[3*c]}
		precision += one.precision() / float64(k)
		recall += one.recall() / float64(k)
		f += one.fBeta(w.beta) / float64(k)
		if byClass[3*c+2] > 0 {
			present++
			balanced += one.recall()
		}
	}
	n := float64(t.total)
	return []named{
		{firstparty.Score("multiclass_accuracy"), sums[0] / n},
		{firstparty.Score(fmt.Sprintf("multiclass_top_k_accuracy_%d", w.topK)), sums[1] / n},
		{firstparty.Score("dcg"), sums[2] / n},
		{firstparty.Score("macro_recall"), recall},
		{firstparty.Score("macro_precision"), precision},
		{firstparty.Score(fmt.Sprintf("macro_f_%.3f", w.beta)), f},
		{firstparty.Score("multiclass_balanced_accuracy"), balanced / max(present, 1)},
	}, nil
}

func (w *work) measureNumbers(t *table, scores []float32) ([]named, error) {
	sums := make([]float64, 2)
	for i, y := range t.Label {
		e := float64(scores[i]) - float64(y)
		sums[0] += e * e
		sums[1] += math.Abs(e)
	}
	if err := w.in.Peers.SumFloats(w.all, sums); err != nil {
		return nil, err
	}
	by, n := w.scaler.labelBy, float64(t.total)
	mse := sums[0] * by * by / n
	return []named{
		{firstparty.Loss("mse"), mse}, {firstparty.Loss("rmse"), math.Sqrt(mse)}, {firstparty.Loss("absolute_loss"), sums[1] * by / n},
	}, nil
}

// fold gives the chosen model with the normalisation in its weights, so that it
// predicts from data as it comes.
func (w *work) fold(chosen int, threshold float64) *Model {
	m := &Model{
		kind: w.kind, loss: w.loss.name, features: w.cols, classes: w.classes,
		weights: make([]float32, w.classes*w.cols), bias: make([]float32, w.classes), threshold: threshold,
	}
	if w.loss.name == "logistic" {
		m.threshold = sigmoid(threshold)
	}
	s := &w.scaler
	for c := range w.classes {
		from := w.best[(chosen*w.classes+c)*w.width:]
		bias := 0.0
		if w.useBias {
			bias = float64(from[w.cols])
		}
		for f := range w.cols {
			x := float64(from[f]) / s.deviation[f]
			bias -= x * s.mean[f]
			m.weights[c*w.cols+f] = float32(x * s.labelBy)
		}
		m.bias[c] = float32(bias*s.labelBy + s.label)
	}
	m.prepare()
	return m
}

// sigmoid is 1/(1+exp(-x)).
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
