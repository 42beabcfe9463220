// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// configOf reads hyperparameters the way that Train does.
func configOf(raw map[string]string) (*config, error) {
	p, err := algo.ParseParams(New().Spec(), raw)
	if err != nil {
		return nil, err
	}
	return configFrom(p)
}

func TestHyperparametersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  map[string]string
		want string
	}{
		{"Dask without a method of GPUs", map[string]string{"use_dask_gpu_training": "true"}, "Dask training is only available for `gpu_hist` training"},
		{"Dask by exact", map[string]string{"use_dask_gpu_training": "true", "tree_method": "exact"}, "Dask training is only available for `gpu_hist` training"},
		{"an update by nothing", map[string]string{"process_type": "update"}, "needs updater 'refresh', 'prune' or both"},
		{"an update that grows", map[string]string{"process_type": "update", "updater": "grow_colmaker"}, "only be used with updater 'refresh' and 'prune'"},
		{"an update of dart", map[string]string{"process_type": "update", "updater": "prune", "booster": "dart"}, "not dart"},
		{"monotone constraints by no method", map[string]string{"monotone_constraints": "(1,0)"}, "only when the tree_method parameter is set to either 'exact' or 'hist'"},
		{"monotone constraints by approx", map[string]string{"monotone_constraints": "(1,0)", "tree_method": "approx"}, "'exact' or 'hist'"},
		{"a direction of 2", map[string]string{"monotone_constraints": "(1,2)", "tree_method": "hist"}, "not one of -1, 0, 1"},
		{"directions without brackets", map[string]string{"monotone_constraints": "1,0", "tree_method": "hist"}, "not a list in brackets"},
		{"interaction constraints by no method", map[string]string{"interaction_constraints": "[[1,2]]"}, "'exact', 'hist' or 'approx'"},
		{"feature 0 may meet", map[string]string{"interaction_constraints": "[[0,2]]", "tree_method": "hist"}, "0 in [[0,2]] is not in [1, +inf)"},
		{"features that meet by name", map[string]string{"interaction_constraints": "[[a]]", "tree_method": "hist"}, `"a" in [[a]] is not a whole number`},
		{"a list of features", map[string]string{"interaction_constraints": "[1,2]", "tree_method": "hist"}, "not a list of lists"},
		{"exact without a limit", map[string]string{"tree_method": "exact", "max_depth": "0"}, "doesn't support unlimited depth"},
		{"exact by gradients", map[string]string{"tree_method": "exact", "sampling_method": "gradient_based"}, "Only uniform sampling"},
		{"exact with categories", map[string]string{"tree_method": "exact", "_categorical_features": "1"}, "not supported by the tree method exact"},
		{"a category by name", map[string]string{"_categorical_features": "color"}, `"color" is not the number of a feature`},
		{"a linear grower", map[string]string{"booster": "gblinear", "updater": "prune"}, "'shotgun', 'coord_descent'"},
		{"a linear updater of trees", map[string]string{"updater": "shotgun"}, "for the booster gblinear"},
		{"two growers", map[string]string{"updater": "grow_colmaker,grow_histmaker"}, "Only one tree grow plugin"},
		{"no grower", map[string]string{"updater": "refresh"}, "grows no trees"},
		{"a grower of old", map[string]string{"updater": "grow_skmaker"}, "Unknown tree updater grow_skmaker"},
		{"an unknown updater", map[string]string{"updater": "mow"}, `"mow" is not a tree updater`},
		{"multi without num_class", map[string]string{"objective": "multi:softmax"}, "Require input for parameter 'num_class'"},
		{"num_class without multi", map[string]string{"num_class": "3"}, "Do not need to setup parameter 'num_class'"},
		{"eta above 1", map[string]string{"eta": "1.5"}, "eta"},
		{"subsample 0", map[string]string{"subsample": "0"}, "subsample"},
		{"one bin", map[string]string{"max_bin": "1"}, "max_bin"},
		{"no rounds", map[string]string{"num_round": "0"}, "num_round"},
		{"an unknown name", map[string]string{"depth": "3"}, "depth"},
		{"logistic from intercept 1", map[string]string{"objective": "binary:logistic", "base_score": "1"}, "base_score 1 is not possible"},
		{"poisson from intercept 0", map[string]string{"objective": "count:poisson", "base_score": "0"}, "base_score 0 is not possible"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := map[string]string{"num_round": "1"}
			for k, v := range c.raw {
				raw[k] = v
			}
			_, err := configOf(raw)
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want a client error with %q", err, c.want)
			}
		})
	}
}

func TestObjectivesAndMetricsAreRefused(t *testing.T) {
	for _, c := range []struct{ objective, metric, want string }{
		{"aft_loss_distribution", "", "Unknown objective function"},
		{"reg:squarederror", "ndcg", "label must be either 0 or positive integer"},
		{"binary:logistic", "ndcg@x", "whole number from 1"},
		{"binary:logistic", "map@0", "whole number from 1"},
		{"multi:softprob", "map", "cannot be applied"},
		{"reg:squarederror", "map", "map can only be used with binary labels"},
		{"rank:pairwise", "aucpr", "PR-AUC supports only binary relevance"},
		{"reg:squarederror", "aft-nloglik", "'survival:aft' objective"},
		{"reg:squarederror", "interval-regression-accuracy", "'survival:aft' objective"},
		{"binary:logistic", "auc@3", "customized threshold"},
		{"binary:logistic", "error@x", "expects float input"},
		{"binary:logistic", "beauty", "Metric 'beauty' is not supported"},
		{"binary:logistic", "merror", "multi-class"},
		{"reg:squarederror", "auc", "Metric 'auc' can only be applied for classification and ranking problems."},
		{"reg:squarederror", "f1", "cannot be applied"},
	} {
		config := plainConfig(c.objective, 1)
		config.classes = 3
		if c.metric != "" {
			config.metrics = []string{c.metric}
		}
		m := mixed(20, 3, c.objective)
		_, err := boost(t.Context(), config, nil, m, nil, 1, silent)
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error is %v, want a client error with %q", c.objective, c.metric, err, c.want)
		}
	}
}

func TestDataIsRefused(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	for _, c := range []struct {
		name, objective       string
		label, weight, values []float32
		want                  string
	}{
		{"a label above 1", "binary:logistic", []float32{0, 2}, nil, nil, "label must be in [0,1]"},
		{"a class beyond the last", "multi:softprob", []float32{0, 3}, nil, nil, "[0, num_class)"},
		{"half a class", "multi:softprob", []float32{0, 0.5}, nil, nil, "discrete"},
		{"a negative count", "count:poisson", []float32{0, -1}, nil, nil, "non-negative"},
		{"no amount", "reg:gamma", []float32{1, 0}, nil, nil, "positive"},
		{"no label", "reg:squarederror", []float32{1, nan}, nil, nil, "Label contains NaN"},
		{"an infinite label", "reg:squarederror", []float32{1, inf}, nil, nil, "Label contains NaN"},
		{"a negative weight", "reg:squarederror", []float32{1, 2}, []float32{1, -1}, nil, "Weights must be positive"},
		{"an infinite value", "reg:squarederror", []float32{1, 2}, nil, []float32{1, inf}, "infinite value in feature 0"},
		{"a relevance that is none", "rank:ndcg", []float32{0, 0.5}, nil, nil, "relevance degree"},
		{"a relevance whose gain is too large", "rank:ndcg", []float32{0, 32}, nil, nil, "at most 31"},
		{"degrees for map", "rank:map", []float32{0, 2}, nil, nil, "binary labels"},
		{"weights of rows in groups", "rank:pairwise", []float32{0, 2}, []float32{1, 2}, nil, "number of query groups"},
		{"no time", "survival:aft", []float32{1, 0}, nil, nil, "greater than 0"},
		{"labels of another number", "reg:squarederror", []float32{1}, nil, nil, "labels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := plainConfig(c.objective, 1)
			if strings.HasPrefix(c.objective, "multi:") {
				config.classes = 3
			}
			if c.values == nil {
				c.values = []float32{1, 2}
			}
			m := &algo.Matrix{Rows: 2, Cols: 1, Values: c.values, Label: c.label, Weight: c.weight}
			_, err := boost(t.Context(), config, nil, m, nil, 1, silent)
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want a client error with %q", err, c.want)
			}
		})
	}
}

// Labels of one kind drive the intercept to infinity; the model must stay sane.
func TestLabelsOfOneKind(t *testing.T) {
	for objective, label := range map[string]float32{"binary:logistic": 0, "count:poisson": 0, "reg:squarederror": 3} {
		m := &algo.Matrix{Rows: 3, Cols: 1, Values: []float32{1, 2, 3}, Label: []float32{label, label, label}}
		model, err := boost(t.Context(), plainConfig(objective, 3), nil, m, nil, 1, silent)
		if err != nil {
			t.Fatal(err)
		}
		p, err := model.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Values, []float32{label, label, label}) {
			t.Errorf("%s: predictions are %v, want %v", objective, p.Values, label)
		}
	}
}

// The regexes see events, in which a tab is #011.
func TestMetricRegexesFindTheLine(t *testing.T) {
	var line string
	m := mixed(300, 4, "binary:logistic")
	c := plainConfig("binary:logistic", 1)
	c.metrics = []string{"accuracy", "error@0.7", "auc", "logloss", "f1"}
	if _, err := boost(t.Context(), c, nil, m, m, 1, func(_ string, args ...any) { line = args[0].(string) }); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\[0\]\ttrain-error@0\.7:[\d.]+\ttrain-auc:[\d.]+\ttrain-logloss:[\d.]+\ttrain-accuracy:[\d.]+\ttrain-f1:[\d.]+` +
		`\tvalidation-error@0\.7:[\d.]+\tvalidation-auc:[\d.]+\tvalidation-logloss:[\d.]+\tvalidation-accuracy:[\d.]+\tvalidation-f1:[\d.]+$`)
	if !want.MatchString(line) {
		t.Fatalf("line is %q", line)
	}
	event := strings.ReplaceAll(line, "\t", "#011")
	found := 0
	for _, metric := range New().Spec().Metrics {
		match := regexp.MustCompile(metric.Regex).FindStringSubmatch(event)
		if match == nil {
			continue
		}
		found++
		channel, name, _ := strings.Cut(metric.Name, ":")
		if !strings.Contains(line, "\t"+channel+"-"+name+":"+match[1]) {
			t.Errorf("%s found %q in %q", metric.Name, match[1], event)
		}
	}
	if found != 8 {
		t.Errorf("%d regexes match, want those of 4 metrics on 2 channels", found)
	}
}

func TestEarlyStoppingKeepsTheBestRound(t *testing.T) {
	train, valid := mixed(400, 6, "binary:logistic"), mixed(300, 6, "binary:logistic")
	for _, watch := range []string{"", "logloss"} {
		c := plainConfig("binary:logistic", 200)
		c.eta, c.patience, c.metrics, c.watch = 1, 4, []string{"logloss", "auc"}, watch
		var lines []string
		model, err := boost(t.Context(), c, nil, train, valid, 1, func(_ string, args ...any) { lines = append(lines, args[0].(string)) })
		if err != nil {
			t.Fatal(err)
		}
		best, ok := model.BestIteration()
		if !ok || len(lines) != best+1+4 || model.NumRounds() != best+1 {
			t.Fatalf("best round %d, %d lines, %d rounds kept", best, len(lines), model.NumRounds())
		}
		key, sign := "validation-auc:", 1
		if watch == "logloss" {
			key, sign = "validation-logloss:", -1
		}
		for i, line := range lines {
			if shown(line, key)*float64(sign) > shown(lines[best], key)*float64(sign) {
				t.Errorf("round %d is better than round %d: %s", i, best, line)
			}
		}
	}
}

// shown is the number behind key in a line.
func shown(line, key string) float64 {
	_, rest, _ := strings.Cut(line, key)
	rest, _, _ = strings.Cut(rest, "\t")
	v, err := strconv.ParseFloat(rest, 64)
	if err != nil {
		panic(err)
	}
	return v
}

func TestStopping(t *testing.T) {
	m := mixed(200, 4, "binary:logistic")
	for _, keep := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		c := plainConfig("binary:logistic", 100)
		c.keepOnStop = keep
		rounds := 0
		model, err := boost(ctx, c, nil, m, nil, 1, func(string, ...any) {
			if rounds++; rounds == 3 {
				cancel()
			}
		})
		cancel()
		switch {
		case keep && (err != nil || model.NumRounds() != 3):
			t.Errorf("kept: %v", err)
		case !keep && (err != context.Canceled || model != nil):
			t.Errorf("not kept: error is %v", err)
		}
	}
}
