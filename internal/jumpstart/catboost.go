// SPDX-License-Identifier: Apache-2.0

package jumpstart

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// catBoost is CatBoost for each task. Sources: "CatBoost hyperparameters" and
// "Tune a CatBoost model" in the SageMaker developer guide.
func catBoost() []Model {
	// All metrics of CatBoost have one regex in AWS: which one it is, is known
	// from eval_metric alone, so it has no name of one here.
	best := []algo.Metric{{Name: "bestTest", Regex: `bestTest = ([0-9\.]+)`}}
	return []Model{
		{
			ID: "catboost-classification-model", Version: "1.0.0", Library: "catboost", Task: "classification",
			Title: "CatBoost Classification", Requirements: []string{"catboost==1.2.10"}, Params: catBoostParams(), Metrics: best,
			Payload: "5.1,3.5,1.4,0.2",
		},
		{
			ID: "catboost-regression-model", Version: "1.0.0", Library: "catboost", Task: "regression",
			Title: "CatBoost Regression", Requirements: []string{"catboost==1.2.10"}, Params: catBoostParams(), Metrics: best,
			Payload: "5.1,3.5,1.4,0.2",
		},
	}
}

func catBoostParams() []algo.Param {
	return []algo.Param{
		algo.IntParam("iterations", "500", new(1.0), nil, "most trees"),
		algo.IntParam("early_stopping_rounds", "5", nil, nil,
			"training ends when the validation metric has not improved for so many trees; 0 or less: never"),
		algo.TextParam("eval_metric", "auto", "metric of the validation data, any of CatBoost's; auto: RMSE, AUC or MultiClass"),
		algo.FloatParam("learning_rate", "0.009", new(0.0), new(1.0), "shrinks what each tree adds").Above().Below().Tuned(0.001, 0.01),
		algo.IntParam("depth", "6", new(1.0), new(16.0), "levels of a tree").Tuned(4, 10),
		algo.IntParam("l2_leaf_reg", "3", new(1.0), nil, "L2 regularization").Tuned(2, 10),
		algo.FloatParam("random_strength", "1.0", new(0.0), nil, "how much chance is in the scores of splits").Tuned(0, 10),
		algo.IntParam("max_leaves", "31", new(2.0), new(64.0), "most leaves of a tree; with Lossguide only"),
		algo.FloatParam("rsm", "1.0", new(0.0), new(1.0), "share of the features that a split may use").Above(),
		algo.EnumParam("sampling_frequency", "PerTreeLevel", "when rows are weighted anew; Lossguide: once for each tree", "PerTreeLevel", "PerTree"),
		algo.IntParam("min_data_in_leaf", "1", new(1.0), nil, "fewest rows of a leaf; with Lossguide and Depthwise only"),
		algo.FloatParam("bagging_temperature", "1.0", new(0.0), nil, "how much the weights of rows differ; 0: not at all"),
		algo.EnumParam("boosting_type", "Auto", "how trees are boosted; Auto: by the number of rows, in CatBoost's way", "Auto", "Ordered", "Plain"),
		algo.FloatParam("scale_pos_weight", "1.0", new(0.0), nil, "weight of the second of two classes").Above(),
		algo.IntParam("max_bin", "Auto", new(1.0), new(65535.0), "most borders of a numeric feature; Auto: 254").OrAuto(),
		algo.EnumParam("grow_policy", "SymmetricTree", "how trees grow", "SymmetricTree", "Depthwise", "Lossguide"),
		algo.IntParam("random_seed", "1", new(0.0), nil, "seed"),
		algo.IntParam("thread_count", "-1", new(-1.0), nil, "threads; -1: as many as the container has processors"),
		algo.IntParam("verbose", "1", new(1.0), nil, "a line is logged every so many trees"),
	}
}
