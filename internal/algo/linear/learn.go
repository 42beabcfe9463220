// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// learner is the state of training. There are models models of classes outputs
// each; the weights of output o, the bias last, are weights[o*width:].
type learner struct {
	set     []setting
	outputs int
	width   int
	row     int // how far from each other the gradients of two outputs lie

	weights, moment, square []float32
	best                    []float32 // weights of each model at its best epoch
	mean                    []float32 // of the weights after each step of this epoch
	bestLoss                []float64 // by model
	classWeights            []float32 // nil for all 1
	positives               []float32 // weight of rows labelled 1 by model, and whole lanes of 1s
	turned                  []float32 // the weights as width rows, while a batch of dense data is under way

	scaled loss    // of scaled labels
	back   float64 // times this, the loss of the labels

	order
	parts, pieces []part
	sum           []float64 // what the hosts add up
	kept          time.Time // when the last checkpoint was written
}

// prepare makes the first weights.
func (w *work) prepare() error {
	t := w.tables["train"]
	w.width = w.cols
	if w.useBias {
		w.width++
	}
	if w.row = w.width; !t.Sparse() {
		w.row = vec.Stride(w.width)
	}
	w.scaled, w.back = w.loss.scaled(w.scaler.labelBy)
	balanced, err := w.balance(t)
	if err != nil {
		return err
	}
	weights := w.width * w.classes
	models := w.models
	if models == 0 {
		models = max(1, min(autoModels, autoWeights/weights))
	}
	if models > maxWeights/weights {
		return algo.ClientErrorf("Hyperparameter num_models: %d models of %d features and %d outputs have more than the %d weights that can be trained",
			models, w.cols, w.classes, maxWeights)
	}
	w.set = w.settings(models, w.epochs*batches(t.total, w.batch), balanced)
	w.outputs = models * w.classes
	w.positives = make([]float32, vec.Stride(w.outputs))
	for m := range w.positives {
		w.positives[m] = 1
		if m < models {
			w.positives[m] = float32(w.set[m].positive)
		}
	}
	n := models * weights
	w.weights, w.moment, w.square = make([]float32, n), make([]float32, n), make([]float32, n)
	// All models begin alike: their settings are what they are compared by.
	rng := rand.New(rand.NewPCG(seed, 2))
	one := w.weights[:w.classes*w.width]
	for i := range one {
		switch {
		case w.useBias && i%w.width == w.width-1:
			one[i] = float32(w.initBias)
		case w.uniform:
			one[i] = float32(w.initBy * (2*rng.Float64() - 1))
		default:
			one[i] = float32(w.initBy * rng.NormFloat64())
		}
	}
	for m := 1; m < len(w.set); m++ {
		copy(w.weights[m*len(one):], one)
	}
	w.best, w.mean = slices.Clone(w.weights), make([]float32, n)
	w.bestLoss = make([]float64, len(w.set))
	for m := range w.bestLoss {
		w.bestLoss[m] = math.Inf(1)
	}
	w.draw(t, w.batch)
	w.sum = make([]float64, n+len(w.set)+1)
	return nil
}

// maxWeights is how many weights all models may have: 8 GiB with what training
// keeps beside them.
const maxWeights = 1 << 28

// balance gives the weight of rows labelled 1 that makes both classes count
// alike, and sets the weights of several classes.
func (w *work) balance(t *table) (positive float64, err error) {
	if w.kind == regressor {
		return 1, nil
	}
	counts := make([]int64, max(2, w.classes))
	for _, y := range t.Label {
		counts[int(y)]++
	}
	if err := w.in.Peers.SumInts(w.all, counts); err != nil {
		return 0, err
	}
	if w.balanceClasses && w.kind == multiclass {
		w.classWeights = make([]float32, w.classes)
		for c, n := range counts {
			w.classWeights[c] = float32(float64(t.total) / (float64(w.classes) * float64(max(n, 1))))
		}
	}
	if counts[0] == 0 || counts[1] == 0 {
		return 1, nil
	}
	return float64(counts[0]) / float64(counts[1]), nil
}

// batches is how many batches of at most size rows an epoch has. They are as
// large as each other: a short one at the end would weigh its rows more.
func batches(rows, size int) int { return (rows + size - 1) / size }

// learn makes the epochs.
func (w *work) learn() error {
	t := w.tables["train"]
	rng := rand.New(rand.NewPCG(seed, 3))
	nb := batches(t.total, w.batch)
	at, err := w.resume()
	if err != nil {
		return err
	}
	shuffle := func() {
		rng.Shuffle(len(w.blocks), func(i, j int) { w.blocks[i], w.blocks[j] = w.blocks[j], w.blocks[i] })
	}
	for range at.Epochs { // the order hangs on those before it
		shuffle()
	}
	for epoch := at.Epochs; epoch < w.epochs && at.Waited < w.patience; epoch++ {
		began := time.Now()
		shuffle()
		losses := make([]float64, len(w.set))
		for b := range nb {
			stop, err := w.batchOf(t, b, nb, epoch, losses)
			if err != nil {
				return err
			}
			if stop && epoch == 0 && b == 0 {
				return w.ctx.Err()
			} else if stop {
				if epoch == 0 {
					copy(w.best, w.weights)
				}
				w.report.Info("Training was told to stop after %d epochs", epoch)
				return nil
			}
		}
		for m := range losses {
			losses[m] *= w.back / float64(t.total)
		}
		valid, value, err := w.afterEpoch(losses)
		if err != nil {
			return err
		}
		w.tell(epoch, nb, losses, valid, value, time.Since(began))
		if value < at.criterion-w.tolerance*math.Abs(at.criterion) || math.IsInf(at.criterion, 1) && !math.IsInf(value, 1) {
			at.Waited = 0
		} else {
			at.Waited++
		}
		at.criterion, at.Epochs = min(at.criterion, value), epoch+1
		if err := w.keep(at); err != nil {
			return err
		}
	}
	if at.Waited >= w.patience {
		w.report.Info("Early stop condition met. Stopping training.")
	}
	return nil
}

// afterEpoch measures the models, keeps the weights of those that have become
// better, and gives the validation losses, nil without that channel, and the
// value to be minimised that early stopping watches.
func (w *work) afterEpoch(losses []float64) (valid []float64, value float64, err error) {
	by := losses
	if t := w.tables["validation"]; t != nil {
		if valid, err = w.losses(t, w.weights); err != nil {
			return nil, 0, err
		}
		by = valid
		if w.kind == binary && w.criterionGiven && w.criterion != "loss_function" {
			if by, err = w.criteria(t, w.weights); err != nil {
				return nil, 0, err
			}
		}
	}
	size := w.classes * w.width
	for m, v := range by {
		if v < w.bestLoss[m] {
			w.bestLoss[m] = v
			copy(w.best[m*size:(m+1)*size], w.weights[m*size:])
		}
	}
	return valid, least(by), nil
}

// least is the smallest number of list; NaN counts as infinite.
func least(list []float64) float64 {
	v := math.Inf(1)
	for _, x := range list {
		if x < v {
			v = x
		}
	}
	return v
}

// tell writes the lines of an epoch.
func (w *work) tell(epoch, nb int, losses, valid []float64, value float64, took time.Duration) {
	if !w.first() {
		return
	}
	t := w.tables["train"]
	w.report.Counts(epoch, t.total, nb)
	w.report.Epoch(epoch, "train", w.objective(), least(losses))
	if valid != nil {
		w.report.Epoch(epoch, "validation", w.objective(), least(valid))
	}
	name := w.objective().Name
	if w.kind == binary && w.criterionGiven && valid != nil && w.criterion != "loss_function" {
		name = w.criterion
		value = -value
	}
	w.report.Info("#early_stopping_criteria_metric: host=%s, epoch=%d, criteria=%s, value=%s", w.in.Host, epoch, name, algo.AppendNumber64(nil, value))
	w.report.Progress(epoch+1, w.epochs)
	w.report.Throughput(t.total, took)
}

// describe is a model's setting as public logs print it.
func (w *work) describe(m int) string {
	s := w.set[m]
	all := map[string]any{
		"optimizer": w.optimizer, "learning_rate": s.rate, "wd": s.wd, "l1": s.l1, "lr_scheduler_step": s.step,
		"lr_scheduler_factor": s.factor, "lr_scheduler_minimum_lr": s.minimum,
	}
	if w.kind == binary {
		all["positive_example_weight_mult"] = s.positive
	}
	b, err := json.Marshal(all)
	if err != nil { // a number that is not finite, which the bounds exclude
		panic(err)
	}
	return string(b)
}
