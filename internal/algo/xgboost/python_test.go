// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// pythonVar names a Python that has xgboost, numpy and scipy.
const pythonVar = "SAGEBRUSH_XGBOOST_PYTHON"

// Python must load what we save, and predict the same. It looks at all folders
// at once, since it takes long to start.
func TestPythonReadsOurModels(t *testing.T) {
	python := os.Getenv(pythonVar)
	if python == "" {
		t.Skipf("%s does not name a Python with xgboost", pythonVar)
	}
	folders := []string{modelsOfObjectives(t), modelsOfBoosters(t, false), modelsOfBoosters(t, true)}
	out, err := exec.CommandContext(t.Context(), python, append([]string{"testdata/check_models.py"}, folders...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// modelsOfObjectives writes a folder for check_models.py: a model for each
// objective.
func modelsOfObjectives(t *testing.T) (dir string) {
	t.Helper()
	var d referenceData
	readReference(t, "data.json", &d)
	dir = t.TempDir()
	b, err := os.ReadFile("testdata/data.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	for objective, label := range map[string]string{
		"binary:logistic": "binary", "binary:logitraw": "binary", "binary:hinge": "binary", "reg:squarederror": "real",
		"multi:softprob": "class", "multi:softmax": "class", "count:poisson": "count", "reg:gamma": "amount",
		"reg:tweedie": "count", "reg:logistic": "share", "reg:pseudohubererror": "real", "reg:squaredlogerror": "amount",
		"reg:absoluteerror": "real", "rank:pairwise": "relevance", "rank:ndcg": "relevance", "rank:map": "binary",
		"survival:aft": "time", "survival:cox": "censored",
	} {
		raw := map[string]string{"objective": objective, "num_round": "5", "subsample": "0.8"}
		if label == "class" {
			raw["num_class"] = "3"
		}
		m := sparse(d.matrix(label, false))
		model, err := boost(t.Context(), parse(t, raw), nil, m, m, 2, silent)
		if err != nil {
			t.Fatal(err)
		}
		sub := filepath.Join(dir, label+"-"+filepath.Base(objective))
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := model.Save(sub); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(sub, "model.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := model.WriteJSON(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		p, err := model.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(p.Values)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, "predictions.json"), out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
