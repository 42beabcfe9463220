// SPDX-License-Identifier: Apache-2.0

package xgboost

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// recommended are the ranges for tuning that AWS publishes. Source: "Tune an
// XGBoost Model" in the SageMaker developer guide.
var recommended = map[string][2]float64{
	"num_round": {1, 4000}, "eta": {0.1, 0.5}, "gamma": {0, 5}, "max_depth": {0, 10}, "min_child_weight": {0, 120}, "max_delta_step": {0, 10},
	"subsample": {0.5, 1}, "colsample_bytree": {0.5, 1}, "colsample_bylevel": {0.1, 1}, "colsample_bynode": {0.1, 1},
	"lambda": {0, 1000}, "alpha": {0, 1000},
}

// recommend adds them to the hyperparameters that have one.
func recommend(all []algo.Param) []algo.Param {
	for i := range all {
		if r, ok := recommended[all[i].Name]; ok {
			all[i].Tune = &algo.TuneRange{Min: r[0], Max: r[1]}
		}
	}
	return all
}
