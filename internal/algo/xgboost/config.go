// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// config is what a training run is asked for.
type config struct {
	regular
	plan
	objective      string
	classes        int // outputs per row; 1 but for multi:*
	rounds         int
	baseScore      *float32 // nil: estimate
	positiveWeight float32
	poissonStep    float32
	tweediePower   float32
	aftNoise       string // aft_loss_distribution
	aftScale       float32
	seed           int64
	metrics        []string
	watch          string // metric of early stopping, "" for the last one
	patience       int    // early_stopping_rounds, 0 for none
	keepOnStop     bool
	csvWeights     bool
	threads        int          // at most so many, 0 for as many as there are
	folds          int          // of cross validation, 0 for none
	repeats        int          // of cross validation
	memory         *spill.Space // where the training matrix and its bins lie; nil is Go's heap
	hooks
	exact int // different values of a feature that hosts tell one by one, 0 for exactRuns
}

// given is what configFrom reads of algo.Params.
type given interface {
	Int(name string) int
	Float(name string) float64
	String(name string) string
	List(name string) []string
	Has(name string) bool
}

// configFrom reads the hyperparameters, whose bounds have been checked, and
// checks what ties them to each other.
func configFrom(p given) (*config, error) {
	c := &config{
		objective:      p.String("objective"),
		classes:        1,
		rounds:         p.Int("num_round"),
		positiveWeight: float32(p.Float("scale_pos_weight")),
		tweediePower:   float32(p.Float("tweedie_variance_power")),
		poissonStep:    0.7,
		aftNoise:       p.String("aft_loss_distribution"),
		aftScale:       float32(p.Float("aft_loss_distribution_scale")),
		seed:           int64(p.Int("seed")),
		metrics:        p.List("eval_metric"),
		keepOnStop:     p.String("save_model_on_termination") == "true",
		csvWeights:     p.Int("csv_weights") == 1,
		folds:          p.Int("_kfold"),
		repeats:        p.Int("_num_cv_round"),
		regular: regular{
			eta: p.Float("eta"), gamma: p.Float("gamma"), lambda: p.Float("lambda"), alpha: p.Float("alpha"),
			minChildWeight: p.Float("min_child_weight"),
			maxDepth:       p.Int("max_depth"), maxLeaves: p.Int("max_leaves"),
			lossguide: p.String("grow_policy") == "lossguide",
			byTree:    p.Float("colsample_bytree"), byLevel: p.Float("colsample_bylevel"), byNode: p.Float("colsample_bynode"),
			subsample:     p.Float("subsample"),
			maxBin:        p.Int("max_bin"),
			parallelTrees: p.Int("num_parallel_tree"),
		},
	}
	if c.objective == "reg:linear" {
		c.objective = "reg:squarederror"
	}
	if err := c.planFrom(p); err != nil {
		return nil, err
	}
	multi := strings.HasPrefix(c.objective, "multi:")
	switch {
	case multi && !p.Has("num_class"):
		return nil, algo.ClientErrorf("Require input for parameter 'num_class' for multi-classification")
	case !multi && p.Has("num_class"):
		return nil, algo.ClientErrorf("Do not need to setup parameter 'num_class' for learning task other than multi-classification.")
	case multi:
		c.classes = p.Int("num_class")
	}
	if c.objective == "survival:aft" && c.aftScale == 0 {
		return nil, algo.ClientErrorf("Hyperparameter aft_loss_distribution_scale: 0 is not in (0, +inf) for survival:aft")
	}
	if c.maxBin < 2 {
		return nil, algo.ClientErrorf("Hyperparameter max_bin: %d is not in [2, ∞)", c.maxBin)
	}
	if p.Has("max_delta_step") {
		c.maxDeltaStep = p.Float("max_delta_step")
		c.poissonStep = float32(c.maxDeltaStep)
	} else if c.objective == "count:poisson" {
		// XGBoost bounds the steps of this objective by itself.
		c.maxDeltaStep = float64(c.poissonStep)
	}
	if p.Has("base_score") {
		c.baseScore = new(float32(p.Float("base_score")))
		if m := marginOf(c.objective, *c.baseScore); math.IsNaN(float64(m)) || math.IsInf(float64(m), 0) {
			return nil, algo.ClientErrorf("base_score %v is not possible for %s: "+
				"it must lie in (0,1) for logistic losses and be greater than 0 for losses of counts and amounts", *c.baseScore, c.objective)
		}
	}
	if p.Has("early_stopping_rounds") {
		c.patience = p.Int("early_stopping_rounds")
	}
	if p.Has("nthread") {
		c.threads = p.Int("nthread")
	}
	if p.Has("_tuning_objective_metric") {
		c.watchTuned(p.String("_tuning_objective_metric"))
	}
	return c, nil
}

// watchTuned adds the metric of a tuning job, such as validation:auc, to those
// shown. Like the container it then shows all in alphabetical order.
func (c *config) watchTuned(objective string) {
	if objective == "" {
		return
	}
	if _, name, ok := strings.Cut(objective, ":"); ok {
		objective = name
	}
	c.watch = objective
	if len(c.metrics) > 0 {
		c.metrics = append(slices.Clone(c.metrics), objective)
		slices.Sort(c.metrics)
		c.metrics = slices.Compact(c.metrics)
	} else {
		c.metrics = []string{objective}
	}
}

// formatFloat writes v as briefly as it can be read back.
func formatFloat(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }
