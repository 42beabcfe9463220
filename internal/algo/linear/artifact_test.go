// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/mxnet"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// saved is a model folder with the files that every container's artifact has.
func saved(t *testing.T, symbol string, arrays ...ndarray.Array) (algo.Model, error) {
	t.Helper()
	dir := t.TempDir()
	if err := mxnet.Save(dir, mxnet.File{Name: "manifest.json", Content: []byte(`{"any": "thing"}`)}, mxnet.File{Name: symbolFile, Content: []byte(symbol)},
		mxnet.File{Name: paramsFile, Content: ndarray.Append(nil, arrays...)}); err != nil {
		t.Fatal(err)
	}
	return New().Load(os.DirFS(dir))
}

func TestAnArtifactWithoutOurFileIsKnownByItsNetwork(t *testing.T) {
	weight := ndarray.Array{Name: "arg:fc0_weight", Shape: []int{1, 2}, Values: []float32{1, -1}}
	bias := ndarray.Array{Name: "arg:fc0_bias", Shape: []int{1}, Values: []float32{0.5}}
	rows := &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{2, 1}}
	for name, c := range map[string]struct {
		symbol string
		arrays []ndarray.Array
		want   []float64
	}{
		"binary":  {`{"nodes": [{"op": "LogisticRegressionOutput"}]}`, []ndarray.Array{weight, bias}, []float64{sigmoid(1.5), 1}},
		"number":  {`{"nodes": [{"op": "FullyConnected"}]}`, []ndarray.Array{weight, bias}, []float64{1.5}},
		"no bias": {`{}`, []ndarray.Array{weight}, []float64{1}},
		"classes": {`{}`, []ndarray.Array{{Name: "arg:fc0_weight", Shape: []int{3, 2}, Values: []float32{0, 0, 1, 0, 0, 0}}},
			[]float64{1 / (2 + math.Exp(2)), math.Exp(2) / (2 + math.Exp(2)), 1 / (2 + math.Exp(2)), 1}},
	} {
		m, err := saved(t, c.symbol, c.arrays...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := m.Predict(t.Context(), rows)
		if err != nil || len(p.Values) != len(c.want) {
			t.Errorf("%s: %v %v, want %v", name, p, err, c.want)
			continue
		}
		for i, want := range c.want {
			if math.Abs(float64(p.Values[i])-want) > 1e-6 {
				t.Errorf("%s: %v, want %v", name, p.Values, c.want)
			}
		}
	}
	for want, arrays := range map[string][]ndarray.Array{
		"no array fc0_weight":         {bias},
		"has the shape [2]":           {{Name: "arg:fc0_weight", Shape: []int{2}, Values: []float32{1, 2}}},
		"has 2 values for 1 outputs":  {weight, {Name: "arg:fc0_bias", Shape: []int{2}, Values: []float32{1, 2}}},
		"not outputs by features":     {{Name: "arg:fc0_weight", Shape: []int{1, 0}}},
		"holds no array fc0_weight":   {},
		"model_algo-1: holds no arra": {bias},
	} {
		if _, err := saved(t, "{}", arrays...); err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want a client error with %q", err, want)
		}
	}
}

func TestRowsOfAnotherWidthAreRefused(t *testing.T) {
	m := &Model{kind: regressor, features: 2, classes: 1, weights: []float32{1, 2}, bias: []float32{0}}
	m.prepare()
	for _, rows := range []*algo.Matrix{
		{Rows: 1, Cols: 3, Values: []float32{1, 2, 3}}, {Rows: 1, Cols: 1, Values: []float32{1}},
		{Rows: 1, Cols: 3, Values: []float32{1}, Index: []int32{2}, Start: []int64{0, 1}},
	} {
		if _, err := m.Predict(t.Context(), rows); !algo.IsClientError(err) {
			t.Errorf("%d columns: error %v", rows.Cols, err)
		}
	}
	if err := m.CheckRows("csv", &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, float32(math.NaN())}}); err == nil || !strings.Contains(err.Error(), "row 1, feature 2") {
		t.Errorf("a missing value: %v", err)
	}
}

func TestThresholds(t *testing.T) {
	var list []firstparty.Scored
	// Scores 1, 4, 7, 10, 13 with labels such that accuracy is best between 4 and 7.
	for i, label := range []float32{0, 0, 1, 1, 1} {
		list = append(list, firstparty.ScoredOf(float32(3*i+1), label))
	}
	for criterion, c := range map[string]struct{ recall, precision, want float64 }{
		"accuracy": {0, 0, 5.5}, "f1": {0, 0, 5.5}, "f_beta": {0, 0, 5.5},
		"precision_at_target_recall": {0.9, 0, 5.5}, "recall_at_target_precision": {0, 0.8, 5.5},
	} {
		w := &work{config: &config{criterion: criterion, beta: 1, targetRecall: c.recall, targetPrecision: c.precision}}
		if got := w.threshold(list); got != c.want {
			t.Errorf("%s: threshold %v, want %v", criterion, got, c.want)
		}
	}
	for _, label := range []float32{0, 1} {
		w := &work{config: &config{criterion: "accuracy"}}
		got := w.threshold([]firstparty.Scored{firstparty.ScoredOf(0.5, label), firstparty.ScoredOf(0.75, label)})
		if (got <= 0.5) != (label == 1) || (got > 0.75) != (label == 0) {
			t.Errorf("of rows that are all %v the threshold is %v", label, got)
		}
	}
}
