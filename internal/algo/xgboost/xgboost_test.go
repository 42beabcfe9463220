// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// csvText is m as a training file.
func csvText(m *algo.Matrix) string {
	var b strings.Builder
	for r := range m.Rows {
		fmt.Fprint(&b, m.Label[r])
		for _, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
			b.WriteByte(',')
			if !math.IsNaN(float64(v)) {
				fmt.Fprint(&b, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func libsvmText(m *algo.Matrix) string {
	var b strings.Builder
	for r := range m.Rows {
		fmt.Fprint(&b, m.Label[r])
		for f, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
			if !math.IsNaN(float64(v)) {
				fmt.Fprintf(&b, " %d:%v", f, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestAlgorithm(t *testing.T) {
	binary, classes := mixed(300, 5, "binary:logistic"), mixed(300, 5, "multi:softprob")
	long := map[string]string{"num_round": "10000000"}
	algotest.Run(t, New(), []algotest.Case{
		{
			Name: "binary CSV with validation",
			Params: map[string]string{
				"num_round": "4", "objective": "binary:logistic", "eval_metric": "auc,logloss", "subsample": "0.7",
				"early_stopping_rounds": "2", "seed": "3",
			},
			Channels: map[string]algotest.Channel{
				"train": algotest.CSV(csvText(binary)), "validation": algotest.CSV(csvText(binary)),
			},
			Rows: binary,
		},
		{
			Name:     "classes in libsvm",
			Params:   map[string]string{"num_round": "3", "objective": "multi:softmax", "num_class": "3"},
			Channels: map[string]algotest.Channel{"train": algotest.LibSVM(libsvmText(classes))},
			Rows:     sparse(classes),
			Long:     long,
		},
	})
}
