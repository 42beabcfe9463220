// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Four rows of squared error with intercept 0 and labels 1, 2, 8, 9 have the
// gradients -1, -2, -8, -9 and the hessians 1. Cut in the middle, with lambda 1:
// gain 3²/3 + 17²/3 - 20²/5 = 58/3; leaves 3/3 and 17/3, times eta 0.5.
func TestSplitAndLeavesByHand(t *testing.T) {
	m := &algo.Matrix{Rows: 4, Cols: 1, Values: []float32{10, 20, 30, 40}, Label: []float32{1, 2, 8, 9}}
	c := plainConfig("reg:squarederror", 1)
	c.eta, c.maxDepth, c.baseScore = 0.5, 1, new(float32(0))
	model, err := boost(t.Context(), c, nil, m, nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	got := model.trees[0]
	if !slices.Equal(got.value, []float32{30, 0.5, float32(17. / 6)}) {
		t.Errorf("bound and leaves are %v", got.value)
	}
	if math.Abs(float64(got.gain[0])-58./3) > 1e-5 {
		t.Errorf("gain is %v, want 58/3", got.gain[0])
	}
	if !slices.Equal(got.hess, []float32{4, 2, 2}) {
		t.Errorf("hessians are %v", got.hess)
	}
	if got.base[0] != 4 {
		t.Errorf("weight of the root is %v, want 20/5", got.base[0])
	}
}

func TestLeafWeights(t *testing.T) {
	for _, c := range []struct {
		name       string
		p          regular
		g, h       float64
		want, gain float64
	}{
		{"is -g/(h+lambda)", regular{lambda: 1}, -6, 2, 2, 12},
		{"alpha shrinks the gradient", regular{lambda: 1, alpha: 3}, -6, 2, 1, 3},
		{"alpha above the gradient leaves nothing", regular{alpha: 7}, -6, 2, 0, 0},
		{"is held by max_delta_step", regular{lambda: 1, maxDeltaStep: 0.5}, -6, 2, 0.5, 5.25},
		{"is 0 below min_child_weight", regular{minChildWeight: 3}, -6, 2, 0, 18},
		{"is 0 without rows", regular{}, 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.weight(c.g, c.h); got != c.want {
				t.Errorf("weight is %v, want %v", got, c.want)
			}
			if got := c.p.gain(c.g, c.h); got != c.gain {
				t.Errorf("gain is %v, want %v", got, c.gain)
			}
		})
	}
}

func TestMissingValuesLearnADirection(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name   string
		labels []float32
		left   bool
	}{
		{"missing like small ones go left", []float32{0, 0, 0, 10, 10, 10, 0, 0}, true},
		{"missing like large ones go right", []float32{0, 0, 0, 10, 10, 10, 10, 10}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &algo.Matrix{Rows: 8, Cols: 1, Values: []float32{1, 2, 3, 4, 5, 6, nan, nan}, Label: c.labels}
			config := plainConfig("reg:squarederror", 1)
			config.maxDepth = 1
			model, err := boost(t.Context(), config, nil, m, nil, 1, silent)
			if err != nil {
				t.Fatal(err)
			}
			if got := model.trees[0]; got.value[0] != 4 || got.missingLeft[0] != c.left {
				t.Errorf("split at %v, missing left %v", got.value[0], got.missingLeft[0])
			}
		})
	}
}

// mixed is rows of every kind: ties, missing values, a constant column.
func mixed(n, cols int, objective string) *algo.Matrix {
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	m := &algo.Matrix{Rows: n, Cols: cols}
	for range n {
		sum := float32(0)
		for f := range cols {
			v := float32(rng.NormFloat64())
			switch {
			case f == 1:
				v = 7
			case f%3 == 2:
				v = float32(math.Floor(float64(v * 2)))
			}
			if f < 4 {
				sum += v
			}
			if f != 0 && rng.IntN(5) == 0 {
				v = float32(math.NaN())
			}
			m.Values = append(m.Values, v)
		}
		y := sum - 6 + float32(rng.NormFloat64())
		switch objective {
		case "binary:logistic":
			y = map[bool]float32{true: 1}[y > 0]
		case "multi:softprob":
			y = float32(min(max(int(y)+1, 0), 2))
		}
		m.Label = append(m.Label, y)
	}
	return m
}

// Every layout, both growth orders and all draws: the number of threads must
// not show in a single byte. The root has more than wideRows rows and, without
// the race detector, so have nodes below it.
func TestThreadsDoNotShow(t *testing.T) {
	rows, rounds, threadCounts := 80_000, 2, []int{1, 2, 5}
	if raced {
		rows, rounds, threadCounts = 36_000, 1, []int{1, 5}
	}
	for _, c := range []struct {
		name      string
		objective string
		cols      int
		set       func(*config)
	}{
		{"bytes", "binary:logistic", 11, func(*config) {}},
		{"shorts", "reg:squarederror", 5, func(c *config) { c.maxBin = 5000 }},
		{"by loss", "reg:squarederror", 11, func(c *config) { c.lossguide, c.maxLeaves, c.maxDepth = true, 40, 0 }},
		{"draws of rows and columns", "multi:softprob", 11, func(c *config) {
			c.classes, c.subsample, c.byTree, c.byLevel, c.byNode, c.parallelTrees = 3, 0.6, 0.8, 0.8, 0.8, 2
			if raced { // as wide with fewer rows
				c.subsample, c.maxDepth = 0.95, 4
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mixed(rows, c.cols, c.objective)
			var first []byte
			for _, threads := range threadCounts {
				config := plainConfig(c.objective, rounds)
				c.set(config)
				model, err := boost(t.Context(), config, nil, m, nil, threads, silent)
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := model.WriteUBJ(&b); err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = b.Bytes()
				} else if !bytes.Equal(first, b.Bytes()) {
					t.Errorf("%d threads give another model than 1", threads)
				}
			}
		})
	}
}

func TestSeedsDraw(t *testing.T) {
	m := mixed(500, 6, "reg:squarederror")
	model := func(seed int64) []float32 {
		c := plainConfig("reg:squarederror", 3)
		c.subsample, c.seed = 0.5, seed
		got, err := boost(t.Context(), c, nil, m, nil, 1, silent)
		if err != nil {
			t.Fatal(err)
		}
		p, err := got.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return p.Values
	}
	if !slices.Equal(model(1), model(1)) {
		t.Error("one seed gives two models")
	}
	if slices.Equal(model(1), model(2)) {
		t.Error("two seeds give one model")
	}
}

// The margins kept while training must be those that the model predicts, in
// all layouts and with rows that subsample left out.
func TestTrainingMarginsAreThePredictions(t *testing.T) {
	dense := mixed(3000, 7, "reg:squarederror")
	for name, m := range map[string]*algo.Matrix{"dense": dense, "wide sparse": wide(sparse(dense))} {
		for _, bins := range []int{256, 2000} {
			c := plainConfig("reg:squarederror", 5)
			c.subsample, c.maxBin, c.metrics = 0.5, bins, []string{"rmse"}
			var last string
			model, err := boost(t.Context(), c, nil, m, m, 2, func(_ string, args ...any) { last = args[0].(string) })
			if err != nil {
				t.Fatal(err)
			}
			p, err := model.Predict(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			rmse := pythonFloat(math.Sqrt(squares(&seen{m: m, preds: p.Values, threads: 1}) / float64(m.Rows)))
			if want := "[4]\ttrain-rmse:" + rmse + "\tvalidation-rmse:" + rmse; last != want {
				t.Errorf("%s, %d bins: shown %q, predicted %q", name, bins, last, want)
			}
		}
	}
}

func TestLimitsOfTrees(t *testing.T) {
	m := mixed(4000, 8, "reg:squarederror")
	for _, c := range []struct {
		name          string
		set           func(*config)
		depth, leaves int
	}{
		{"max_depth", func(c *config) { c.maxDepth = 3 }, 3, 8},
		{"max_leaves by depth", func(c *config) { c.maxLeaves = 5 }, 6, 5},
		{"max_leaves by loss", func(c *config) { c.maxLeaves, c.lossguide, c.maxDepth = 7, true, 0 }, 6, 7},
		{"gamma", func(c *config) { c.gamma = 1e9 }, 0, 1},
		{"min_child_weight", func(c *config) { c.minChildWeight = 1500 }, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := plainConfig("reg:squarederror", 1)
			c.set(config)
			model, err := boost(t.Context(), config, nil, m, nil, 2, silent)
			if err != nil {
				t.Fatal(err)
			}
			got := model.trees[0]
			depth, leaves := make([]int, len(got.left)), 0
			for i := range got.left {
				if got.left[i] < 0 {
					leaves++
					continue
				}
				depth[got.left[i]], depth[got.right[i]] = depth[i]+1, depth[i]+1
			}
			if slices.Max(depth) > c.depth || leaves > c.leaves || c.leaves > 1 && leaves < 2 {
				t.Errorf("depth %d and %d leaves, want at most %d and %d", slices.Max(depth), leaves, c.depth, c.leaves)
			}
		})
	}
}

// bins is m in at most maxBin bins a feature.
func bins(t *testing.T, m *algo.Matrix, maxBin int) *binned {
	t.Helper()
	c, err := cut(nil, m, maxBin, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBinned(nil, m, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A histogram must hold the plain sums whatever layout and kernel fills it.
func TestHistogramsAreSums(t *testing.T) {
	dense := mixed(3000, 11, "reg:squarederror")
	rng := rand.New(rand.NewPCG(3, 4))
	pairs := make([]gradPair, dense.Rows)
	for name, spike := range map[string]float32{"packed": 1, "wide": 1e7} {
		for i := range pairs {
			pairs[i] = gradPair{float32(rng.NormFloat64()), rng.Float32()}
		}
		pairs[17].g *= spike
		for _, m := range []*algo.Matrix{dense, sparse(dense), wide(sparse(dense))} {
			for _, maxBin := range []int{256, 3000} {
				b := bins(t, m, maxBin)
				var q quantized
				if err := q.quantize(t.Context(), nil, pairs, 1); err != nil {
					t.Fatal(err)
				}
				if (q.packed == nil) != (name == "wide") {
					t.Fatalf("%s pairs are stored the other way", name)
				}
				columns := newColumns(regular{byTree: 1}, m.Cols, 0, 0)
				var rows []uint32
				for r := range uint32(m.Rows) {
					if r%7 != 0 {
						rows = append(rows, r)
					}
				}
				for _, rows := range [][]uint32{rows, rows[:9]} {
					got, want := make(histogram, len(b.cuts)), make(histogram, len(b.cuts))
					b.fill(got, rows, &q, columns.groups, newScratch(b))
					for _, r := range rows {
						for f := range m.Cols {
							if bin, ok := b.bin(r, f); ok {
								at := b.ptr[f] + uint32(bin)
								want[at] = want[at].plus(q.of(r))
							}
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s, %d columns, %d bins, %d rows: sums differ", name, m.Cols, maxBin, len(rows))
					}
				}
			}
		}
	}
}

// Nodes beyond the histogram budget are built anew and must split the same.
func TestHistogramBudgetDoesNotShow(t *testing.T) {
	m := mixed(3000, 8, "reg:squarederror")
	b := bins(t, m, 256)
	pairs := make([]gradPair, m.Rows)
	for i, y := range m.Label {
		pairs[i] = gradPair{-y, 1}
	}
	plain, err := newGrower(b, plainConfig("", 1).regular, 2, 0, place{}).grow(t.Context(), pairs, 0)
	if err != nil {
		t.Fatal(err)
	}
	poor := newGrower(b, plainConfig("", 1).regular, 2, 0, place{})
	poor.most = 1
	got, err := poor.grow(t.Context(), pairs, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(plain.value, got.value) || !slices.Equal(plain.feature, got.feature) {
		t.Error("a spent budget changes the tree")
	}
}

func FuzzCuts(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 128}, uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, bins uint8) {
		maxBin := int(bins) + 2
		var values []float32
		for ; len(b) >= 4; b = b[4:] {
			v := math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
			if v == v && !math.IsInf(float64(v), 0) {
				for range int(b[0])%40 + 1 {
					values = append(values, v)
				}
			}
		}
		all := slices.Clone(values)
		cuts := cutsOf(values, make([]float32, len(values)), maxBin)
		if !slices.IsSorted(values) {
			t.Fatal("values are not sorted")
		}
		if len(cuts) == 0 || len(cuts) > maxBin {
			t.Fatalf("%d cuts, at most %d", len(cuts), maxBin)
		}
		for i := 1; i < len(cuts); i++ {
			if !(cuts[i-1] < cuts[i]) {
				t.Fatalf("cuts do not rise: %v", cuts)
			}
		}
		x := &binned{cuts: cuts, ptr: []uint32{0, uint32(len(cuts))}}
		for _, c := range cuts {
			x.keys = append(x.keys, sortKey(c))
		}
		for _, v := range all {
			want := len(cuts) - 1
			for i, c := range cuts {
				if v < c {
					want = i
					break
				}
			}
			if got := x.find(0, v); got != want {
				t.Fatalf("%v is in bin %d of %v, want %d", v, got, cuts, want)
			}
		}
	})
}

func TestQuantizedPairs(t *testing.T) {
	inf, tiny := float32(math.Inf(1)), float32(math.SmallestNonzeroFloat32)
	for _, c := range []struct {
		name  string
		pairs []gradPair
		ok    bool
	}{
		{"whole hessians are kept exactly", []gradPair{{0.5, 1}, {-0.25, 1}, {0.125, 3}}, true},
		{"a row that outweighs the others", append(slices.Repeat([]gradPair{{1, 1}}, 4000), gradPair{1e8, 1}), true},
		{"next to nothing", []gradPair{{0, tiny}, {0, tiny}}, true},
		{"the largest numbers", []gradPair{{math.MaxFloat32, math.MaxFloat32}, {-math.MaxFloat32, 1}}, true},
		{"an infinite gradient", []gradPair{{inf, 1}}, false},
		{"no number", []gradPair{{1, inf - inf}, {1, 1}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q quantized
			if err := q.quantize(t.Context(), nil, c.pairs, 1); (err == nil) != c.ok {
				t.Fatalf("quantize reports %v", err)
			}
			if !c.ok {
				return
			}
			var g, h, most float64
			for i, p := range c.pairs {
				g, h, most = g+float64(p.g), h+float64(p.h), max(most, math.Abs(float64(p.g)), float64(p.h))
				if got := q.of(uint32(i)); math.Abs(float64(got.g)*q.unitG-float64(p.g)) > 1e-6*most {
					t.Fatalf("pair %d is %v of %v", i, float64(got.g)*q.unitG, p.g)
				}
			}
			var rows []uint32
			for i := range c.pairs {
				rows = append(rows, uint32(i))
			}
			sum := q.total(rows)
			if most < 1e-20 {
				return // counts as nothing
			}
			near(t, "sums", []float32{float32(float64(sum.g) * q.unitG / most), float32(float64(sum.h) * q.unitH / most)},
				[]float64{g / most, h / most}, 1e-5)
		})
	}
}

func TestDivergingTrainingIsTold(t *testing.T) {
	m := &algo.Matrix{
		Rows: 2, Cols: 1, Values: []float32{1, 2}, Label: []float32{3e38, -3e38}, Weight: []float32{10, 10},
	}
	c := plainConfig("reg:squarederror", 1)
	if _, err := boost(t.Context(), c, nil, m, nil, 1, silent); !algo.IsClientError(err) || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("error is %v", err)
	}
}
