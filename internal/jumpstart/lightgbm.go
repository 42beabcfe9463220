// SPDX-License-Identifier: Apache-2.0

package jumpstart

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// lightGBM is LightGBM for each task. Sources: "LightGBM hyperparameters" and
// "Tune a LightGBM model" in the SageMaker developer guide.
func lightGBM() []Model {
	return []Model{
		{
			ID: "lightgbm-classification-model", Version: "1.0.0", Library: "lightgbm", Task: "classification",
			Title: "LightGBM Classification", Requirements: []string{"lightgbm==4.6.0"}, Modules: []string{"hosts.py"}, Params: lightGBMParams(),
			Metrics: lightGBMMetrics("binary_logloss", "binary_error", "auc", "average_precision", "multi_logloss", "multi_error", "auc_mu", "cross_entropy"),
			Payload: "5.1,3.5,1.4,0.2",
		},
		{
			ID: "lightgbm-regression-model", Version: "1.0.0", Library: "lightgbm", Task: "regression",
			Title: "LightGBM Regression", Requirements: []string{"lightgbm==4.6.0"}, Modules: []string{"hosts.py"}, Params: lightGBMParams(),
			Metrics: lightGBMMetrics("rmse", "l1", "l2", "huber", "fair"),
			Payload: "5.1,3.5,1.4,0.2",
		},
	}
}

func lightGBMParams() []algo.Param {
	return []algo.Param{
		algo.IntParam("num_boost_round", "100", new(1.0), nil, "most rounds of boosting"),
		algo.IntParam("early_stopping_rounds", "10", nil, nil,
			"training ends when the validation metric has not improved for so many rounds; 0 or less: never"),
		algo.EnumParam("metric", "auto", "metric of the validation data; auto: rmse, binary_logloss or multi_logloss",
			"auto", "rmse", "l1", "l2", "huber", "fair", "binary_logloss", "binary_error", "auc", "average_precision", "multi_logloss",
			"multi_error", "auc_mu", "cross_entropy"),
		algo.FloatParam("learning_rate", "0.1", new(0.0), new(1.0), "shrinks what each round adds").Above().Below().Tuned(0.001, 0.01),
		algo.IntParam("num_leaves", "64", new(1.0), new(131072.0), "most leaves of a tree").Above().Below().Tuned(10, 100),
		algo.FloatParam("feature_fraction", "0.9", new(0.0), new(1.0), "share of the features that a tree may use").Above().Tuned(0.1, 1),
		algo.FloatParam("bagging_fraction", "0.9", new(0.0), new(1.0), "share of the rows that a tree is grown from").Above().Tuned(0.1, 1),
		algo.IntParam("bagging_freq", "1", new(0.0), nil, "rows are drawn anew every so many rounds; 0: never, all are used").Tuned(0, 10),
		algo.IntParam("max_depth", "6", nil, nil, "most levels of a tree; 0 or less: no limit").Tuned(15, 100),
		algo.IntParam("min_data_in_leaf", "3", new(0.0), nil, "fewest rows of a leaf").Tuned(10, 200),
		algo.FloatParam("max_delta_step", "0.0", nil, nil, "limits the value of a leaf; 0 or less: no limit"),
		algo.FloatParam("lambda_l1", "0.0", new(0.0), nil, "L1 regularization"),
		algo.FloatParam("lambda_l2", "0.0", new(0.0), nil, "L2 regularization"),
		algo.EnumParam("boosting", "gbdt", "how trees are boosted", "gbdt", "rf", "dart", "goss"),
		algo.FloatParam("min_gain_to_split", "0.0", new(0.0), nil, "least gain of a split"),
		algo.FloatParam("scale_pos_weight", "1.0", new(0.0), nil, "weight of the second of two classes; not with is_unbalance").Above(),
		algo.EnumParam("tree_learner", "serial", "what several hosts divide; serial: data, on one host all are serial", "serial", "feature", "data", "voting"),
		algo.FloatParam("feature_fraction_bynode", "1.0", new(0.0), new(1.0), "share of the features that a split may use").Above(),
		algo.EnumParam("is_unbalance", "False", "gives two classes equal weight", "True", "False"),
		algo.IntParam("max_bin", "255", new(1.0), nil, "most bins of a feature").Above(),
		algo.FloatParam("tweedie_variance_power", "1.5", new(1.0), new(2.0), "no effect: no loss of the tasks is Tweedie's").Below(),
		algo.IntParam("num_threads", "0", new(0.0), nil, "threads; 0: as many as the container has processors"),
		algo.IntParam("verbosity", "1", nil, nil, "what LightGBM says: below 0 fatal errors, 0 warnings, 1 information, above it everything"),
		algo.EnumParam("use_dask", "False", "True: several hosts train one model", "True", "False"),
	}
}

// lightGBMMetrics are metrics by their names.
func lightGBMMetrics(names ...string) []algo.Metric {
	maximize := map[string]bool{"auc": true, "average_precision": true, "auc_mu": true}
	out := make([]algo.Metric, 0, len(names))
	for _, n := range names {
		out = append(out, algo.Metric{Name: n, Regex: n + `: ([0-9\.]+)`, Maximize: maximize[n]})
	}
	return out
}
