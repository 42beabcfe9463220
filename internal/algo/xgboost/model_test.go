// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// trained is a small model of three classes.
func trained(t testing.TB) (*Model, *algo.Matrix) {
	t.Helper()
	m := mixed(200, 5, "multi:softprob")
	c := plainConfig("multi:softprob", 3)
	c.classes, c.parallelTrees = 3, 2
	model, err := boost(t.Context(), c, nil, m, nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	return model, m
}

func written(t testing.TB, m *Model) (ubj, text []byte) {
	t.Helper()
	var a, b bytes.Buffer
	if err := m.WriteUBJ(&a); err != nil {
		t.Fatal(err)
	}
	if err := m.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

func TestWrittenModelsReadBack(t *testing.T) {
	model, m := trained(t)
	want, err := model.Predict(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := model.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".hidden"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := New().Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	ubj, text := written(t, model)
	fromText, err := New().Load(fstest.MapFS{"my-model.json": {Data: text}})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]algo.Model{"ubj": again, "json": fromText} {
		p, err := got.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Values, want.Values) {
			t.Errorf("%s: predictions differ", name)
		}
		u, j := written(t, got.(*Model))
		if !bytes.Equal(u, ubj) || !bytes.Equal(j, text) {
			t.Errorf("%s: what was read is written differently", name)
		}
		if got := got.(*Model); got.Objective() != "multi:softprob" || got.NumClass() != 3 || got.NumFeatures() != 5 || got.NumRounds() != 3 {
			t.Errorf("%s: %s of %d classes, %d features, %d rounds", name, got.Objective(), got.NumClass(), got.NumFeatures(), got.NumRounds())
		}
	}
}

// A file of XGBoost's own must come out byte for byte as it went in, but for
// the intercept, which we write as a plain number where one is enough.
func TestModelsOfXGBoostAreWrittenAsXGBoostDoes(t *testing.T) {
	for _, name := range []string{"softprob.ubj", "logistic.ubj", "poisson.ubj"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadModel(b)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := written(t, m)
		if len(m.base) == 1 {
			plain := intercept(m.base)
			long := func(s string) string {
				return string(append([]byte("SL\x00\x00\x00\x00\x00\x00\x00"), byte(len(s)))) + s
			}
			b = bytes.Replace(b, []byte(long("["+plain+"]")), []byte(long(plain)), 1)
		}
		if !bytes.Equal(got, b) {
			i := 0
			for i < min(len(got), len(b)) && got[i] == b[i] {
				i++
			}
			t.Errorf("%s: %d bytes of %d, different from byte %d: %q, want %q", name, len(got), len(b), i,
				got[max(0, i-20):min(len(got), i+30)], b[max(0, i-20):min(len(b), i+30)])
		}
	}
}

func TestUnfitModelFiles(t *testing.T) {
	model, _ := trained(t)
	_, text := written(t, model)
	swap := func(old, with string) []byte {
		if !bytes.Contains(text, []byte(old)) {
			t.Fatalf("the model has no %s", old)
		}
		return bytes.Replace(text, []byte(old), []byte(with), 1)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "is empty"},
		{"a pickle", []byte("\x80\x03cxgboost"), "pickle"},
		{"the old binary format", []byte("binf\x00\x00"), "neither JSON, UBJSON, a pickle nor"},
		{"half a file", text[:len(text)/2], "ends early"},
		{"dart", swap(`"name":"gbtree"`, `"name":"dart"`), "gbtree: is missing"},
		{"an unknown objective", swap(`"name":"multi:softprob"`, `"name":"multi:magic"`), "multi:magic"},
		{"categories", swap(`"split_type":[0`, `"split_type":[1`), "splits by category, and has none"},
		{"vector leaves", swap(`"size_leaf_vector":"1"`, `"size_leaf_vector":"3"`), "values, not 111"},
		{"several targets", swap(`"num_target":"1"`, `"num_target":"4"`), "3 intercepts for 4 classes"},
		{"an unknown booster", swap(`"name":"gbtree"`, `"name":"gbush"`), `booster "gbush" is not known`},
		{"leaves of another width", swap(`"size_leaf_vector":"1"`, `"size_leaf_vector":"2"`), "leaves have 2 values"},
		{"a class too many", swap(`"tree_info":[0`, `"tree_info":[9`), "class 9 of 3"},
		{"a child out of range", swap(`"left_children":[1`, `"left_children":[999`), "which cannot be"},
		{"a child that is the root", swap(`"left_children":[1`, `"left_children":[0`), "which cannot be"},
		{"a feature out of range", swap(`"num_feature":"5","num_target"`, `"num_feature":"1","num_target"`), "splits feature"},
		{"no trees", swap(`"trees"`, `"bushes"`), "trees"},
		{"text for numbers", swap(`"parents":[`, `"parents":["x",`), "not a list of numbers"},
		{"a number too many", swap(`"right_children":[`, `"right_children":[1,`), "values, not"},
		{"half a node", swap(`"left_children":[1`, `"left_children":[1.5`), "whole number"},
		{"something behind", append(slices.Clone(text), 'x'), "follows the document"},
		{"deep nesting", []byte(`{"a":` + strings.Repeat("[", 1000)), "too deeply"},
		{"deep nesting in UBJ", []byte("{i\x01a" + strings.Repeat("[", 1000)), "too deeply"},
		{"a huge length in UBJ", []byte("{i\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff"), "beyond the end"},
		{"a list of nothing in UBJ", []byte("{i\x01a[$Z#i\x0f}xxxxxxxxxxxxxxxxxxx"), "take no room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadModel(c.b)
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want a client error with %q", err, c.want)
			}
		})
	}
	if _, err := New().Load(fstest.MapFS{"sub/x": {}, ".x": {}}); !algo.IsClientError(err) {
		t.Errorf("an empty folder: error is %v", err)
	}
}

func TestPredictionOfRows(t *testing.T) {
	model, m := trained(t)
	want, err := model.Predict(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	// Big enough for several goroutines, and row by row.
	big := &algo.Matrix{Cols: m.Cols}
	for range 40 {
		big.Values, big.Rows = append(big.Values, m.Values...), big.Rows+m.Rows
	}
	got, err := model.Predict(t.Context(), big)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Values {
		if v != want.Values[i%len(want.Values)] {
			t.Fatalf("value %d of many rows is %v, want %v", i, v, want.Values[i%len(want.Values)])
		}
	}
	s := sparse(m)
	for r := range m.Rows {
		one := &algo.Matrix{Rows: 1, Cols: m.Cols, Values: m.Values[r*m.Cols : (r+1)*m.Cols]}
		thin := &algo.Matrix{Rows: 1, Cols: s.Cols, Values: s.Values, Index: s.Index, Start: s.Start[r : r+2]}
		for _, rows := range []*algo.Matrix{one, thin} {
			p, err := model.Predict(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.Values, want.Values[r*3:r*3+3]) {
				t.Fatalf("row %d alone is %v, want %v", r, p.Values, want.Values[r*3:r*3+3])
			}
		}
	}
	// What rows lack is missing, and what they have too much is refused.
	short, full := &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, 7}}, &algo.Matrix{Rows: 1, Cols: 5}
	nan := float32(math.NaN())
	full.Values = []float32{1, 7, nan, nan, nan}
	a, err := model.Predict(t.Context(), short)
	if err != nil {
		t.Fatal(err)
	}
	b, err := model.Predict(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Values, b.Values) {
		t.Errorf("a short row is %v, want %v", a.Values, b.Values)
	}
	if _, err := model.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 6, Values: make([]float32, 6)}); !algo.IsClientError(err) {
		t.Errorf("a long row: error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := model.Predict(ctx, big); err != context.Canceled {
		t.Errorf("cancelled: error is %v", err)
	}
}

func TestRowsBeyondTheSpreadAreSearched(t *testing.T) {
	m := sparse(mixed(300, 5, "reg:squarederror"))
	model, err := boost(t.Context(), plainConfig("reg:squarederror", 3), nil, m, nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	want, err := model.PredictMargin(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, m.Rows)
	for r := range got {
		got[r] = model.margins[0]
	}
	f := model.forest
	f.touched = widestRow + 1
	if err := f.add(t.Context(), m, got, 1); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want.Values) {
		t.Error("searching sparse rows gives other leaves than spreading them")
	}
}

func TestACompactModelPredictsAndIsNotSaved(t *testing.T) {
	model, m := trained(t)
	want, err := model.Predict(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	c := model.Compact().(*Model)
	got, err := c.PredictInto(t.Context(), m, make([]float32, 1, m.Rows))
	if err != nil || !slices.Equal(got.Values, want.Values) {
		t.Errorf("it predicts something else, or fails: %v", err)
	}
	if all, left := model.MemoryBytes(), c.MemoryBytes(); left*3 > all {
		t.Errorf("it takes %d of %d bytes", left, all)
	}
	if c.Save(t.TempDir()) == nil || c.WriteJSON(io.Discard) == nil || c.WriteUBJ(io.Discard) == nil {
		t.Error("it was written without its trees")
	}
	if err := model.Save(t.TempDir()); err != nil {
		t.Errorf("the model itself: %v", err)
	}
}

func TestOneRowCostsOneAllocation(t *testing.T) {
	model, m := trained(t)
	row := &algo.Matrix{Rows: 1, Cols: m.Cols, Values: m.Values[:m.Cols]}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := model.Predict(context.Background(), row); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want 1 for the result", n)
	}
	values := make([]float32, 3)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := model.PredictInto(context.Background(), row, values); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations with memory for the result", n)
	}
}

// stump is a model of one split: small files are what fuzzing gets far with.
func stump(t testing.TB) *Model {
	t.Helper()
	c := plainConfig("binary:logistic", 1)
	c.maxDepth = 1
	model, err := boost(t.Context(), c, nil, mixed(50, 2, "binary:logistic"), nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func fuzzModel(f *testing.F, seeds ...[]byte) {
	for _, b := range seeds {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadModel(b)
		if err != nil {
			if !algo.IsClientError(err) {
				t.Fatalf("not a client error: %v", err)
			}
			return
		}
		if m.features > 1<<16 || m.width > 1<<10 {
			return
		}
		row := &algo.Matrix{Rows: 2, Cols: 1, Start: []int64{0, 0, 1}, Index: []int32{0}, Values: []float32{1}}
		if m.features > 0 {
			if _, err := m.Predict(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
		// What could be read can be written and read again.
		ubj, text := written(t, m)
		for _, b := range [][]byte{ubj, text} {
			if _, err := ReadModel(b); err != nil {
				t.Fatalf("written again: %v", err)
			}
		}
	})
}

func FuzzReadUBJ(f *testing.F) {
	ubj, _ := written(f, stump(f))
	fuzzModel(f, ubj, []byte("{i\x07learner{}}"), []byte("{i\x01a[#i\x02TF}"))
}

func FuzzReadJSON(f *testing.F) {
	_, text := written(f, stump(f))
	fuzzModel(f, text, []byte(`{"learner":{"a":[1,true,NaN,-Infinity,"x\u00e9",null]}}`))
}

func TestMetricsByHand(t *testing.T) {
	o := func(name string, classes int) *objective { return &objective{name: name, classes: classes} }
	binary := &seen{
		m:       &algo.Matrix{Rows: 4, Label: []float32{1, 0, 1, 0}},
		preds:   []float32{0.9, 0.6, 0.4, 0.1},
		margins: []float32{2, 0.4, -0.4, -2}, width: 1, threads: 1,
	}
	classes := &seen{
		m:       &algo.Matrix{Rows: 4, Label: []float32{0, 1, 2, 2}},
		preds:   []float32{.8, .1, .1, .2, .5, .3, .1, .6, .3, .2, .2, .6},
		margins: []float32{.8, .1, .1, .2, .5, .3, .1, .6, .3, .2, .2, .6}, width: 3, threads: 1,
	}
	weighted := *binary
	weighted.m = &algo.Matrix{Rows: 4, Label: binary.m.Label, Weight: []float32{1, 3, 1, 1}}
	for _, c := range []struct {
		s    *seen
		want map[string]float64
	}{
		{binary, map[string]float64{
			"error": 0.5, "error@0.95": 0.5, "auc": 0.75, "rmse": math.Sqrt((.01 + .36 + .36 + .01) / 4), "mae": 0.35,
			"logloss":  -(math.Log(.9) + math.Log(.4) + math.Log(.4) + math.Log(.9)) / 4,
			"accuracy": 0.5, "f1": 0.5, "f1_binary": 0.5, "precision": 0.5, "recall": 0.5, "balanced_accuracy": 0.5,
			"mse": 0.185, "r2": 1 - .74, "precision_micro": 0.5,
		}},
		{&weighted, map[string]float64{"error": 4. / 6, "auc": (1*4 + 1*1) / 8., "mae": (.1 + 1.8 + .6 + .1) / 6, "accuracy": 0.5}},
		{classes, map[string]float64{
			"merror": 0.25, "mlogloss": -(math.Log(.8) + math.Log(.5) + math.Log(.3) + math.Log(.6)) / 4,
			"accuracy": 0.75, "f1_macro": (1 + 2./3 + 2./3) / 3, "precision_macro": (1 + .5 + 1) / 3, "recall_macro": (1 + 1 + .5) / 3,
			"balanced_accuracy": 2.5 / 3,
		}},
	} {
		for _, name := range slices.Sorted(maps.Keys(c.want)) {
			kind := o("binary:logistic", 1)
			if c.s.width > 1 {
				kind = o("multi:softprob", 3)
			}
			m, err := newMetric(name, kind)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.eval(c.s); math.Abs(got-c.want[name]) > 1e-6 {
				t.Errorf("%s of %d classes is %v, want %v", name, c.s.width, got, c.want[name])
			}
		}
	}
}
