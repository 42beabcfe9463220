// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"math"
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
