// SPDX-License-Identifier: Apache-2.0

package rcf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// cloud is n rows around 0, and behind them odd ones far out. labels writes
// whether a row is odd in front of it.
func cloud(n, odd int, labels bool) string {
	rng := rand.New(rand.NewPCG(7, 7))
	var b strings.Builder
	for i := range n + odd {
		if labels {
			fmt.Fprintf(&b, "%d,", max(0, i-n+1)*min(1, n+odd-i))
		}
		shift := 0.0
		if i >= n {
			shift = 8
		}
		fmt.Fprintf(&b, "%.4f,%.4f,%.4f\n", rng.NormFloat64()+shift, rng.NormFloat64(), 2*rng.NormFloat64())
	}
	return b.String()
}

func channels(train, test string) map[string]algotest.Channel {
	all := map[string]algotest.Channel{"train": {ContentType: "text/csv;label_size=0", Files: map[string]string{"a.csv": train}, Distribution: algotest.Sharded}}
	if test != "" {
		all["test"] = algotest.Channel{ContentType: "text/csv;label_size=1", Files: map[string]string{"a.csv": test}, Distribution: algotest.Replicated}
	}
	return all
}

func TestAlgorithm(t *testing.T) {
	rows := &algo.Matrix{Rows: 3, Cols: 3, Values: []float32{0, 0, 0, 9, 9, 9, 0, 0, 5}}
	algotest.Run(t, New(), []algotest.Case{
		{Name: "a cloud", Params: map[string]string{"feature_dim": "3", "num_trees": "50", "num_samples_per_tree": "64"},
			Channels: channels(cloud(300, 0, false), cloud(200, 1, true)), Rows: rows,
			Long: map[string]string{"num_trees": "1000"}},
		{Name: "equal rows", Params: map[string]string{"feature_dim": "3", "num_trees": "50", "num_samples_per_tree": "16"},
			Channels: channels(strings.Repeat("1,2,3\n", 40), ""), Rows: rows},
		{Name: "fewer rows than trees", Params: map[string]string{"feature_dim": "3", "num_trees": "60"},
			Channels: channels(cloud(9, 0, false), ""), Rows: rows},
	})
}

func TestLog(t *testing.T) {
	const params = `{"feature_dim":"3","num_trees":"50"}`
	log, _ := algotest.Job[*Forest](t, New(), params, channels(cloud(500, 0, false), cloud(300, 1, true)))
	for _, want := range []string{"#test_score (algo-1) : ('recall', 1.0)", "#quality_metric: host=algo-1, test recall <score>=1.0",
		// The cloud has three rows of its own beyond three standard deviations.
		"test precision <score>=0.25", "test f1 <score>=0.4", "test accuracy <score>=0.9900332225913622", "#throughput_metric: host=algo-1, train throughput="} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
	log, _ = algotest.Job[*Forest](t, New(), `{"feature_dim":"3","num_trees":"50","eval_metrics":"[\"accuracy\"]"}`, channels(cloud(500, 0, false), cloud(300, 1, true)))
	if strings.Contains(log, "f1") || !strings.Contains(log, "accuracy") {
		t.Errorf("asked for accuracy alone, the log tells\n%s", log)
	}
}

func TestTheTestChannelIsReplicated(t *testing.T) {
	all := channels("1,2,3\n", "0,1,2,3\n")
	test := all["test"]
	test.Distribution = algotest.Sharded
	all["test"] = test
	const want = "ClientError: the test channel is ShardedByS3Key: Random Cut Forest takes it with S3DataDistributionType FullyReplicated only"
	if got, _ := algotest.Job[*Forest](t, New(), `{"feature_dim":"3"}`, all); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	// What the container's default configuration has beside the documented hyperparameters.
	if got, m := algotest.Job[*Forest](t, New(), `{"feature_dim":"3","epochs":"1","force_dense":"True","_ftp_port":"8999"}`, channels("1,2,3\n", "0,1,2,3\n")); m == nil {
		t.Error(got)
	}
}

func TestFailures(t *testing.T) {
	const params = `{"feature_dim":"3"}`
	for name, c := range map[string]struct {
		distribution              algotest.Distribution
		params, train, test, want string
	}{
		"replicated":        {algotest.Replicated, params, "1,2,3\n", "", "ClientError: the train channel is FullyReplicated: Random Cut Forest takes it with S3DataDistributionType ShardedByS3Key only"},
		"another dimension": {algotest.Sharded, params, "1,2,3\n1,2,3\n", "1,2,3\n", "ClientError: test channel: file a.csv, line 1: has 2 features behind the label, but feature_dim is 3"},
		"a gap":             {algotest.Sharded, params, "1,2,3\n1,,3\n", "", "ClientError: train channel: file a.csv, line 2: feature 2 is missing or NaN; a finite number was expected"},
		"another label":     {algotest.Sharded, params, "1,2,3\n", "1,1,2,3\n0.5,1,2,3\n", "ClientError: test channel: file a.csv, line 2: the label is 0.5; 0 (usual) or 1 (anomalous) was expected"},
		"too few trees":     {algotest.Sharded, `{"feature_dim":"3","num_trees":"5"}`, "1,2,3\n", "", "ClientError: Hyperparameter num_trees: 5 is not in [50, 1000]"},
	} {
		t.Run(name, func(t *testing.T) {
			all := channels(c.train, c.test)
			train := all["train"]
			train.Distribution = c.distribution
			all["train"] = train
			if got, _ := algotest.Job[*Forest](t, New(), c.params, all); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// slow is the score of x in a tree by the definition: each box is made from the
// points below.
func slow(f *Forest, tr *tree, x []float32) float64 {
	var below func(i int32) []int32
	below = func(i int32) []int32 {
		if n := tr.nodes[i]; n.dim != leaf {
			return append(below(i+1), below(n.right)...)
		}
		return []int32{tr.nodes[i].right}
	}
	var walk func(i int32, depth int) (score float64, inside bool)
	walk = func(i int32, depth int) (float64, bool) {
		n := tr.nodes[i]
		if n.dim == leaf {
			if !slices.Equal(f.point(n.right), x) {
				return 1 / float64(depth+1), false
			}
			if depth == 0 {
				return 0, true
			}
			return (1 - float64(n.mass)/float64(2*tr.nodes[0].mass)) / (float64(depth) + math.Log2(float64(n.mass)+1)), true
		}
		next := i + 1
		if float64(x[n.dim]) > n.cut {
			next = n.right
		}
		score, inside := walk(next, depth+1)
		var grown, wide float64
		for d, v := range x {
			low, high := math.Inf(1), math.Inf(-1)
			for _, p := range below(i) {
				low, high = min(low, float64(f.point(p)[d])), max(high, float64(f.point(p)[d]))
			}
			more := max(0, low-float64(v), float64(v)-high)
			grown, wide = grown+more, wide+high-low+more
		}
		if inside || grown == 0 {
			return score, true
		}
		return grown/wide/float64(depth+1) + (1-grown/wide)*score, false
	}
	score, _ := walk(0, 0)
	return score * math.Log2(float64(tr.nodes[0].mass)+1)
}

func TestScoreIsThatOfTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := &Forest{dims: 2, size: 40}
	var points []int32
	for i := range 40 {
		p := i
		if i%5 == 4 {
			p = i - 1 // the same point once more
		}
		r := rand.New(rand.NewPCG(3, uint64(p)))
		f.points = append(f.points, float32(r.NormFloat64()), float32(r.NormFloat64()))
		points = append(points, int32(i))
	}
	b := builder{f: f, rng: rng}
	b.build(points)
	f.trees = []tree{b.tree}
	f.bound(1)
	mass := 0
	for _, n := range f.trees[0].nodes {
		if n.dim == leaf {
			mass += int(n.mass)
		}
	}
	if mass != 40 || f.trees[0].nodes[0].mass != 40 {
		t.Errorf("the leaves hold %d of 40 points", mass)
	}
	for i := range 200 {
		x := []float32{float32(3 * rng.NormFloat64()), float32(3 * rng.NormFloat64())}
		if i%4 == 0 {
			x = f.point(int32(i % 40))
		}
		got, _ := f.trees[0].score(f, x, nil)
		if want := slow(f, &f.trees[0], x); math.Abs(got-want) > 1e-5 {
			t.Fatalf("row %v scores %v, want %v", x, got, want)
		}
	}
}

func TestReadRefusesBrokenForests(t *testing.T) {
	good := &Forest{dims: 1, size: 2, points: []float32{1, 2}, trees: []tree{{nodes: []node{{dim: 0, cut: 1, right: 2, mass: 2}, {dim: leaf, right: 0, mass: 1}, {dim: leaf, right: 1, mass: 1}}}}}
	for name, spoil := range map[string]func(n []node){
		"a right child before its cut": func(n []node) { n[0].right = 0 },
		"a right child outside":        func(n []node) { n[0].right = 3 },
		"a dimension that is none":     func(n []node) { n[0].dim = 1 },
		"a point that is none":         func(n []node) { n[1].right = 2 },
		"a leaf without mass":          func(n []node) { n[1].mass = 0 },
	} {
		f := *good
		f.trees = []tree{{nodes: slices.Clone(good.trees[0].nodes)}}
		spoil(f.trees[0].nodes)
		dir := t.TempDir()
		if err := f.Save(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := New().Load(os.DirFS(dir)); !algo.IsClientError(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	good := &Forest{dims: 1, size: 2, points: []float32{1, 2}, trees: []tree{{nodes: []node{{dim: 0, cut: 1, right: 2, mass: 2}, {dim: leaf, right: 0, mass: 1}, {dim: leaf, right: 1, mass: 1}}}}}
	if err := good.Save(dir); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, artifact))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := read(b)
		if err != nil || m.dims > 1000 {
			return
		}
		if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: m.dims, Values: make([]float32, m.dims)}); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	const dims, rows = 10, 2000
	rng := rand.New(rand.NewPCG(1, 2))
	m := &algo.Matrix{Rows: rows, Cols: dims, Values: make([]float32, rows*dims)}
	for i := range m.Values {
		m.Values[i] = float32(rng.NormFloat64())
	}
	f := &Forest{dims: dims, points: m.Values, size: 256}
	for range 100 {
		bb := builder{f: f, rng: rng}
		var points []int32
		for _, p := range rng.Perm(rows)[:256] {
			points = append(points, int32(p))
		}
		bb.build(points)
		f.trees = append(f.trees, bb.tree)
	}
	f.bound(1)
	scores := make([]float32, rows)
	for b.Loop() {
		f.score(m, 0, scores)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/100, "ns/row·tree")
}
