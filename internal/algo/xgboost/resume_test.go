// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// job is /opt/ml of a training job.
type job struct {
	t    *testing.T
	root string
	log  string
}

// newJob makes one with CSV channels, whose checkpoints are kept.
func newJob(t *testing.T, params map[string]string, channels map[string]string) *job {
	t.Helper()
	j := &job{t: t, root: t.TempDir()}
	j.write("input/config/hyperparameters.json", params)
	j.write("input/config/checkpointconfig.json", map[string]string{"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints"})
	config := map[string]any{}
	for name, text := range channels {
		config[name] = map[string]string{"TrainingInputMode": "File", "ContentType": "text/csv"}
		j.write("input/data/"+name+"/data.csv", text)
	}
	j.write("input/config/inputdataconfig.json", config)
	return j
}

// write writes a file: text and bytes as they are, other values as JSON.
func (j *job) write(name string, v any) {
	j.t.Helper()
	var b []byte
	switch v := v.(type) {
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		var err error
		if b, err = json.Marshal(v); err != nil {
			j.t.Fatal(err)
		}
	}
	path := filepath.Join(j.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		j.t.Fatal(err)
	}
}

func (j *job) read(name string) []byte {
	j.t.Helper()
	b, err := os.ReadFile(filepath.Join(j.root, name))
	if err != nil {
		j.t.Fatal(err)
	}
	return b
}

func (j *job) list(name string) []string {
	j.t.Helper()
	entries, err := os.ReadDir(filepath.Join(j.root, name))
	if err != nil {
		j.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// run trains, and fails the test where the exit code is another.
func (j *job) run(code int) {
	j.t.Helper()
	var out bytes.Buffer
	if got := algo.RunTrain(j.t.Context(), New(), j.root, &out); got != code {
		j.t.Fatalf("exit code %d, want %d:\n%s", got, code, out.String())
	}
	j.log = out.String()
}

// An interrupted job goes on where it was, and ends as if nothing had been.
func TestResumedTrainingIsTheSame(t *testing.T) {
	m := mixed(300, 5, "binary:logistic")
	for _, c := range []struct {
		name   string
		params map[string]string
		same   bool // byte for byte; else nearly
	}{
		{"trees", map[string]string{"subsample": "0.7", "colsample_bynode": "0.6"}, true},
		{"parallel trees", map[string]string{"num_parallel_tree": "2"}, true},
		{"absolute error", map[string]string{"objective": "reg:absoluteerror"}, true},
		{"dart", map[string]string{"booster": "dart", "rate_drop": "0.5"}, false},
		{"gblinear", map[string]string{"booster": "gblinear"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := map[string]string{"objective": "binary:logistic", "num_round": "9", "max_depth": "3"}
			for k, v := range c.params {
				params[k] = v
			}
			channels := map[string]string{"train": csvText(m), "validation": csvText(m)}
			whole := newJob(t, params, channels)
			whole.run(0)
			if want := []string{"4", "5", "6", "7", "8"}; !slices.Equal(whole.list("checkpoints"), prefixed(want)) {
				t.Errorf("checkpoints %v", whole.list("checkpoints"))
			}
			params["num_round"] = "4"
			cut := newJob(t, params, channels)
			cut.run(0)
			first := cut.log
			params["num_round"] = "9"
			cut.write("input/config/hyperparameters.json", params)
			cut.write("checkpoints/xgboost-checkpoint.12", "broken") // passed over
			cut.run(0)
			for _, want := range []string{"Checkpoint loaded from " + filepath.Join(cut.root, "checkpoints/xgboost-checkpoint.3"), "Resuming from iteration 4", "\n[4]\ttrain-"} {
				if !strings.Contains(cut.log, want) {
					t.Errorf("the log lacks %q:\n%s", want, cut.log)
				}
			}
			if strings.Contains(cut.log, "\n[3]\t") {
				t.Error("a round was done again")
			}
			if got := metricLines(first) + metricLines(cut.log); c.same && got != metricLines(whole.log) {
				t.Errorf("lines:\n%s\nwant\n%s", got, metricLines(whole.log))
			}
			got, want := cut.read("model/xgboost-model"), whole.read("model/xgboost-model")
			if c.same {
				if !bytes.Equal(got, want) {
					t.Error("the model differs from that of an uninterrupted job")
				}
				return
			}
			a, err := ReadModel(got)
			if err != nil {
				t.Fatal(err)
			}
			b, err := ReadModel(want)
			if err != nil {
				t.Fatal(err)
			}
			pa, _ := a.Predict(t.Context(), m)
			pb, _ := b.Predict(t.Context(), m)
			for i, v := range pa.Values {
				if math.Abs(float64(v-pb.Values[i])) > 1e-4 {
					t.Fatalf("row %d: %v, want %v", i, v, pb.Values[i])
				}
			}
		})
	}
}

func prefixed(rounds []string) []string {
	out := slices.Clone(rounds)
	for i, r := range out {
		out[i] = checkpointName + "." + r
	}
	return out
}

// metricLines is the lines of a log that show metrics.
func metricLines(log string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(log, "\n") {
		if strings.HasPrefix(line, "[") && strings.Contains(line, "\t") {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// A job whose rounds are all done, but whose model was not saved, saves it.
func TestNothingLeftToResume(t *testing.T) {
	m := mixed(100, 4, "binary:logistic")
	j := newJob(t, map[string]string{"objective": "binary:logistic", "num_round": "3"}, map[string]string{"train": csvText(m)})
	j.run(0)
	want := j.read("model/xgboost-model")
	if err := os.RemoveAll(filepath.Join(j.root, "model")); err != nil {
		t.Fatal(err)
	}
	j.run(0)
	if !bytes.Equal(j.read("model/xgboost-model"), want) {
		t.Error("the model differs")
	}
}

func TestTrainingGoesOnWithAModel(t *testing.T) {
	m := mixed(200, 4, "binary:logistic")
	params := map[string]string{"objective": "binary:logistic", "num_round": "3"}
	first := newJob(t, params, map[string]string{"train": csvText(m)})
	first.run(0)
	model := first.read("model/xgboost-model")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for name, b := range map[string][]byte{"xgboost-model": model, "code/inference.py": []byte("x = 1")} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	whole := newJob(t, map[string]string{"objective": "binary:logistic", "num_round": "5"}, map[string]string{"train": csvText(m)})
	whole.run(0)
	for file, b := range map[string][]byte{"model.tar.gz": packed.Bytes(), "xgboost-model": model} {
		t.Run(file, func(t *testing.T) {
			params := map[string]string{"objective": "binary:logistic", "num_round": "2"}
			j := newJob(t, params, map[string]string{"train": csvText(m)})
			j.write("input/config/inputdataconfig.json", map[string]any{
				"train": map[string]string{"ContentType": "text/csv"}, "model": map[string]string{"ContentType": "application/x-sagemaker-model"},
			})
			j.write("input/data/model/"+file, b)
			j.run(0)
			if !bytes.Equal(j.read("model/xgboost-model"), whole.read("model/xgboost-model")) {
				t.Error("3 and 2 rounds are not 5")
			}
			// Interrupted after its first round, it still ends with five.
			params["num_round"] = "1"
			j = newJob(t, params, map[string]string{"train": csvText(m)})
			j.write("input/config/inputdataconfig.json", map[string]any{
				"train": map[string]string{"ContentType": "text/csv"}, "model": map[string]string{"ContentType": "application/x-sagemaker-model"},
			})
			j.write("input/data/model/"+file, b)
			j.run(0)
			params["num_round"] = "2"
			j.write("input/config/hyperparameters.json", params)
			j.run(0)
			if !bytes.Equal(j.read("model/xgboost-model"), whole.read("model/xgboost-model")) {
				t.Error("3, 1 and 1 rounds are not 5")
			}
		})
	}
}

func TestModelsThatTrainingCannotGoOnWith(t *testing.T) {
	m := mixed(100, 4, "multi:softprob")
	c := plainConfig("multi:softprob", 2)
	c.classes = 3
	three, err := boost(t.Context(), c, nil, m, nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	classes, _ := written(t, three)
	narrow, err := boost(t.Context(), plainConfig("binary:logistic", 1), nil, mixed(50, 3, "binary:logistic"), nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	few, _ := written(t, narrow)
	train := csvText(mixed(100, 4, "binary:logistic"))
	for _, c := range []struct {
		name   string
		params map[string]string
		files  map[string][]byte
		want   string
	}{
		{"nothing", nil, nil, "model channel: holds no model"},
		{"no model", nil, map[string][]byte{"a": []byte("text")}, "model channel: file a: model file"},
		{"two models", nil, map[string][]byte{"a": few, "b": few}, "holds 2 models"},
		{"no archive", nil, map[string][]byte{"model.tar.gz": []byte("text")}, "file model.tar.gz: is no packed artifact"},
		{"another number of classes", nil, map[string][]byte{"a": classes}, "has 3 outputs"},
		{"fewer features", nil, map[string][]byte{"a": few}, "Feature shape mismatch, expected: 3, got 4"},
		{"another booster", map[string]string{"booster": "dart"}, map[string][]byte{"a": few}, "booster gbtree, and dart"},
		{"other parallel trees", map[string]string{"num_parallel_tree": "2"}, map[string][]byte{"a": few}, "num_parallel_tree"},
		{"cross validation", map[string]string{"_kfold": "2"}, map[string][]byte{"a": few}, "_kfold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := map[string]string{"objective": "binary:logistic", "num_round": "2"}
			for k, v := range c.params {
				params[k] = v
			}
			j := newJob(t, params, map[string]string{"train": train})
			j.write("input/config/inputdataconfig.json", map[string]any{
				"train": map[string]string{"ContentType": "text/csv"}, "model": map[string]string{"ContentType": "application/x-sagemaker-model"},
			})
			for name, b := range c.files {
				j.write("input/data/model/"+name, b)
			}
			j.run(1)
			if got := string(j.read("output/failure")); !strings.HasPrefix(got, "ClientError: ") || !strings.Contains(got, c.want) {
				t.Errorf("failure is %q, want one with %q", got, c.want)
			}
		})
	}
}

func TestCrossValidation(t *testing.T) {
	for _, c := range []struct {
		objective string
		params    map[string]string
		columns   int
	}{
		{"binary:logistic", nil, 3},
		{"multi:softmax", map[string]string{"num_class": "3"}, 3},
		{"multi:softprob", map[string]string{"num_class": "3"}, 3},
		{"reg:squarederror", nil, 2},
	} {
		t.Run(c.objective, func(t *testing.T) {
			labels := c.objective
			if labels == "multi:softmax" {
				labels = "multi:softprob"
			}
			m := mixed(90, 4, labels)
			params := map[string]string{"objective": c.objective, "num_round": "3", "_kfold": "3", "_num_cv_round": "2", "seed": "7"}
			for k, v := range c.params {
				params[k] = v
			}
			channels := map[string]string{"train": csvText(m), "validation": csvText(mixed(30, 4, labels))}
			j := newJob(t, params, channels)
			j.run(0)
			want := []string{"xgboost-model-0", "xgboost-model-1", "xgboost-model-2", "xgboost-model-3", "xgboost-model-4", "xgboost-model-5"}
			if got := j.list("model"); !slices.Equal(got, want) {
				t.Errorf("models %v", got)
			}
			for _, want := range []string{
				"Read both train and validation data into one DMatrix", "Run 2-round of 3-fold cross validation with 120 rows",
				"Train cross validation fold 3", "The metrics of round 2 cross validation", "The overall metrics of 2-round cross validation", "\n[3]\ttrain-",
			} {
				if !strings.Contains(j.log, want) {
					t.Errorf("the log lacks %q:\n%s", want, j.log)
				}
			}
			lines := strings.Split(strings.TrimSpace(string(j.read("output/data/predictions.csv"))), "\n")
			if len(lines) != 120 {
				t.Fatalf("%d lines", len(lines))
			}
			hits := 0
			for i, line := range lines {
				fields := strings.Split(line, ",")
				if len(fields) != c.columns {
					t.Fatalf("line %q", line)
				}
				if i < 90 && fields[0] != fmt.Sprintf("%f", m.Label[i]) {
					t.Fatalf("line %d tells of the label %s, want %f", i+1, fields[0], m.Label[i])
				}
				if c.columns == 3 && fields[2] == fields[0] {
					hits++
				}
				if _, err := strconv.ParseFloat(fields[1], 64); err != nil {
					t.Fatal(err)
				}
			}
			if c.columns == 3 && hits < 70 {
				t.Errorf("%d of 120 labels are right", hits)
			}
			again := newJob(t, params, channels)
			again.run(0)
			if !bytes.Equal(again.read("model/xgboost-model-5"), j.read("model/xgboost-model-5")) {
				t.Error("the same seed gives another model")
			}
			if _, err := New().Load(os.DirFS(filepath.Join(j.root, "model"))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFolds(t *testing.T) {
	m := &algo.Matrix{Rows: 103}
	for r := range m.Rows {
		m.Label = append(m.Label, float32(r%2*r%3))
	}
	for _, classes := range []bool{false, true} {
		folds, err := foldsOf(m, 5, classes, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for _, fold := range folds {
			if len(fold) < 20 || len(fold) > 21 || !slices.IsSorted(fold) {
				t.Errorf("a fold of %d rows", len(fold))
			}
			counts := map[float32]int{}
			for _, r := range fold {
				if seen[r] {
					t.Errorf("row %d occurs twice", r)
				}
				seen[r] = true
				counts[m.Label[r]]++
			}
			if rest := outside(fold, m.Rows); len(rest)+len(fold) != m.Rows {
				t.Errorf("%d rows outside of %d", len(rest), len(fold))
			}
			if classes {
				all := map[float32]int{}
				for _, y := range m.Label {
					all[y]++
				}
				for y, n := range all {
					if d := counts[y] - n/5; d < 0 || d > 1 {
						t.Errorf("label %v occurs %d times of %d", y, counts[y], n)
					}
				}
			}
		}
		if len(seen) != m.Rows {
			t.Errorf("%d rows", len(seen))
		}
	}
	few := &algo.Matrix{Rows: 4, Label: []float32{0, 0, 1, 1}}
	if _, err := foldsOf(few, 5, false, 0, 0); !algo.IsClientError(err) {
		t.Error(err)
	}
	if _, err := foldsOf(few, 3, true, 0, 0); !algo.IsClientError(err) {
		t.Error(err)
	}
}
