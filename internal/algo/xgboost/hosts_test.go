// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// slice is rows lo to hi of m, in memory of its own.
func slice(m *algo.Matrix, lo, hi int) *algo.Matrix {
	part := &algo.Matrix{Rows: hi - lo, Cols: m.Cols}
	if m.Sparse() {
		from, to := m.Start[lo], m.Start[hi]
		part.Values, part.Index = slices.Clone(m.Values[from:to]), slices.Clone(m.Index[from:to])
		for _, at := range m.Start[lo : hi+1] {
			part.Start = append(part.Start, at-from)
		}
		part.Cols = 0 // as a reader would have it: what occurs
		for _, f := range part.Index {
			part.Cols = max(part.Cols, int(f)+1)
		}
	} else {
		part.Values = slices.Clone(m.Values[lo*m.Cols : hi*m.Cols])
	}
	part.Label = slices.Clone(m.Label[lo:hi])
	if m.Groups != nil && lo < hi {
		part.Groups = []int{0}
		for _, end := range m.Groups {
			if end > lo && end <= hi {
				part.Groups = append(part.Groups, end-lo)
			}
		}
	}
	if m.Weight != nil {
		part.Weight = slices.Clone(m.Weight[lo:hi])
	}
	return part
}

// evenly is where n hosts' rows end when each has about as many.
func evenly(rows, n int) []int {
	var ends []int
	for i := range n {
		ends = append(ends, (i+1)*rows/n)
	}
	return ends
}

// learned is what a training run gives.
type learned struct {
	model *Model
	bytes []byte
	lines []string
}

func learn(ctx context.Context, c config, peers *collective.Group, train, valid *algo.Matrix) (l learned, err error) {
	l.model, err = boost(ctx, &c, peers, train, valid, 2, func(_ string, args ...any) { l.lines = append(l.lines, args[0].(string)) })
	if err != nil {
		return l, err
	}
	var b bytes.Buffer
	err = l.model.WriteUBJ(&b)
	l.bytes = b.Bytes()
	return l, err
}

// learnOn trains over hosts that have the rows of m up to ends, and of valid in
// equal parts.
func learnOn(t testing.TB, c *config, m, valid *algo.Matrix, ends []int) []learned {
	t.Helper()
	all := make([]learned, len(ends))
	for rank, err := range algotest.Together(t, len(ends), func(peers *collective.Group) (err error) {
		rank, from := peers.Rank(), 0
		if rank > 0 {
			from = ends[rank-1]
		}
		var part *algo.Matrix
		if valid != nil {
			part = slice(valid, rank*valid.Rows/len(ends), (rank+1)*valid.Rows/len(ends))
		}
		all[rank], err = learn(t.Context(), *c, peers, slice(m, from, ends[rank]), part)
		return err
	}) {
		if err != nil {
			t.Fatalf("host %d: %v", rank+1, err)
		}
	}
	return all
}

// Where no host has too many different values the bins are those of one host,
// the sums are integers, and so nothing tells how many hosts there were: the
// models are the same to the byte.
func TestHostsLearnTheModelOfOneHost(t *testing.T) {
	for _, c := range []struct {
		name      string
		objective string
		rows      int
		form      func(*algo.Matrix) *algo.Matrix
		set       func(*config)
	}{
		{"bytes", "binary:logistic", 1200, nil, func(*config) {}},
		{"shorts", "reg:squarederror", 1000, nil, func(c *config) { c.maxBin, c.maxDepth = 400, 3 }},
		{"sparse", "reg:squarederror", 1000, sparse, func(*config) {}},
		{"wide sparse", "binary:logistic", 1000, func(m *algo.Matrix) *algo.Matrix { return wide(sparse(m)) }, func(*config) {}},
		{"by loss", "reg:squarederror", 1000, nil, func(c *config) { c.lossguide, c.maxLeaves, c.maxDepth = true, 40, 0 }},
		{"draws of rows and columns", "multi:softprob", 1000, nil, func(c *config) {
			c.classes, c.subsample, c.byTree, c.byLevel, c.byNode, c.parallelTrees, c.seed = 3, 0.6, 0.8, 0.8, 0.8, 2, 7
		}},
		{"so few rows drawn that often there is one at most", "reg:squarederror", 60, nil, func(c *config) {
			c.subsample, c.minChildWeight, c.rounds = 0.01, 0, 20
		}},
		{"counts", "count:poisson", 1200, func(m *algo.Matrix) *algo.Matrix {
			for i, y := range m.Label {
				m.Label[i] = float32(math.Floor(math.Abs(float64(y))))
			}
			return m
		}, func(c *config) { c.maxDeltaStep = 0.7 }},
		{"one row outweighs the others", "reg:squarederror", 1000, func(m *algo.Matrix) *algo.Matrix {
			m.Label[17] = 1e8
			return m
		}, func(*config) {}},
		{"deep trees without limits of weight", "reg:squarederror", 400, nil, func(c *config) { c.minChildWeight, c.lambda, c.maxDepth, c.maxBin = 0, 0.1, 12, 32 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mixed(c.rows, 11, c.objective)
			if c.form != nil {
				m = c.form(m)
			}
			config := plainConfig(c.objective, 3)
			config.maxBin, config.maxDepth = 64, 5
			c.set(config)
			one, err := learn(t.Context(), *config, nil, slice(m, 0, m.Rows), nil)
			if err != nil {
				t.Fatal(err)
			}
			n := m.Rows
			divided := map[string][]int{"2": evenly(n, 2), "3, one without rows and one with a single one,": {0, n - 1, n}}
			if c.name == "bytes" {
				divided["more than features"] = evenly(n, 13)
			}
			for name, ends := range divided {
				for rank, l := range learnOn(t, config, m, nil, ends) {
					if !bytes.Equal(l.bytes, one.bytes) {
						t.Errorf("%s hosts: host %d has another model", name, rank+1)
					}
				}
			}
		})
	}
}

// Labels and weights that are no whole numbers make the intercept a matter of
// the order of sums, hence of rounding.
func TestHostsLearnNearlyTheModelOfOneHostFromWeights(t *testing.T) {
	m := mixed(1500, 8, "reg:squarederror")
	for i := range m.Label {
		m.Weight = append(m.Weight, float32(i%7)+0.3)
	}
	c := plainConfig("reg:squarederror", 10)
	one, err := learn(t.Context(), *c, nil, slice(m, 0, m.Rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := one.model.Predict(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range learnOn(t, c, m, nil, evenly(m.Rows, 3)) {
		got, err := l.model.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.Values {
			if d := math.Abs(float64(got.Values[i] - want.Values[i])); d > 1e-5*max(1, math.Abs(float64(want.Values[i]))) {
				t.Fatalf("row %d: %v on hosts, %v on one", i, got.Values[i], want.Values[i])
			}
		}
	}
}

// With so many different values that each host tells of its own in summaries,
// bins differ a little: predictions do not agree row by row, but are as good.
func TestHostsLearnAsWellFromManyDifferentValues(t *testing.T) {
	all := higgsLike(12_000)
	m, held := slice(all, 0, 8_000), slice(all, 8_000, 12_000)
	c := plainConfig("binary:logistic", 10)
	c.metrics, c.maxBin, c.exact = []string{"auc", "logloss"}, 32, 1 // summaries of 512 runs
	one, err := learn(t.Context(), *c, nil, slice(m, 0, m.Rows), slice(held, 0, held.Rows))
	if err != nil {
		t.Fatal(err)
	}
	value := func(l learned, metric string) (v float64) {
		last := l.lines[len(l.lines)-1]
		_, text, ok := strings.Cut(last, "validation-"+metric+":")
		if _, err := fmt.Sscan(text, &v); !ok || err != nil {
			t.Fatalf("line %q: %v", last, err)
		}
		return v
	}
	for _, n := range []int{2, 3} {
		hosts := learnOn(t, c, m, held, evenly(m.Rows, n))
		again := hosts
		if n == 3 || !raced {
			again = learnOn(t, c, m, held, evenly(m.Rows, n))
		}
		for rank := range hosts {
			if !bytes.Equal(hosts[rank].bytes, hosts[0].bytes) || !bytes.Equal(hosts[rank].bytes, again[rank].bytes) {
				t.Errorf("%d hosts: host %d has another model, or not the same one twice", n, rank+1)
			}
		}
		// Told one by one, as they are by default, they give the very model of one host.
		exact := *c
		exact.exact = 0
		if n == 2 || !raced {
			if same := learnOn(t, &exact, m, held, evenly(m.Rows, n)); !bytes.Equal(same[0].bytes, one.bytes) {
				t.Errorf("%d hosts that tell each value have another model than one", n)
			}
		}
		// One host with 30 to 34 bins in place of 32 moves by as much.
		for metric, apart := range map[string]float64{"auc": 0.006, "logloss": 0.008} {
			a, b := value(one, metric), value(hosts[0], metric)
			t.Logf("%s: one host %.5f, %d hosts %.5f", metric, a, n, b)
			if math.Abs(a-b) > apart {
				t.Errorf("%s: one host %v, %d hosts %v", metric, a, n, b)
			}
		}
	}
}

// The lines of the log are those of one host, digit by digit, and only the
// first host prints them.
func TestHostsShowTheMetricsOfOneHost(t *testing.T) {
	for _, c := range []struct {
		objective, metrics string
		weights            bool
	}{
		{"binary:logistic", "auc,aucpr,logloss,error,error@0.3,rmse,mae,accuracy,balanced_accuracy,f1,f1_binary,precision,recall,precision_micro", false},
		{"binary:logistic", "auc,aucpr,logloss,error", true},
		{"reg:squarederror", "rmse,mae,mape,mphe,mse,r2", false},
		{"multi:softprob", "mlogloss,merror,accuracy,f1_macro,precision_macro,recall_macro,balanced_accuracy", false},
	} {
		t.Run(c.objective, func(t *testing.T) {
			m, valid := mixed(900, 6, c.objective), mixed(400, 6, c.objective)
			if c.weights {
				for i := range m.Rows {
					m.Weight = append(m.Weight, float32(i%3)+0.5)
				}
			}
			config := plainConfig(c.objective, 6)
			config.metrics, config.patience = strings.Split(c.metrics, ","), 3
			if c.objective == "multi:softprob" {
				config.classes = 3
			}
			one, err := learn(t.Context(), *config, nil, slice(m, 0, m.Rows), slice(valid, 0, valid.Rows))
			if err != nil {
				t.Fatal(err)
			}
			for rank, l := range learnOn(t, config, m, valid, []int{400, 400, 900}) {
				want := one.lines
				if rank > 0 {
					want = nil
				}
				if !slices.Equal(l.lines, want) {
					t.Errorf("host %d prints\n%s\none host\n%s", rank+1, strings.Join(l.lines, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

func TestEarlyStoppingOnHosts(t *testing.T) {
	m, valid := mixed(900, 6, "binary:logistic"), mixed(301, 6, "binary:logistic")
	c := plainConfig("binary:logistic", 500)
	c.metrics, c.patience = []string{"auc"}, 4
	one, err := learn(t.Context(), *c, nil, slice(m, 0, m.Rows), slice(valid, 0, valid.Rows))
	if err != nil {
		t.Fatal(err)
	}
	best, ok := one.model.BestIteration()
	if !ok || len(one.lines) >= 500 {
		t.Fatalf("one host does not stop early: %d rounds", len(one.lines))
	}
	for rank, l := range learnOn(t, c, m, valid, evenly(m.Rows, 3)) {
		if got, _ := l.model.BestIteration(); got != best || l.model.NumRounds() != one.model.NumRounds() {
			t.Errorf("host %d stops after %d rounds with the best %d; one host %d, %d", rank+1, l.model.NumRounds(), got, one.model.NumRounds(), best)
		}
	}
}

// As in the container replicated data counts once for each host.
func TestReplicatedDataCountsOnEachHost(t *testing.T) {
	m := mixed(600, 5, "reg:squarederror")
	twice := slice(m, 0, m.Rows)
	twice.Rows *= 2
	twice.Values, twice.Label = append(twice.Values, m.Values...), append(twice.Label, m.Label...)
	c := plainConfig("reg:squarederror", 5)
	one, err := learn(t.Context(), *c, nil, slice(twice, 0, twice.Rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	for rank, l := range learnOn(t, c, twice, nil, []int{600, 1200}) {
		if !bytes.Equal(l.bytes, one.bytes) {
			t.Errorf("host %d has another model", rank+1)
		}
	}
}

// The histogram budget must not show on hosts either.
func TestHistogramBudgetDoesNotShowOnHosts(t *testing.T) {
	m := mixed(3000, 8, "reg:squarederror")
	pairs := make([]gradPair, m.Rows)
	for i, y := range m.Label {
		pairs[i] = gradPair{-y, 1}
	}
	want, err := newGrower(bins(t, m, 256), plainConfig("", 1).regular, 2, 0, place{}).grow(t.Context(), pairs, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{1, 3} {
		for rank, err := range algotest.Together(t, 2, func(peers *collective.Group) error {
			lo, hi := peers.Rank()*m.Rows/2, (peers.Rank()+1)*m.Rows/2
			part := slice(m, lo, hi)
			at, err := settle(t.Context(), peers, "train", part)
			if err != nil {
				return err
			}
			c, err := cutAcross(t.Context(), peers, nil, part, 256, 1, 1)
			if err != nil {
				return err
			}
			b, err := newBinned(nil, part, c, 1)
			if err != nil {
				return err
			}
			g := newGrower(b, plainConfig("", 1).regular, 2, 0, at)
			g.most = most
			got, err := g.grow(t.Context(), pairs[lo:hi], 0)
			if err == nil && (!slices.Equal(want.value, got.value) || !slices.Equal(want.feature, got.feature)) {
				err = fmt.Errorf("a budget of %d changes the tree", most)
			}
			return err
		}) {
			if err != nil {
				t.Errorf("host %d: %v", rank+1, err)
			}
		}
	}
}

func TestWhatHostsRefuse(t *testing.T) {
	table := func(rows, cols int) *algo.Matrix {
		return &algo.Matrix{Rows: rows, Cols: cols, Values: make([]float32, rows*cols), Label: make([]float32, rows)}
	}
	infinite := table(3, 2)
	infinite.Values[3] = float32(math.Inf(1))
	for _, c := range []struct {
		name   string
		parts  [2]*algo.Matrix
		first  string // what the first host says
		second string
	}{
		{"no rows anywhere", [2]*algo.Matrix{table(0, 0), table(0, 0)}, "No data in train channel", "No data in train channel"},
		{"tables of different width", [2]*algo.Matrix{table(2, 3), table(2, 4)}, "3 features on host algo-1 and 4 on host algo-2", "3 features on host algo-1 and 4 on host algo-2"},
		{"an infinite value on one host", [2]*algo.Matrix{table(2, 2), infinite}, "host algo-2 failed: train channel: input data contains an infinite value in feature 1", "infinite value in feature 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := algotest.Together(t, 2, func(peers *collective.Group) error {
				_, err := learn(t.Context(), *plainConfig("reg:squarederror", 2), peers, c.parts[peers.Rank()], nil)
				return err
			})
			for rank, want := range []string{c.first, c.second} {
				if failed[rank] == nil || !strings.Contains(failed[rank].Error(), want) {
					t.Errorf("host %d: %v, want %q", rank+1, failed[rank], want)
				}
			}
		})
	}
}

// A stop that one host hears of is one for all, after the same round.
func TestAStopEndsAllHostsAfterTheSameRound(t *testing.T) {
	m := mixed(400, 4, "binary:logistic")
	for _, keep := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		c := plainConfig("binary:logistic", 1_000_000)
		c.keepOnStop = keep
		rounds := make([]int, 2)
		failed := algotest.Together(t, 2, func(peers *collective.Group) error {
			own := t.Context()
			if peers.Rank() == 0 {
				own = ctx
			}
			lines := 0
			model, err := boost(own, c, peers, slice(m, peers.Rank()*200, peers.Rank()*200+200), nil, 1, func(string, ...any) {
				if lines++; lines == 5 {
					cancel()
				}
			})
			if model != nil {
				rounds[peers.Rank()] = model.NumRounds()
			}
			return err
		})
		if keep {
			if failed[0] != nil || failed[1] != nil || rounds[0] != 5 || rounds[1] != 5 {
				t.Errorf("kept %v rounds, errors %v", rounds, failed)
			}
			continue
		}
		if failed[0] == nil || !strings.Contains(failed[0].Error(), "context canceled") {
			t.Errorf("the first host: %v", failed[0])
		}
		// The second when the first host is gone before the other reads on.
		if failed[1] == nil || !strings.Contains(failed[1].Error(), "host algo-1 was told to stop") && !strings.Contains(failed[1].Error(), "host algo-1 failed: context canceled") {
			t.Errorf("the second host: %v", failed[1])
		}
	}
}
