// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"gonum.org/v1/gonum/floats"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// cloud is n rows of d features around 3, which vary less from one direction to
// the next.
func cloud(n, d int, falls float64) *algo.Matrix {
	rng := rand.New(rand.NewPCG(7, uint64(n*d)))
	mix := make([]float64, d*d)
	for i := range mix {
		mix[i] = rng.NormFloat64()
	}
	m := &algo.Matrix{Rows: n, Cols: d, Values: make([]float32, n*d)}
	for i := range n {
		row := make([]float64, d)
		scale := 1.0
		for j := range d {
			floats.AddScaled(row, scale*rng.NormFloat64(), mix[j*d:(j+1)*d])
			scale *= falls
		}
		for j, v := range row {
			m.Values[i*d+j] = float32(v) + 3
		}
	}
	return m
}

func TestAlgorithm(t *testing.T) {
	some := cloud(60, 5, 0.5)
	rows := &algo.Matrix{Rows: 3, Cols: 5, Values: []float32{0, 0, 0, 0, 0, 9, 9, 9, 1, 2, 0, 0, 5, 3, 1}}
	params := func(more ...string) map[string]string {
		p := map[string]string{"feature_dim": "5", "num_components": "2", "mini_batch_size": "20"}
		for i := 0; i < len(more); i += 2 {
			p[more[i]] = more[i+1]
		}
		return p
	}
	algotest.Run(t, New(), []algotest.Case{
		{Name: "regular", Params: params(), Channels: map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(some)), "test": algotest.Unlabelled(algotest.CSVText(cloud(9, 5, 0.5)))}, Rows: rows},
		{Name: "randomized", Params: params("algorithm_mode", "randomized"), Channels: map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(some))}, Rows: rows},
		{Name: "without subtracting the mean", Params: params("subtract_mean", "false"), Channels: map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(some))}, Rows: rows},
		{Name: "all records on all hosts", Params: params(), Rows: rows, Channels: map[string]algotest.Channel{
			"train": {ContentType: "text/csv;label_size=0", Files: algotest.Unlabelled(algotest.CSVText(some)).Files, Distribution: algotest.Replicated}}},
		{Name: "a constant column and all components", Params: params("num_components", "5"),
			Channels: map[string]algotest.Channel{"train": algotest.Unlabelled("1,0,3,7,7\n2,5,3,1,0\n4,4,3,0,2\n9,1,3,2,1\n0,3,3,3,8\n2,2,3,9,5\n")}, Rows: rows},
	})
}

// component is component j of m, counted from the largest, in float64.
func (m *Model) component(j int) []float64 {
	k := len(m.s)
	v := make([]float64, len(m.mean))
	for i := range v {
		v[i] = float64(m.v[i*k+k-1-j])
	}
	return v
}

// check compares m with the definition: components are orthonormal eigenvectors
// of the scatter matrix of rows, and the squares of s its largest eigenvalues.
func check(t *testing.T, m *Model, rows *algo.Matrix, subtract bool, tolerance float64) {
	t.Helper()
	d, k := rows.Cols, len(m.s)
	mean := make([]float64, d)
	if subtract {
		for at, v := range rows.Values {
			mean[at%d] += float64(v) / float64(rows.Rows)
		}
	}
	whole, told := 0.0, 0.0
	for i := range rows.Rows {
		for j, v := range rows.Row(i, nil) {
			whole += (float64(v) - mean[j]) * (float64(v) - mean[j])
		}
	}
	for j := range k {
		v, square := m.component(j), float64(m.s[k-1-j])*float64(m.s[k-1-j])
		told += square
		for o := range j {
			if dot := floats.Dot(v, m.component(o)); math.Abs(dot) > 1e-5 {
				t.Errorf("components %d and %d: %v", o, j, dot)
			}
		}
		if n := floats.Norm(v, 2); math.Abs(n-1) > 1e-5 {
			t.Errorf("component %d is of length %v", j, n)
		}
		if j > 0 && m.s[k-1-j] > m.s[k-j] {
			t.Errorf("s does not rise: %v", m.s)
		}
		most := 0
		for i, x := range v {
			if math.Abs(x) > math.Abs(v[most]) {
				most = i
			}
		}
		if v[most] < 0 {
			t.Errorf("component %d: the largest part is negative", j)
		}
		// Sv against λv.
		product := make([]float64, d)
		for i := range rows.Rows {
			dot := 0.0
			for c, x := range rows.Row(i, nil) {
				dot += (float64(x) - mean[c]) * v[c]
			}
			for c, x := range rows.Row(i, nil) {
				product[c] += dot * (float64(x) - mean[c])
			}
		}
		if off := math.Abs(floats.Dot(product, v) - square); off > tolerance*square+1e-6*whole {
			t.Errorf("component %d explains %v, but its singular value says %v", j, floats.Dot(product, v), square)
		}
		floats.AddScaled(product, -square, v)
		if off := floats.Norm(product, 2); off > math.Sqrt(tolerance)*square+1e-5*whole {
			t.Errorf("component %d is no eigenvector: off by %v of %v", j, off, square)
		}
	}
	if k == d && math.Abs(told-whole) > 1e-5*whole {
		t.Errorf("all components explain %v of %v", told, whole)
	}
}

func TestComponents(t *testing.T) {
	for _, c := range []struct {
		name, params string
		n, d, k      int
		falls        float64
	}{
		{"regular", `"algorithm_mode":"regular"`, 500, 20, 6, 0.8},
		{"all of them", `"algorithm_mode":"regular"`, 100, 7, 7, 0.8},
		{"without subtracting the mean", `"subtract_mean":"false"`, 200, 12, 3, 0.7},
		{"fewer records than features", `"algorithm_mode":"regular"`, 30, 400, 5, 0.9},
		{"more components than records", `"algorithm_mode":"regular"`, 4, 300, 8, 0.9},
		{"randomized", `"algorithm_mode":"randomized"`, 900, 60, 5, 0.8},
		{"randomized, by Hadamard's matrix", `"algorithm_mode":"randomized","extra_components":"150"`, 700, 200, 20, 0.9},
		{"randomized, of few records", `"algorithm_mode":"randomized"`, 3, 50, 4, 0.9},
		{"randomized, in small batches", `"algorithm_mode":"randomized"`, 300, 40, 4, 0.7},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows := cloud(c.n, c.d, c.falls)
			params := fmt.Sprintf(`{"feature_dim":"%d","num_components":"%d","mini_batch_size":"%d",%s}`, c.d, c.k, max(c.n/2, 7), c.params)
			log, m := algotest.Job[*Model](t, New(), params, map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(rows))})
			if m == nil {
				t.Fatal(log)
			}
			check(t, m, rows, !strings.Contains(c.params, "subtract_mean"), 1e-4)
			_, again := algotest.Job[*Model](t, New(), params, map[string]algotest.Channel{"train": algotest.RecordIO(rows, true)})
			if again == nil {
				t.Fatal("sparse records are refused")
			}
			check(t, again, rows, !strings.Contains(c.params, "subtract_mean"), 1e-4)
			for i, s := range m.s {
				if math.Abs(float64(s-again.s[i])) > 1e-3*float64(s)+1e-3 {
					t.Errorf("of sparse records the singular values are %v, of dense ones %v", again.s, m.s)
				}
			}
		})
	}
}

func TestTransform(t *testing.T) {
	x := []float32{1, 2, 3, 5, 7, 11, 13, 17}
	transform(x, 2) // four rows of two
	for i, want := range []float32{24, 35, -8, -9, -16, -21, 4, 3} {
		if x[i] != want {
			t.Fatalf("%v", x)
		}
	}
}

func TestUnusualData(t *testing.T) {
	const params = `{"feature_dim":"3","num_components":"2","mini_batch_size":"10"}`
	for name, c := range map[string]struct{ params, train, want string }{
		"too many components": {`{"feature_dim":"3","num_components":"4","mini_batch_size":"10"}`, "1,2,3\n", "ClientError: Hyperparameter num_components: 4 is more than feature_dim, which is 3"},
		"another dimension":   {params, "1,2,3\n1,2\n", "ClientError: train channel: file a.csv, line 2: "},
		"feature_dim":         {params, "1,2\n1,2\n", "ClientError: train channel: file a.csv, line 1: has 2 features, but feature_dim is 3"},
		"infinity":            {params, "1,2,3\n1,inf,3\n", "ClientError: train channel: file a.csv, line 2: column 2: \"inf\""},
		"text":                {params, "1,2,3\n1,x,3\n", "ClientError: train channel: file a.csv, line 2"},
		"nothing":             {params, "", "ClientError: train channel: "},
	} {
		t.Run(name, func(t *testing.T) {
			if got, m := algotest.Job[*Model](t, New(), c.params, map[string]algotest.Channel{"train": algotest.Unlabelled(c.train)}); m != nil || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	for name, train := range map[string]string{"one row": "1,2,3\n", "equal rows": "1,2,3\n1,2,3\n1,2,3\n", "zeros": "0,0,0\n0,0,0\n", "large": "1e30,1,2\n2e30,1,2\n", "small": "1e-35,0,0\n3e-35,1e-36,0\n"} {
		for _, mode := range []string{"regular", "randomized"} {
			_, m := algotest.Job[*Model](t, New(), strings.Replace(params, "{", `{"algorithm_mode":"`+mode+`",`, 1), map[string]algotest.Channel{"train": algotest.Unlabelled(train)})
			if m == nil {
				t.Fatalf("%s, %s: not trained", name, mode)
			}
			for i, v := range append(m.v, m.s...) {
				if v != v || math.IsInf(float64(v), 0) {
					t.Errorf("%s, %s: number %d of v and s is %v", name, mode, i, v)
				}
			}
		}
	}
	t.Run("one row of many features", func(t *testing.T) {
		wide := strings.Repeat("1,", 99999) + "5\n"
		if got, m := algotest.Job[*Model](t, New(), `{"feature_dim":"100000","num_components":"3","mini_batch_size":"10"}`, map[string]algotest.Channel{"train": algotest.Unlabelled(wide)}); m == nil {
			t.Error(got)
		}
	})
	for name, c := range map[string]struct{ rows, dims int }{"many of both": {20000, 20000}, "sparse and wide": {10000, 100000}} {
		table := &table{ctx: t.Context(), m: &algo.Matrix{Rows: c.rows, Cols: c.dims, Start: []int64{0}}, all: c.rows, dims: c.dims, threads: 1}
		if _, err := exact(table, 2); !algo.IsClientError(err) || !strings.Contains(err.Error(), "use algorithm_mode randomized") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogTellsTheScore(t *testing.T) {
	rows := cloud(300, 6, 0.5)
	log, m := algotest.Job[*Model](t, New(), `{"feature_dim":"6","num_components":"6","mini_batch_size":"50","_tuning_objective_metric":""}`, map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(rows)), "test": algotest.Unlabelled(algotest.CSVText(rows))})
	if m == nil || !strings.Contains(log, "#test_score (algo-1) : ('mse', ") || !strings.Contains(log, "#throughput_metric: host=algo-1, train throughput=") ||
		!strings.Contains(log, `"Total Batches Seen":{"sum":6`) {
		t.Error(log)
	}
	log, m = algotest.Job[*Model](t, New(), `{"feature_dim":"2","num_components":"1","mini_batch_size":"50"}`, map[string]algotest.Channel{"train": algotest.Unlabelled("1,5\n3,5\n"), "test": algotest.Unlabelled("2,5\n2,7\n")})
	if m == nil || !strings.Contains(log, "('mse', 2.0)") { // nothing, and 4
		t.Error(log)
	}
}

func TestLoad(t *testing.T) {
	good := []ndarray.Array{ // as AWS's, which has no fixed order
		{Name: "s", Shape: []int{2}, Values: []float32{1, 2}},
		{Name: "v", Shape: []int{3, 2}, Values: []float32{0, 1, 1, 0, 0, 0}},
		{Name: "mean", Shape: []int{1, 3}, Values: []float32{5, 6, 7}},
	}
	m, err := New().Load(fstest.MapFS{file: {Data: ndarray.Append(nil, good...)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 2, Cols: 3, Values: []float32{6, 8, 7, 5, 6, 100}})
	if err != nil || fmt.Sprint(p.Values) != "[2 1 0 0]" {
		t.Errorf("%v %v", p, err)
	}
	p, err = m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{6}, Index: []int32{0}, Start: []int64{0, 1}})
	if err != nil || fmt.Sprint(p.Values) != "[-6 1]" {
		t.Errorf("a sparse row: %v %v", p, err)
	}
	if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 4, Values: make([]float32, 4)}); !algo.IsClientError(err) {
		t.Errorf("four features: %v", err)
	}
	for name, bad := range map[string][]ndarray.Array{"without s": good[1:], "of other shapes": {good[0], good[1], {Name: "mean", Shape: []int{2}, Values: []float32{1, 2}}}} {
		if _, err := New().Load(fstest.MapFS{file: {Data: ndarray.Append(nil, bad...)}}); err == nil {
			t.Errorf("a model %s is loaded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(ndarray.Append(nil, ndarray.Array{Name: "mean", Shape: []int{1, 1}, Values: []float32{1}},
		ndarray.Array{Name: "v", Shape: []int{1, 1}, Values: []float32{1}}, ndarray.Array{Name: "s", Shape: []int{1}, Values: []float32{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: len(m.mean), Values: make([]float32, len(m.mean))}); err != nil {
			t.Error(err)
		}
	})
}
