// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// growthCase is one training run of XGBoost by testdata/make_growth.py.
type growthCase struct {
	Name, Label          string
	Weighted, Categories bool
	Rounds               int
	Params               map[string]string
	Before               json.RawMessage // the model that is updated
	Margins              []float64
}

// growthModel is a model of XGBoost, and what it predicts for data.json.
type growthModel struct {
	Name    string
	Model   json.RawMessage
	Margins []float64
}

func readGrowth(t testing.TB) (cases []growthCase, models []growthModel) {
	t.Helper()
	var all struct {
		Cases  []growthCase
		Models []growthModel
	}
	readReference(t, "growth.json", &all)
	return all.Cases, all.Models
}

// categorical makes categories of the first two columns, as make_growth.py does.
func categorical(m *algo.Matrix) *algo.Matrix {
	for r := range m.Rows {
		for f, n := range []float64{9, 3} {
			v := &m.Values[r*m.Cols+f]
			*v = float32(math.Mod(math.Abs(float64(*v)), n))
		}
	}
	return m
}

// The data has fewer different values than bins; see TestTrainingAgreesWithXGBoost.
func TestGrowthAgreesWithXGBoost(t *testing.T) {
	cases, _ := readGrowth(t)
	var d referenceData
	readReference(t, "data.json", &d)
	for _, c := range cases {
		table := d.matrix(c.Label, c.Weighted)
		raw := map[string]string{"num_round": strconv.Itoa(c.Rounds), "max_depth": "3"}
		if c.Categories {
			table = categorical(table)
			raw["_categorical_features"] = "0,1"
		}
		for k, v := range c.Params {
			raw[k] = v
		}
		for layout, m := range map[string]*algo.Matrix{"dense": table, "sparse": sparse(table)} {
			t.Run(c.Name+" "+layout, func(t *testing.T) {
				config := parse(t, raw)
				var before *Model
				if c.Before != nil && string(c.Before) != "null" {
					var err error
					if before, err = ReadModel(c.Before); err != nil {
						t.Fatal(err)
					}
				}
				model, err := boostFrom(t.Context(), config, nil, before, m, nil, 2, silent)
				if err != nil {
					t.Fatal(err)
				}
				p, err := model.PredictMargin(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "margins", p.Values, c.Margins, 1e-4)
			})
		}
	}
}

func TestModelsOfAllBoostersPredictTheSame(t *testing.T) {
	_, models := readGrowth(t)
	var d referenceData
	readReference(t, "data.json", &d)
	for _, c := range models {
		t.Run(c.Name, func(t *testing.T) {
			model, err := ReadModel(c.Model)
			if err != nil {
				t.Fatal(err)
			}
			table := d.matrix("real", false)
			if len(model.types) > 0 {
				table = categorical(table)
			}
			ubj, text := written(t, model)
			for _, b := range [][]byte{c.Model, ubj, text} { // what we write says the same
				model, err := ReadModel(b)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range []*algo.Matrix{table, sparse(table)} {
					p, err := model.PredictMargin(t.Context(), m)
					if err != nil {
						t.Fatal(err)
					}
					near(t, "margins", p.Values, c.Margins, 1e-5)
				}
			}
		})
	}
}

func TestCategoriesAreSets(t *testing.T) {
	for _, list := range [][]int32{nil, {0}, {3, 1, 64}, {31, 32, 33}, {mostCategory}, {5, 70000, 70000, 2}, {1 << 23, 0}} {
		set := categoriesOf(slices.Clone(list))
		for _, v := range []int32{0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 69999, 70000, 1 << 23, mostCategory} {
			if got := set.has(float32(v)); got != slices.Contains(list, v) {
				t.Errorf("%v has %d: %v", list, v, got)
			}
		}
		for _, v := range []float32{-1, -0.5, mostCategory + 2, float32(math.NaN()), float32(math.Inf(1))} {
			if set.has(v) {
				t.Errorf("%v has %v", list, v)
			}
		}
		want := slices.Clone(list)
		slices.Sort(want)
		if got := set.list(); !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%v lists %v", list, got)
		}
	}
	if !categoriesOf([]int32{3}).has(3.7) {
		t.Error("3.7 is not of category 3")
	}
}

// Small models of every kind: what fuzzing begins with.
func FuzzReadBoosters(f *testing.F) {
	table := categorical(mixed(60, 3, "binary:logistic"))
	for _, set := range []func(*config){
		func(c *config) { c.categorical, c.oneHot, c.mostCats = []int{0, 1}, 4, 64 },
		func(c *config) { c.booster, c.dart.one = dartBooster, true },
		func(c *config) { c.booster = linearBooster },
	} {
		c := plainConfig("binary:logistic", 2)
		c.maxDepth = 1
		set(c)
		model, err := boost(f.Context(), c, nil, slice(table, 0, table.Rows), nil, 1, silent)
		if err != nil {
			f.Fatal(err)
		}
		ubj, text := written(f, model)
		f.Add(ubj)
		f.Add(text)
	}
	vectors := `{"learner":{"learner_model_param":{"base_score":"[0E0,1E0]","num_class":"0","num_feature":"1","num_target":"2"},` +
		`"objective":{"name":"reg:squarederror"},"gradient_booster":{"name":"gbtree","model":{"gbtree_model_param":{},"tree_info":[0],` +
		`"trees":[{"base_weights":[0,0,1,2,3,4],"leaf_weights":[1,2,3,4],"default_left":[0,0,0],"left_children":[1,-1,-1],"parents":[-1,0,0],` +
		`"right_children":[2,0,1],"split_conditions":[1.0,0.5,0.5],"split_indices":[0,0,0],"tree_param":{"size_leaf_vector":"2"}}]}}}}`
	if _, err := ReadModel([]byte(vectors)); err != nil {
		f.Fatal(err)
	}
	fuzzModel(f, []byte(vectors))
}
