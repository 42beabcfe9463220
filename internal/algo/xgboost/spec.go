// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// contentTypes are those that the train and validation channels take.
var contentTypes = []string{
	"text/libsvm", "text/x-libsvm", "libsvm", "text/csv", "csv",
	"parquet", "application/x-parquet", "recordio-protobuf", "application/x-recordio-protobuf",
}

// Spec gives the hyperparameters of SageMaker's XGBoost container, its channels
// and its metrics; ranges for tuning are those of "Tune an XGBoost Model" in the
// SageMaker developer guide. Values whose effect is not built are told by Train.
func (Algorithm) Spec() algo.Spec {
	return algo.Spec{
		Name:   "xgboost",
		Params: slices.Concat(boostParams(), treeParams(), otherParams()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: contentTypes},
			{Name: "validation", Pipe: true, ContentTypes: contentTypes},
			{Name: "model", ContentTypes: []string{"application/x-sagemaker-model"}},
		},
		Metrics:     metrics(),
		Distributed: true,
	}
}

// metrics are the objectives that the service registers for the image. In the
// log a tab is shown as #011.
func metrics() []algo.Metric {
	var all []algo.Metric
	add := func(names []string, maximize bool) {
		for _, name := range names {
			for _, channel := range []string{"validation", "train"} {
				all = append(all, algo.Metric{
					Name:     channel + ":" + name,
					Regex:    `.*\[[0-9]+\].*#011` + channel + "-" + name + `:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*`,
					Maximize: maximize,
				})
			}
		}
	}
	add(maximized, true)
	add(minimized, false)
	return all
}

func boostParams() []algo.Param {
	return []algo.Param{
		algo.IntParam("num_round", "", new(1.0), nil, "number of boosting rounds").Needed().Tuned(1, 4000),
		algo.IntParam("num_class", "", new(2.0), nil, "number of classes, for multi:*"),
		algo.EnumParam("objective", "reg:squarederror", "loss to learn by",
			"aft_loss_distribution", "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax",
			"multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic",
			"reg:gamma", "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft",
			"survival:cox"),
		algo.EnumParam("booster", "gbtree", "kind of model", "gbtree", "gblinear", "dart"),
		algo.FloatParam("base_score", "", new(0.0), nil, "intercept; estimated from the labels when absent"),
		algo.ListParam("eval_metric", "", "metrics to show each round"),
		algo.IntParam("early_stopping_rounds", "", new(1.0), nil, "rounds without gain on validation after which to stop"),
		algo.FloatParam("scale_pos_weight", "1", new(0.0), nil, "weight of positive rows").Above(),
		algo.FloatParam("tweedie_variance_power", "1.5", new(1.0), new(2.0), "variance power of reg:tweedie").Above().Below(),
		algo.EnumParam("aft_loss_distribution", "normal", "noise of survival:aft", "normal", "logistic", "extreme"),
		algo.FloatParam("aft_loss_distribution_scale", "1", new(0.0), nil, "scale of the noise of survival:aft"),
		algo.IntParam("seed", "0", new(-math.Exp2(31)), new(math.Exp2(31)-1), "seed of all random draws").Above().Below(),
		algo.IntParam("num_parallel_tree", "1", new(1.0), nil, "trees per round and class"),
		algo.IntParam("csv_weights", "0", new(0.0), new(1.0), "1: the second CSV column is the weight of the row"),
		algo.EnumParam("save_model_on_termination", "false", "keep the model when training is stopped", "true", "false"),
	}
}

func treeParams() []algo.Param {
	share := func(name, doc string, least float64) algo.Param {
		return algo.FloatParam(name, "1", new(0.0), new(1.0), doc).Above().Tuned(least, 1)
	}
	return []algo.Param{
		algo.FloatParam("eta", "0.3", new(0.0), new(1.0), "learning rate").Known("learning_rate").Tuned(0.1, 0.5),
		algo.FloatParam("gamma", "0", new(0.0), nil, "least gain of a split").Known("min_split_loss").Tuned(0, 5),
		algo.IntParam("max_depth", "6", new(0.0), nil, "depth limit, 0 for none").Tuned(0, 10),
		algo.FloatParam("min_child_weight", "1", new(0.0), nil, "least hessian sum of a child").Tuned(0, 120),
		algo.FloatParam("max_delta_step", "", new(0.0), nil, "bound of leaf weights, 0 for none; 0.7 for count:poisson").Tuned(0, 10),
		share("subsample", "share of rows per tree", 0.5),
		share("colsample_bytree", "share of features per tree", 0.5),
		share("colsample_bylevel", "share of features per level", 0.1),
		share("colsample_bynode", "share of features per node", 0.1),
		algo.FloatParam("lambda", "1", new(0.0), nil, "L2 penalty").Known("reg_lambda").Tuned(0, 1000),
		algo.FloatParam("alpha", "0", new(0.0), nil, "L1 penalty").Known("reg_alpha").Tuned(0, 1000),
		algo.EnumParam("tree_method", "auto", "how trees are grown", "auto", "exact", "approx", "hist", "gpu_hist"),
		algo.EnumParam("grow_policy", "depthwise", "order of splits", "depthwise", "lossguide"),
		algo.IntParam("max_leaves", "0", new(0.0), nil, "leaf limit, 0 for none"),
		algo.IntParam("max_bin", "256", new(0.0), nil, "bins per feature"),
		algo.EnumParam("sampling_method", "uniform", "how subsample draws", "uniform", "gradient_based"),
		algo.ListParam("updater", "", "tree updaters"),
		algo.IntParam("refresh_leaf", "1", new(0.0), new(1.0), "for the refresh updater"),
		algo.EnumParam("process_type", "default", "grow or update trees", "default", "update"),
		algo.TextParam("monotone_constraints", "", "direction per feature, as (1,-1,0)"),
		algo.TextParam("interaction_constraints", "", "features that may meet in a tree, as [[1,2],[3,4]]"),
		algo.ListParam("_categorical_features", "", "features that hold categories, counted from 0"),
		algo.IntParam("max_cat_to_onehot", "4", new(1.0), nil, "fewer categories than that are split off one by one"),
		algo.IntParam("max_cat_threshold", "64", new(1.0), nil, "most categories that a split of many weighs to either side"),
	}
}

func otherParams() []algo.Param {
	return []algo.Param{
		algo.FloatParam("lambda_bias", "0", new(0.0), new(1.0), "L2 penalty of the bias of gblinear"),
		algo.EnumParam("sample_type", "uniform", "how dart draws dropped trees", "uniform", "weighted"),
		algo.EnumParam("normalize_type", "tree", "how dart weighs trees", "tree", "forest"),
		algo.FloatParam("rate_drop", "0", new(0.0), new(1.0), "share of trees that dart drops"),
		algo.IntParam("one_drop", "0", new(0.0), new(1.0), "dart drops at least one tree"),
		algo.FloatParam("skip_drop", "0", new(0.0), new(1.0), "chance that dart drops none"),
		algo.FloatParam("sketch_eps", "0.03", new(0.0), new(1.0), "share of a bin of approx, when max_bin is not given").Above().Below(),
		algo.EnumParam("dsplit", "", "no effect", "row", "col"),
		algo.EnumParam("predictor", "auto", "no effect", "auto", "cpu_predictor", "gpu_predictor"),
		algo.EnumParam("deterministic_histogram", "true", "no effect: histograms are always deterministic", "true", "false"),
		algo.EnumParam("single_precision_histogram", "false", "no effect", "true", "false"),
		algo.IntParam("prob_buffer_row", "", new(1.0), nil, "no effect").Above(),
		algo.EnumParam("use_dask_gpu_training", "false", "true: hosts that have all rows divide them; on the CPU", "true", "false"),
		algo.IntParam("nthread", "", new(1.0), nil, "most threads to use"),
		algo.IntParam("silent", "", new(0.0), new(1.0), "no effect; AWS takes it up to version 1.3"),
		algo.IntParam("verbosity", "1", new(0.0), new(3.0), "no effect"),
		algo.IntParam("_kfold", "", new(2.0), nil, "folds of cross validation"),
		algo.IntParam("_num_cv_round", "1", new(1.0), nil, "repeats of cross validation"),
		algo.TextParam("_tuning_objective_metric", "", "metric that a tuning job watches"),
	}
}
