// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// oneHost is the algorithm without what it does over several hosts.
type oneHost struct{ Algorithm }

func (a oneHost) Spec() algo.Spec {
	s := a.Algorithm.Spec()
	s.Distributed = false
	return s
}

func TestBoostersAndMethods(t *testing.T) {
	m := mixed(300, 5, "binary:logistic")
	text := csvText(m)
	types := categorical(mixed(300, 5, "reg:squarederror"))
	long := map[string]string{"num_round": "10000000"}
	of := func(name string, params ...string) algotest.Case {
		c := algotest.Case{
			Name: name, Params: map[string]string{"num_round": "6", "objective": "binary:logistic", "seed": "5"},
			Channels: map[string]algotest.Channel{"train": algotest.CSV(text), "validation": algotest.CSV(text)}, Rows: m, Long: long,
		}
		for i := 0; i < len(params); i += 2 {
			c.Params[params[i]] = params[i+1]
		}
		return c
	}
	withCategories := algotest.Case{
		Name:     "categories",
		Params:   map[string]string{"num_round": "4", "_categorical_features": "0,1", "subsample": "0.8", "tree_method": "approx"},
		Channels: map[string]algotest.Channel{"train": algotest.CSV(csvText(types))}, Rows: types,
	}
	algotest.Run(t, New(), []algotest.Case{
		of("constraints", "tree_method", "hist", "monotone_constraints", "(1,0,-1)", "interaction_constraints", "[[1,2],[2,3,4]]"),
		of("dart", "booster", "dart", "rate_drop", "0.4", "sample_type", "weighted", "one_drop", "1", "skip_drop", "0.1", "early_stopping_rounds", "3"),
		of("approx", "tree_method", "approx", "subsample", "0.7", "sampling_method", "gradient_based", "colsample_bylevel", "0.7"),
		withCategories,
	})
	algotest.Run(t, oneHost{}, []algotest.Case{
		of("exact", "tree_method", "exact", "subsample", "0.7", "colsample_bynode", "0.7", "gamma", "0.5", "early_stopping_rounds", "4"),
		of("gblinear", "booster", "gblinear", "lambda", "0.01", "alpha", "0.001", "lambda_bias", "0.5", "early_stopping_rounds", "3"),
	})
}

// As TestHostsLearnTheModelOfOneHost for what is grown in other ways.
func TestHostsGrowTheModelOfOneHost(t *testing.T) {
	for _, c := range []struct {
		name      string
		objective string
		rows      int
		set       func(*config)
	}{
		{"monotone", "reg:squarederror", 800, func(c *config) { c.monotone = []int8{1, 0, -1, 1} }},
		{"features that meet, by loss", "reg:squarederror", 800, func(c *config) {
			c.meet, c.lossguide, c.maxLeaves, c.maxDepth = [][]int32{{0, 2}, {2, 3, 5}}, true, 20, 0
		}},
		{"dart", "binary:logistic", 600, func(c *config) {
			c.booster, c.dart, c.rounds = dartBooster, dartPlan{rate: 0.3, one: true, skip: 0.2}, 8
		}},
		{"approx", "binary:logistic", 800, func(c *config) { c.method, c.maxBin = bySketch, 32 }},
		{"gradients", "binary:logistic", 800, func(c *config) { c.gradientBased, c.subsample = true, 0.3 }},
		{"refresh", "binary:logistic", 800, func(c *config) { c.refresh, c.refreshLeaf, c.subsample = true, true, 0.5 }},
		{"categories one by one", "reg:squarederror", 800, func(c *config) { c.categorical, c.oneHot, c.mostCats = []int{0, 1}, 100, 64 }},
		{"sets of categories", "reg:squarederror", 800, func(c *config) { c.categorical, c.oneHot, c.mostCats = []int{0, 1}, 4, 64 }},
		{"sets of categories by approx", "binary:logistic", 800, func(c *config) {
			c.categorical, c.oneHot, c.mostCats, c.method = []int{0, 1}, 2, 3, bySketch
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mixed(c.rows, 7, c.objective)
			config := plainConfig(c.objective, 3)
			c.set(config)
			if config.categorical != nil {
				m = categorical(m)
			}
			one, err := learn(t.Context(), *config, nil, slice(m, 0, m.Rows), nil)
			if err != nil {
				t.Fatal(err)
			}
			for rank, l := range learnOn(t, config, m, nil, []int{0, m.Rows / 3, m.Rows}) {
				if !bytes.Equal(l.bytes, one.bytes) {
					t.Errorf("host %d has another model", rank+1)
				}
			}
		})
	}
}

func TestWhatOneHostAloneCanDo(t *testing.T) {
	m := mixed(40, 3, "reg:squarederror")
	for _, set := range []func(*config){
		func(c *config) { c.method = byValue },
		func(c *config) { c.booster = linearBooster },
	} {
		c := plainConfig("reg:squarederror", 1)
		set(c)
		err := c.fits(m.Cols, 2)
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), "use one instance") {
			t.Errorf("error is %v", err)
		}
		if err := c.fits(m.Cols, 1); err != nil {
			t.Error(err)
		}
	}
}

func TestPlansThatDoNotFitTheData(t *testing.T) {
	m := mixed(40, 3, "reg:squarederror")
	m.Values[3*5] = -2
	for _, c := range []struct {
		name string
		set  func(*config)
		want string
	}{
		{"directions for four features", func(c *config) { c.monotone = []int8{1, 0, 0, 1} }, "4 directions for 3 features"},
		{"a fourth feature that meets", func(c *config) { c.meet = [][]int32{{1, 3}} }, "feature 3; the data has 3"},
		{"categories of a fourth feature", func(c *config) { c.categorical = []int{3} }, "feature 3; the data has 3"},
		{"a negative category", func(c *config) { c.categorical = []int{0} }, "feature 0 holds categories"},
		{"an update of nothing", func(c *config) { c.update, c.refresh = true, true }, "there is none to go on with"},
	} {
		config := plainConfig("reg:squarederror", 1)
		c.set(config)
		_, err := boost(t.Context(), config, nil, slice(m, 0, m.Rows), nil, 1, silent)
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want a client error with %q", c.name, err, c.want)
		}
	}
	infinite := slice(m, 0, m.Rows)
	infinite.Values[4] = float32(math.Inf(1))
	for _, set := range []func(*config){func(c *config) { c.method = byValue }, func(c *config) { c.booster = linearBooster }, func(c *config) { c.method = bySketch }} {
		config := plainConfig("reg:squarederror", 1)
		set(config)
		_, err := boost(t.Context(), config, nil, infinite, nil, 1, silent)
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), "infinite value in feature 1") {
			t.Errorf("error is %v", err)
		}
	}
}

// One row, constant columns and a column without values are legal.
func TestSmallDataIsLearned(t *testing.T) {
	nan := float32(math.NaN())
	for name, m := range map[string]*algo.Matrix{
		"one row":        {Rows: 1, Cols: 2, Values: []float32{1, nan}, Label: []float32{1}},
		"all alike":      {Rows: 3, Cols: 1, Values: []float32{2, 2, 2}, Label: []float32{0, 1, 1}},
		"without values": {Rows: 3, Cols: 1, Values: []float32{nan, nan, nan}, Label: []float32{0, 1, 0}},
		"no columns":     {Rows: 2, Cols: 0, Label: []float32{0, 1}},
	} {
		for what, set := range map[string]func(*config){
			"hist": func(*config) {}, "approx": func(c *config) { c.method = bySketch },
			"exact":    func(c *config) { c.method, c.prune = byValue, true },
			"dart":     func(c *config) { c.booster, c.dart.one = dartBooster, true },
			"gblinear": func(c *config) { c.booster = linearBooster },
		} {
			config := plainConfig("binary:logistic", 3)
			set(config)
			model, err := boost(t.Context(), config, nil, slice(m, 0, m.Rows), nil, 2, silent)
			if err != nil {
				t.Errorf("%s by %s: %v", name, what, err)
				continue
			}
			p, err := model.Predict(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(p.Values, func(v float32) bool { return !(v >= 0 && v <= 1) }) {
				t.Errorf("%s by %s: predictions are %v", name, what, p.Values)
			}
		}
	}
}

// Predictions must rise and fall with their features, wherever one looks.
func TestMonotoneModelsAreMonotone(t *testing.T) {
	m := mixed(1000, 5, "reg:squarederror")
	for what, set := range map[string]func(*config){
		"hist": func(*config) {}, "exact": func(c *config) { c.method = byValue },
		"by loss": func(c *config) { c.lossguide, c.maxLeaves = true, 40 },
	} {
		config := plainConfig("reg:squarederror", 10)
		config.monotone = []int8{1, 0, -1}
		set(config)
		model, err := boost(t.Context(), config, nil, slice(m, 0, m.Rows), nil, 2, silent)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []int{0, 2} {
			rows := &algo.Matrix{Cols: m.Cols}
			for i := range 50 {
				for v := -4.; v <= 4; v += 0.25 {
					row := slices.Clone(m.Values[i*m.Cols : (i+1)*m.Cols])
					row[f] = float32(v)
					rows.Values, rows.Rows = append(rows.Values, row...), rows.Rows+1
				}
			}
			p, err := model.Predict(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < rows.Rows; i++ {
				if d := (p.Values[i] - p.Values[i-1]) * float32(config.monotone[f]); i%33 != 0 && d < -1e-5 {
					t.Fatalf("%s: feature %d: the prediction changes by %v", what, f, d)
				}
			}
		}
	}
}

// On a way from the root features must be of one group.
func TestFeaturesMeetAsAllowed(t *testing.T) {
	m := mixed(1000, 6, "reg:squarederror")
	for _, meth := range []method{byHistogram, byValue, bySketch} {
		config := plainConfig("reg:squarederror", 10)
		config.method, config.meet = meth, [][]int32{{0, 2}, {2, 3, 5}}
		model, err := boost(t.Context(), config, nil, slice(m, 0, m.Rows), nil, 2, silent)
		if err != nil {
			t.Fatal(err)
		}
		for i := range model.trees {
			tree := &model.trees[i]
			var down func(at int32, used []int32)
			down = func(at int32, used []int32) {
				if tree.left[at] < 0 {
					return
				}
				used = append(slices.Clone(used), tree.feature[at])
				slices.Sort(used)
				used = slices.Compact(used)
				fits := len(used) == 1
				for _, group := range config.meet {
					fits = fits || !slices.ContainsFunc(used, func(f int32) bool { return !slices.Contains(group, f) })
				}
				if !fits {
					t.Fatalf("method %d, tree %d: the features %v meet", meth, i, used)
				}
				down(tree.left[at], used)
				down(tree.right[at], used)
			}
			down(0, nil)
		}
	}
}

func TestConstraintsAreRead(t *testing.T) {
	for text, want := range map[string][]int8{
		"(1,-1,0)": {1, -1, 0}, "[1, -1]": {1, -1}, "(1,)": {1}, "( -1 , 0 )": {-1, 0}, "(0)": {0},
	} {
		if got, err := parseDirections(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1,2", "(1", "(1,x)", "(2)", "(1,,0)", "[1)", "(1.0)"} {
		if got, err := parseDirections(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	for text, want := range map[string][][]int32{
		"[[1, 2], [3,4,3]]": {{1, 2}, {3, 4}}, "[[2,1]]": {{1, 2}}, "((1,2),(3))": {{1, 2}, {3}}, "[[1,2,],]": {{1, 2}}, "[[],[5]]": {{5}},
	} {
		got, err := parseGroups(text)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"[1,2]", "[[1,2]", "[[1],2]", "[[[1]]]", "[[1][2]]", "[[0]]", "[[1.5]]", "[[-1]]", "[[99999999999]]", "[]]"} {
		if got, err := parseGroups(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func FuzzConstraints(f *testing.F) {
	f.Add("[[1, 2], [3,4]]")
	f.Add("(1,-1,0)")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseDirections(text); err == nil && len(text) < 2 {
			t.Errorf("%q has directions", text)
		}
		groups, err := parseGroups(text)
		if err != nil {
			return
		}
		for _, g := range groups {
			if !slices.IsSorted(g) || len(g) == 0 || g[0] < 1 {
				t.Errorf("%q gives the group %v", text, g)
			}
		}
	})
}

// What rows are drawn for by their gradients must leave sums what they are on
// average, and take about as many rows as are wanted.
func TestDrawsByGradientsAreFair(t *testing.T) {
	const n = 4000
	pairs := make([]gradPair, n)
	var want float64
	for i := range pairs {
		g := float32(math.Pow(float64(i%100)/100, 4)) * 5
		pairs[i] = gradPair{g, 0.2}
		want += float64(g)
	}
	g := &grower{regular: regular{subsample: 0.25, gradientBased: true}, threads: 1, place: place{all: n}}
	var rows, sum float64
	const draws = 200
	for number := range draws {
		kept, err := g.sample(context.Background(), pairs, uint64(number))
		if err != nil {
			t.Fatal(err)
		}
		rows += float64(len(g.rows)) / draws
		for i, p := range kept {
			sum += float64(p.g) / draws
			if g.out[i] != (p == gradPair{}) {
				t.Fatalf("row %d is left out: %v; its pair is %v", i, g.out[i], p)
			}
			if i%100 == 99 && g.out[i] {
				t.Fatal("a row of the largest gradients is left out")
			}
		}
	}
	if math.Abs(rows-n/4) > 10 {
		t.Errorf("%v rows are drawn, want %d", rows, n/4)
	}
	if math.Abs(sum/want-1) > 0.005 {
		t.Errorf("the sum is %v on average, want %v", sum, want)
	}
}

func TestDartDrawsTrees(t *testing.T) {
	draws := func(plan dartPlan, weights ...float32) (counts []int, none int) {
		b := &booster{config: plainConfig("", 1), model: &Model{weights: weights}}
		b.dart = plan
		counts = make([]int, len(weights))
		for round := range 1000 {
			trees := b.draw(round)
			if len(trees) == 0 {
				none++
			}
			for _, i := range trees {
				counts[i]++
			}
		}
		return counts, none
	}
	between := func(what string, got, least, most int) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: %d of 1000, want %d to %d", what, got, least, most)
		}
	}
	counts, _ := draws(dartPlan{rate: 0.3}, 1, 1, 1)
	between("a tree of three", counts[1], 260, 340)
	counts, _ = draws(dartPlan{rate: 0.3, weighted: true}, 1, 2, 3)
	between("a light tree", counts[0], 115, 185)
	between("a heavy tree", counts[2], 400, 500)
	_, none := draws(dartPlan{rate: 1, skip: 0.2}, 1, 1)
	between("a round that is skipped", none, 160, 240)
	counts, none = draws(dartPlan{one: true}, 1, 1)
	between("a round without a tree", none, 0, 0)
	between("one of two", counts[0], 450, 550)
	counts, _ = draws(dartPlan{one: true, weighted: true}, 1, 3)
	between("the light one of two", counts[0], 210, 290)
	if _, none := draws(dartPlan{rate: 1, one: true}); none != 1000 {
		t.Error("trees are left out of a model that has none")
	}
}

// Pruning, and what it says of where rows are.
func TestPruning(t *testing.T) {
	// 0 splits into 1 and 2, 1 into 3 and 4, 4 into 5 and 6.
	one := new(tree)
	one.leaf(-1, 0, 8)
	for _, parent := range []int32{0, 1, 4} {
		one.left[parent], one.right[parent] = one.leaf(parent, -1, 1), one.leaf(parent, 1, 1)
	}
	copy(one.gain, []float32{5, 1, 0, 0, 3, 0, 0})
	copy(one.base, []float32{0, 0.5, 0, 0, 0.25, 0, 0})
	kept := one.clone()
	if rest := kept.prune(&regular{gamma: 1, eta: 0.5}); rest != nil || len(kept.left) != 7 {
		t.Errorf("a tree whose splits gain enough becomes one of %d nodes", len(kept.left))
	}
	// The split at 1 gains too little, but one below it stays.
	if rest := kept.prune(&regular{gamma: 2, eta: 0.5}); rest != nil {
		t.Errorf("a split above another is cut: %v", rest)
	}
	// Without the lower one it goes as well.
	rest := kept.prune(&regular{gamma: 4, eta: 0.5})
	if !slices.Equal(rest, []int32{0, 1, 2, 1, 1, 1, 1}) || !slices.Equal(kept.left, []int32{1, -1, -1}) || kept.value[1] != 0.25 {
		t.Errorf("rows rest in %v, left children are %v, the new leaf is %v", rest, kept.left, kept.value[1])
	}
	deep := one.clone()
	if rest := deep.prune(&regular{maxDepth: 2, eta: 1}); !slices.Equal(rest, []int32{0, 1, 2, 3, 4, 4, 4}) {
		t.Errorf("below depth 2 rows rest in %v", rest)
	}
}

// modelsOfBoosters writes a folder for check_models.py: what the boosters and
// methods save, with features of some type or of none.
func modelsOfBoosters(t *testing.T, types bool) (dir string) {
	t.Helper()
	var d referenceData
	readReference(t, "data.json", &d)
	cases, models := readGrowth(t)
	dir = t.TempDir()
	table := d.matrix("real", false)
	if types {
		table = categorical(table)
	}
	values := make([]*float32, len(table.Values))
	for i, v := range table.Values {
		if v == v {
			values[i] = &v
		}
	}
	b, err := json.Marshal(map[string]any{"cols": d.Cols, "values": values})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	keep := func(name string, model *Model) {
		sub := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		ubj, text := written(t, model)
		p, err := model.Predict(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(p.Values)
		if err != nil {
			t.Fatal(err)
		}
		for file, b := range map[string][]byte{FileName: ubj, "model.json": text, "predictions.json": out} {
			if err := os.WriteFile(filepath.Join(sub, file), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range cases {
		if c.Categories != types || string(c.Before) != "null" {
			continue
		}
		raw := map[string]string{"num_round": strconv.Itoa(c.Rounds), "max_depth": "3"}
		if types {
			raw["_categorical_features"] = "0,1"
		}
		maps.Copy(raw, c.Params)
		m := slice(table, 0, table.Rows)
		m.Label = d.Labels[c.Label]
		model, err := boost(t.Context(), parse(t, raw), nil, m, nil, 2, silent)
		if err != nil {
			t.Fatal(err)
		}
		keep(c.Name, model)
	}
	for _, c := range models { // what is loaded is saved as well
		model, err := ReadModel(c.Model)
		if err != nil {
			t.Fatal(err)
		}
		if (len(model.types) > 0) == types {
			keep("saved again "+c.Name, model)
		}
	}
	return dir
}
