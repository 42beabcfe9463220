// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// referenceCase is one training run of XGBoost by testdata/make_reference.py.
type referenceCase struct {
	Name, Label          string
	Weighted             bool
	Rounds               int
	Groups               []int
	Params               map[string]string
	Metrics              map[string]float64
	Order                []string
	Base                 string
	Margins, Predictions []float64
	Best                 []float64
	Importance           map[string]map[string]float64
}

type referenceData struct {
	Cols   int
	Values []*float32 // null for missing
	Weight []float32
	Labels map[string][]float32
}

func readReference(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// matrix is the rows of data.json with one of its labels.
func (d *referenceData) matrix(label string, weighted bool) *algo.Matrix {
	m := &algo.Matrix{Cols: d.Cols, Rows: len(d.Values) / d.Cols, Label: d.Labels[label]}
	for _, v := range d.Values {
		if v == nil {
			v = new(float32(math.NaN()))
		}
		m.Values = append(m.Values, *v)
	}
	if weighted {
		m.Weight = d.Weight
	}
	return m
}

// sparse gives m in compressed rows, without its missing values.
func sparse(m *algo.Matrix) *algo.Matrix {
	out := &algo.Matrix{Rows: m.Rows, Cols: m.Cols, Label: m.Label, Weight: m.Weight, Groups: m.Groups, Start: []int64{0}}
	for r := range m.Rows {
		for f, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
			if v == v {
				out.Values, out.Index = append(out.Values, v), append(out.Index, int32(f))
			}
		}
		out.Start = append(out.Start, int64(len(out.Values)))
	}
	return out
}

// wide moves the columns of m apart so far that it stays sparse for training.
func wide(m *algo.Matrix) *algo.Matrix {
	m.Cols *= 8
	for i := range m.Index {
		m.Index[i] *= 8
	}
	return m
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) < len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tolerance*(1+math.Abs(w))) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], w)
		}
	}
}

func parse(t testing.TB, raw map[string]string) *config {
	t.Helper()
	p, err := algo.ParseParams(New().Spec(), raw)
	if err != nil {
		t.Fatal(err)
	}
	c, err := configFrom(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The data has fewer different values than bins, so training has the same
// choices as XGBoost's and must make them. What is left is rounding: XGBoost
// adds float32 leaves and weighs splits in float32. The metrics are those of
// the last round, to all digits but the last two that float32 has.
func TestTrainingAgreesWithXGBoost(t *testing.T) {
	var cases []referenceCase
	var d referenceData
	readReference(t, "reference.json", &cases)
	readReference(t, "data.json", &d)
	for _, c := range cases {
		layouts := map[string]*algo.Matrix{
			"dense":  d.matrix(c.Label, c.Weighted),
			"sparse": sparse(d.matrix(c.Label, c.Weighted)),
			"wide":   wide(sparse(d.matrix(c.Label, c.Weighted))),
		}
		for layout, m := range layouts {
			if c.Groups != nil {
				m.Groups = []int{0}
				for i, n := range c.Groups {
					m.Groups = append(m.Groups, m.Groups[i]+n)
				}
			}
			t.Run(c.Name+" "+layout, func(t *testing.T) {
				raw := map[string]string{"num_round": strconv.Itoa(c.Rounds), "max_depth": "3"}
				for k, v := range c.Params {
					raw[k] = v
				}
				config := parse(t, raw)
				config.metrics = c.Order
				var last string
				model, err := boost(t.Context(), config, nil, m, nil, 2, func(_ string, args ...any) { last = args[0].(string) })
				if err != nil {
					t.Fatal(err)
				}
				p, err := model.PredictMargin(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "margins", p.Values, c.Margins, 1e-4)
				if p, err = model.Predict(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				near(t, "predictions", p.Values, c.Predictions, 1e-4)
				for i, part := range strings.Split(last, "\t")[1:] {
					at := strings.LastIndexByte(part, ':')
					if name := "train-" + c.Order[i]; part[:at] != name {
						t.Errorf("metric %d is %q, want %q", i, part[:at], name)
					}
					v, err := strconv.ParseFloat(part[at+1:], 64)
					if want := c.Metrics[c.Order[i]]; err != nil || math.Abs(v-want) > 2e-5*(1+math.Abs(want)) {
						t.Errorf("%s, want %.5f", part, want)
					}
				}
				near(t, "intercept", model.base, numbersOf(t, c.Base), 1e-6)
			})
		}
	}
}

func numbersOf(t *testing.T, list string) []float64 {
	t.Helper()
	var out []float64
	for part := range strings.SplitSeq(strings.Trim(list, "[]"), ",") {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// XGBoost's own models must predict as XGBoost does, whichever way rows come.
func TestModelsOfXGBoostPredictTheSame(t *testing.T) {
	var cases []referenceCase
	var d referenceData
	readReference(t, "reference.json", &cases)
	readReference(t, "data.json", &d)
	type file struct {
		File        string
		Predictions []float64
	}
	var files []file
	for _, c := range cases {
		name := c.Name + ".ubj"
		if c.Name == "squared" {
			name = c.Name + ".json"
		}
		if _, err := os.Stat(filepath.Join("testdata", name)); err == nil {
			want := c.Predictions
			if c.Best != nil {
				want = c.Best // the file names a best iteration
			}
			files = append(files, file{name, want})
		}
	}
	lists, err := filepath.Glob("testdata/v*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		if !strings.Contains(list, "-") {
			var more []file
			readReference(t, filepath.Base(list), &more)
			files = append(files, more...)
		}
	}
	if len(files) < 4 {
		t.Fatalf("only %d model files", len(files))
	}
	for _, f := range files {
		t.Run(f.File, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", f.File))
			if err != nil {
				t.Fatal(err)
			}
			model, err := ReadModel(b)
			if err != nil {
				t.Fatal(err)
			}
			dense := d.matrix("real", false)
			for _, m := range []*algo.Matrix{dense, sparse(dense)} {
				p, err := model.Predict(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "predictions", p.Values, f.Predictions, 1e-5)
			}
		})
	}
}

// Half a percent is what XGBoost itself varies by between seeds and bins here.
func TestBreastCancerIsLearnedAsWell(t *testing.T) {
	b, err := os.ReadFile("testdata/cancer.csv")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ AUC, Logloss float64 }
	readReference(t, "cancer.json", &want)
	dir := t.TempDir()
	var parts [2]strings.Builder
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		part := &parts[0]
		if i%3 == 0 {
			part = &parts[1]
		}
		part.WriteString(line + "\n")
	}
	var sets [2]*algo.Matrix
	for i, name := range []string{"train", "validation"} {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "a.csv"), []byte(parts[i].String()), 0o644); err != nil {
			t.Fatal(err)
		}
		if sets[i], err = data.Load(&algo.Channel{Name: name, Dir: folder, ContentType: "text/csv"}, data.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	model, err := boost(t.Context(), plainConfig("binary:logistic", 50), nil, sets[0], sets[1], 2, silent)
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Predict(t.Context(), sets[1])
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{m: sets[1], preds: p.Values, width: 1, threads: 1}
	t.Logf("AUC %.5f, XGBoost %.5f; logloss %.5f, XGBoost %.5f", auc(s), want.AUC, meanLogLoss(s), want.Logloss)
	if math.Abs(auc(s)-want.AUC) > 0.005 {
		t.Errorf("AUC %.5f, XGBoost's is %.5f", auc(s), want.AUC)
	}
	if meanLogLoss(s) > want.Logloss+0.02 {
		t.Errorf("logloss %.5f, XGBoost's is %.5f", meanLogLoss(s), want.Logloss)
	}
}
