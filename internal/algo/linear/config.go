// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// kind is what is predicted.
type kind int

const (
	binary kind = iota // a score and a label, 0 or 1
	multiclass
	regressor
)

var kinds = map[string]kind{"binary_classifier": binary, "multiclass_classifier": multiclass, "regressor": regressor}

func (k kind) String() string {
	return [...]string{"binary_classifier", "multiclass_classifier", "regressor"}[k]
}

// lossesOf are the losses that a kind may have, the first one auto.
var lossesOf = map[kind][]string{
	binary:     {"logistic", "hinge_loss"},
	multiclass: {"softmax_loss"},
	regressor: {"squared_loss", "absolute_loss", "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss",
		"quantile_loss", "huber_loss"},
}

// config is the hyperparameters of a job, those that are auto decided as far as
// they do not hang on the data.
type config struct {
	kind       kind
	classes    int // outputs of a model: num_classes, or 1
	loss       loss
	featureDim int // 0 for auto
	batch      int
	epochs     int
	topK       int
	beta       float64

	optimizer    string
	rate         float64 // 0 for auto
	wd, l1       float64 // below 0 for auto
	momentum     float32
	beta1, beta2 float32
	biasRate     float32 // multiple
	biasDecay    float32 // multiple
	useBias      bool
	schedule     bool
	step         int     // 0 for auto
	factor       float64 // 0 for auto
	minimum      float64 // 0 for auto
	uniform      bool
	initBy       float64
	initBias     float64
	scale        bool // divide features by their deviations
	center       bool // take the means off the features
	scaleLabel   bool
	centerLabel  bool
	scalerRows   int
	models       int // 0 for auto
	patience     int
	tolerance    float64

	criterion       string
	criterionGiven  bool
	targetRecall    float64
	targetPrecision float64
	positive        float64 // weight of rows labelled 1; 0 for balanced, below 0 for auto
	calibration     int
	balanceClasses  bool
}

// configFrom reads p. Its error is a client error.
func configFrom(p algo.Params) (*config, error) {
	c := &config{
		kind: kinds[p.String("predictor_type")], classes: 1, batch: p.Int("mini_batch_size"), epochs: p.Int("epochs"),
		topK: p.Int("accuracy_top_k"), beta: p.Float("f_beta"), optimizer: p.String("optimizer"),
		featureDim: int(orAuto(p, "feature_dim", 0)), rate: orAuto(p, "learning_rate", 0), wd: orAuto(p, "wd", -1), l1: orAuto(p, "l1", -1),
		momentum: float32(orAuto(p, "momentum", 0)), beta1: float32(orAuto(p, "beta_1", 0.9)), beta2: float32(orAuto(p, "beta_2", 0.999)),
		biasRate: float32(orAuto(p, "bias_lr_mult", 1)), biasDecay: float32(orAuto(p, "bias_wd_mult", 0)), useBias: p.Bool("use_bias"),
		schedule: p.Bool("use_lr_scheduler"), step: int(orAuto(p, "lr_scheduler_step", 0)), factor: orAuto(p, "lr_scheduler_factor", 0),
		minimum: orAuto(p, "lr_scheduler_minimum_lr", 0), uniform: p.String("init_method") == "uniform", initBias: p.Float("init_bias"),
		scalerRows: p.Int("num_point_for_scaler"), models: int(orAuto(p, "num_models", 0)), patience: p.Int("early_stopping_patience"),
		tolerance: p.Float("early_stopping_tolerance"), criterion: p.String("binary_classifier_model_selection_criteria"),
		criterionGiven: p.Has("binary_classifier_model_selection_criteria"), targetRecall: p.Float("target_recall"),
		targetPrecision: p.Float("target_precision"), calibration: int(orAuto(p, "num_calibration_samples", 10_000_000)),
		balanceClasses: p.Bool("balance_multiclass_weights"),
	}
	c.initBy = p.Float("init_sigma")
	if c.uniform {
		c.initBy = p.Float("init_scale")
	}
	if c.optimizer == auto {
		c.optimizer = "adam"
	}
	if c.criterion == "cross_entropy_loss" { // the older name
		c.criterion = "loss_function"
	}
	if p.String("_tuning_objective_metric") != "" {
		c.models = 1 // "When hyperparameter tuning is turned on, num_models is 1."
	}
	if err := c.takeLoss(p); err != nil {
		return nil, err
	}
	if err := c.takeWeight(p.String("positive_example_weight_mult")); err != nil {
		return nil, err
	}
	return c, c.takeScaler(p)
}

const auto = "auto"

// orAuto is the number name, def where it is left to the algorithm.
func orAuto(p algo.Params, name string, def float64) float64 {
	if p.Auto(name) {
		return def
	}
	return p.Float(name)
}

func (c *config) takeLoss(p algo.Params) error {
	name, allowed := p.String("loss"), lossesOf[c.kind]
	if name == auto {
		name = allowed[0]
	}
	known := false
	for _, a := range allowed {
		known = known || a == name
	}
	if !known {
		return algo.ClientErrorf("Hyperparameter loss: %s is not in [auto, %s], the losses of predictor_type %s", name, strings.Join(allowed, ", "), c.kind)
	}
	c.loss = loss{name: name}
	switch name {
	case "hinge_loss":
		c.loss.at = float32(p.Float("margin"))
	case "quantile_loss":
		c.loss.at = float32(p.Float("quantile"))
	case "huber_loss":
		c.loss.at = float32(p.Float("huber_delta"))
	case "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss":
		c.loss.at = float32(p.Float("loss_insensitivity"))
	}
	if c.kind != multiclass {
		return nil // others pass num_classes over
	}
	if !p.Has("num_classes") {
		return algo.ClientErrorf("Missing required hyperparameter: num_classes, for predictor_type multiclass_classifier")
	}
	if c.classes = p.Int("num_classes"); c.classes < 3 {
		return algo.ClientErrorf("Hyperparameter num_classes: %d is not in [3, 1000000], for predictor_type multiclass_classifier", c.classes)
	}
	return nil
}

// takeWeight reads positive_example_weight_mult.
func (c *config) takeWeight(text string) error {
	switch text = strings.TrimSpace(text); text {
	case "balanced":
		c.positive = 0
		return nil
	case auto:
		c.positive = -1
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return algo.ClientErrorf("Hyperparameter positive_example_weight_mult: %q is not a number in (0, +inf), balanced or auto", text)
	}
	c.positive = x
	return nil
}

// takeScaler decides how data is normalised. Means can only be taken off where
// there is a bias into which they are folded.
func (c *config) takeScaler(p algo.Params) error {
	flag := func(name string, def bool) bool {
		if text := p.String(name); text != auto {
			return text == "true"
		}
		return def
	}
	c.scale = flag("normalize_data", true)
	c.center = flag("unbias_data", c.scale && c.useBias)
	c.scaleLabel = c.kind == regressor && flag("normalize_label", true)
	c.centerLabel = c.kind == regressor && flag("unbias_label", c.scaleLabel && c.useBias)
	switch {
	case c.useBias:
	case c.center:
		return algo.ClientErrorf("Hyperparameter unbias_data: true needs use_bias, which is false")
	case c.centerLabel:
		return algo.ClientErrorf("Hyperparameter unbias_label: true needs use_bias, which is false")
	}
	return nil
}
