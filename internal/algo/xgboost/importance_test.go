// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The importance of features is what Booster.get_score says of the same model.
func TestImportanceAgreesWithXGBoost(t *testing.T) {
	var cases []referenceCase
	readReference(t, "reference.json", &cases)
	compared := 0
	for _, c := range cases {
		if c.Importance == nil {
			continue
		}
		name := c.Name + ".ubj"
		if c.Name == "squared" {
			name = "squared.json"
		}
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadModel(b)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := m.saveImportance(dir); err != nil {
			t.Fatal(err)
		}
		if b, err = os.ReadFile(filepath.Join(dir, importanceFile)); err != nil {
			t.Fatal(err)
		}
		var got map[string]map[string]float64
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		for kind, want := range c.Importance {
			if len(got[kind]) != len(want) {
				t.Errorf("%s: %s of %d features, want %d", name, kind, len(got[kind]), len(want))
			}
			for feature, v := range want {
				if compared++; math.Abs(got[kind][feature]-v) > 1e-5*(1+math.Abs(v)) {
					t.Errorf("%s: %s of %s is %v, want %v", name, kind, feature, got[kind][feature], v)
				}
			}
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}
