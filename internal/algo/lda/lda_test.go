// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gonum.org/v1/gonum/mathext"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// library is documents of some length from k topics over words, and the topics. A
// topic's words are its own but for a tenth.
func library(docs, words, k, length int) (*algo.Matrix, []float64) {
	rng := rand.New(rand.NewPCG(5, uint64(docs)))
	beta := make([]float64, k*words)
	for j := range k {
		sum := 0.0
		for w := range words {
			v := rng.ExpFloat64() * 0.1
			if w%k == j {
				v = rng.ExpFloat64()
			}
			beta[j*words+w] = v
			sum += v
		}
		for w := range words {
			beta[j*words+w] /= sum
		}
	}
	m := &algo.Matrix{Rows: docs, Cols: words, Values: make([]float32, docs*words)}
	pick := func(p []float64) int {
		x := rng.Float64()
		for i, v := range p {
			if x -= v; x < 0 {
				return i
			}
		}
		return len(p) - 1
	}
	for d := range docs {
		theta := make([]float64, k) // one topic for the most part
		main := rng.IntN(k)
		for j := range theta {
			theta[j] = 0.2 / float64(k)
		}
		theta[main] += 0.8
		for range length {
			j := pick(theta)
			m.Values[d*words+pick(beta[j*words:(j+1)*words])]++
		}
	}
	return m, beta
}

func TestAlgorithm(t *testing.T) {
	docs, _ := library(200, 20, 3, 30)
	rows := &algo.Matrix{Rows: 3, Cols: 20, Values: append(slices.Clone(docs.Values[:40]), make([]float32, 20)...)}
	params := map[string]string{"num_topics": "3", "feature_dim": "20", "mini_batch_size": "200"}
	algotest.Run(t, New(), []algotest.Case{
		{Name: "documents of three topics", Params: params, Rows: rows, Channels: map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(docs)), "test": algotest.Unlabelled(algotest.CSVText(docs))},
			Long: map[string]string{"max_iterations": "100000", "max_restarts": "3"}},
		{Name: "one topic of few words", Params: map[string]string{"num_topics": "1", "feature_dim": "20", "mini_batch_size": "9", "alpha0": "0.1"}, Rows: rows,
			Channels: map[string]algotest.Channel{"train": algotest.Unlabelled(strings.Repeat("1"+strings.Repeat(",0", 19)+"\n", 9))}},
	})
}

// nearest is the mean over the topics of the least Σ|β-β'| to one of others.
func nearest(beta []float64, others []float32, words int) float64 {
	sum := 0.0
	for from := 0; from < len(beta); from += words {
		least := math.Inf(1)
		for o := 0; o < len(others); o += words {
			d := 0.0
			for w := range words {
				d += math.Abs(beta[from+w] - float64(others[o+w]))
			}
			least = min(least, d)
		}
		sum += least
	}
	return sum * float64(words) / float64(len(beta))
}

func TestTopicsAreFound(t *testing.T) {
	docs, beta := library(1500, 60, 4, 50)
	const params = `{"num_topics":"4","feature_dim":"60","mini_batch_size":"1500","alpha0":"0.5"}`
	log, m := algotest.Job[*Model](t, New(), params, map[string]algotest.Channel{"train": algotest.Unlabelled(algotest.CSVText(docs)), "test": algotest.Unlabelled(algotest.CSVText(docs))})
	if m == nil {
		t.Fatal(log)
	}
	if d := nearest(beta, m.beta, 60); d > 0.15 {
		t.Errorf("the topics are off by %v of 2", d)
	}
	if !strings.Contains(log, "#quality_metric: host=algo-1, test pwll <score>=-3.") || !strings.Contains(log, "completed 100.0 % of epochs") {
		t.Error(log)
	}
	for j := range 4 {
		sum := 0.0
		for _, v := range m.beta[j*60 : (j+1)*60] {
			sum += float64(v)
		}
		if math.Abs(sum-1) > 1e-5 || m.alpha[j] < 0.05 || m.alpha[j] > 0.3 {
			t.Errorf("topic %d sums to %v, its weight is %v", j, sum, m.alpha[j])
		}
	}
	_, again := algotest.Job[*Model](t, New(), params, map[string]algotest.Channel{"train": algotest.RecordIO(docs, true)})
	if again == nil || !slices.Equal(m.beta, again.beta) || !slices.Equal(m.alpha, again.alpha) {
		t.Error("sparse records give another model than dense ones")
	}
}

// TestSpectral: the method of moments alone finds the topics, to some degree.
func TestSpectral(t *testing.T) {
	docs, beta := library(4000, 40, 3, 60)
	alpha, byWord, err := spectral(t.Context(), newCorpus(docs, true), 2, 0.4, 3, search{restarts: 10, iterations: 1000, tol: 1e-8, threads: 2})
	if err != nil || len(alpha) != 4 {
		t.Fatalf("%v %v", alpha, err)
	}
	width := widthOf(4)
	found := make([]float32, 4*40)
	for j := range 4 {
		for w := range 40 {
			found[j*40+w] = byWord[w*width+j]
		}
	}
	if d := nearest(beta, found, 40); d > 0.3 {
		t.Errorf("the topics are off by %v of 2", d)
	}
}

// TestMoments compares the products with moments made by the definition, over all
// pairs and triples of the words of a document.
func TestMoments(t *testing.T) {
	const words, k, alpha0 = 5, 3, 0.7
	docs := &algo.Matrix{Rows: 4, Cols: words, Values: []float32{2, 1, 0, 1, 0, 0, 3, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}}
	var m1 [words]float64
	var m2 [words][words]float64
	var m3 [words][words][words]float64
	for d := range 4 {
		var tokens []int
		for w, n := range docs.Row(d, nil) {
			for range int(n) {
				tokens = append(tokens, w)
			}
		}
		n := float64(len(tokens))
		for a, x := range tokens {
			m1[x] += 1 / n / 4
			for b, y := range tokens {
				if a == b {
					continue
				}
				m2[x][y] += 1 / (n * (n - 1)) / 3 // the last document has no pairs
				for c, z := range tokens {
					if c != a && c != b {
						m3[x][y][z] += 1 / (n * (n - 1) * (n - 2)) / 3
					}
				}
			}
		}
	}
	raw := m2
	for x := range words {
		for y := range words {
			m2[x][y] -= alpha0 / (alpha0 + 1) * m1[x] * m1[y]
			for z := range words {
				m3[x][y][z] += 2 * alpha0 * alpha0 / ((alpha0 + 1) * (alpha0 + 2)) * m1[x] * m1[y] * m1[z]
				m3[x][y][z] -= alpha0 / (alpha0 + 2) * (raw[x][y]*m1[z] + raw[x][z]*m1[y] + raw[y][z]*m1[x])
			}
		}
	}
	m := newMoments(newCorpus(docs, true), 2, alpha0)
	q := make([]float32, words*words) // M₂ times 1
	for i := range words {
		q[i*words+i] = 1
	}
	for i, v := range m.second(q, words) {
		if math.Abs(float64(v)-m2[i/words][i%words]) > 1e-6 {
			t.Errorf("M₂ %d is %v, want %v", i, v, m2[i/words][i%words])
		}
	}
	w, _, rank, err := m.whiten(t.Context(), k)
	if err != nil || rank < 2 {
		t.Fatalf("rank %d, %v", rank, err)
	}
	for a := range rank {
		for b := range rank {
			sum, want := 0.0, 0.0
			for x := range words {
				for y := range words {
					sum += float64(w[x*rank+a]) * m2[x][y] * float64(w[y*rank+b])
				}
			}
			if a == b {
				want = 1
			}
			if math.Abs(sum-want) > 1e-4 {
				t.Errorf("whitened M₂ %d %d is %v", a, b, sum)
			}
		}
	}
	third, err := m.third(t.Context(), w, rank)
	if err != nil {
		t.Fatal(err)
	}
	for at, got := range third {
		a, b, c := at/rank/rank, at/rank%rank, at%rank
		want := 0.0
		for x := range words {
			for y := range words {
				for z := range words {
					want += m3[x][y][z] * float64(w[x*rank+a]) * float64(w[y*rank+b]) * float64(w[z*rank+c])
				}
			}
		}
		if math.Abs(got-want) > 1e-3*max(1, math.Abs(want)) {
			t.Errorf("M₃ %d %d %d is %v, want %v", a, b, c, got, want)
		}
	}
}

func TestDecompose(t *testing.T) {
	const k = 6
	rng := rand.New(rand.NewPCG(1, 2))
	var want []part
	for j := range k {
		v := make([]float64, k)
		random(rng, want, v)
		want = append(want, part{float64(j + 1), v})
	}
	tensor := make([]float64, k*k*k)
	for _, p := range want {
		for at := range tensor {
			tensor[at] += p.lambda * p.v[at/k/k] * p.v[at/k%k] * p.v[at%k]
		}
	}
	found, err := decompose(t.Context(), tensor, k, search{restarts: 10, iterations: 100, tol: 1e-8, threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	for j, w := range want {
		ok := false
		for _, f := range found {
			dot := 0.0
			for i := range f.v {
				dot += f.v[i] * w.v[i]
			}
			ok = ok || math.Abs(dot-1) < 1e-6 && math.Abs(f.lambda-w.lambda) < 1e-5
		}
		if !ok {
			t.Errorf("part %d is not found", j)
		}
	}
	if found, err := decompose(t.Context(), make([]float64, 8), 2, search{restarts: 2, iterations: 5, tol: 1e-8}); err != nil || len(found) != 2 {
		t.Errorf("of the tensor 0: %v %v", found, err)
	}
}

func TestExpDigamma(t *testing.T) {
	for _, x := range []float64{1e-3, 0.01, 0.1, 0.5, 1, 2.5, 5.9, 6, 7, 20, 1e3, 1e8} {
		if got, want := expDigamma(x), math.Exp(mathext.Digamma(x)); math.Abs(got-want) > 1e-8*want {
			t.Errorf("%v: %v, want %v", x, got, want)
		}
	}
}

func TestUnusualData(t *testing.T) {
	const params = `{"num_topics":"3","feature_dim":"4","mini_batch_size":"10"}`
	for name, c := range map[string]struct{ params, train, want string }{
		"a negative count":  {params, "1,2,3,0\n1,-2,3,0\n", "ClientError: train channel: file a.csv, line 2: feature 2 is -2; the count of a word, from 0 to 1e15, was expected"},
		"another dimension": {params, "1,2,3\n", "ClientError: train channel: file a.csv, line 1: has 3 features, but feature_dim is 4"},
		"no words":          {params, "0,0,0,0\n0,0,0,0\n", "ClientError: train channel: the documents hold no words: all counts are 0"},
		"nothing":           {params, "", "ClientError: train channel: "},
		"no topics":         {`{"num_topics":"0","feature_dim":"4","mini_batch_size":"10"}`, "1,2,3,4\n", "ClientError: Hyperparameter num_topics: 0 is not in [1, +inf)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, m := algotest.Job[*Model](t, New(), c.params, map[string]algotest.Channel{"train": algotest.Unlabelled(c.train)}); m != nil || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	for name, train := range map[string]string{
		"one document": "1,2,3,0\n", "one word": "1,0,0,0\n0,1,0,0\n0,0,1,0\n", "two words": "1,1,0,0\n0,1,1,0\n",
		"fractions": "0.5,0.25,0,1.5\n2.5,0,0,0.1\n", "large": "1e9,1e9,3,0\n5,1e9,0,1e9\n", "equal documents": strings.Repeat("2,1,0,4\n", 50),
		"an empty document": "0,0,0,0\n5,3,2,1\n1,2,9,1\n", "more topics than words": "1,2,3,4\n5,0,1,2\n",
	} {
		for _, k := range []int{1, 3, 7} {
			log, m := algotest.Job[*Model](t, New(), strings.Replace(params, "3", fmt.Sprint(k), 1), map[string]algotest.Channel{"train": algotest.Unlabelled(train), "test": algotest.Unlabelled(train)})
			if m == nil {
				t.Fatalf("%s, %d topics: not trained: %s", name, k, log)
			}
			for i, v := range append(m.beta, m.alpha...) {
				if !(v > 0) || math.IsInf(float64(v), 0) {
					t.Errorf("%s, %d topics: number %d of beta and alpha is %v", name, k, i, v)
				}
			}
		}
	}
}

func TestLoad(t *testing.T) {
	arrays := []ndarray.Array{{Shape: []int{2}, Values: []float32{0.5, 0.5}}, {Shape: []int{2, 3}, Values: []float32{1, 0, 0, 0, 0.5, 0.5}}}
	m, err := New().Load(fstest.MapFS{file: {Data: ndarray.Append(nil, arrays...)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 3, Cols: 3, Values: []float32{9, 0, 0, 0, 4, 5, 0, 0, 0}})
	if err != nil || p.Width != 2 || math.Abs(float64(p.Values[0])-0.95) > 1e-3 || math.Abs(float64(p.Values[3])-0.95) > 1e-3 || p.Values[4] != 0.5 {
		t.Errorf("%v %v", p, err)
	}
	for _, bad := range []*algo.Matrix{{Rows: 1, Cols: 4, Values: make([]float32, 4)}, {Rows: 1, Cols: 3, Values: []float32{1, -1, 0}}, {Rows: 1, Cols: 3, Values: []float32{1, float32(math.NaN()), 0}}} {
		if _, err := m.Predict(t.Context(), bad); !algo.IsClientError(err) {
			t.Errorf("%v: %v", bad.Values, err)
		}
	}
	for name, bad := range map[string][]ndarray.Array{"without beta": arrays[:1], "turned round": {arrays[1], arrays[0]}, "of weight 0": {{Shape: []int{2}, Values: make([]float32, 2)}, arrays[1]}} {
		if _, err := New().Load(fstest.MapFS{file: {Data: ndarray.Append(nil, bad...)}}); err == nil {
			t.Errorf("a model %s is loaded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(ndarray.Append(nil, ndarray.Array{Shape: []int{1}, Values: []float32{1}}, ndarray.Array{Shape: []int{1, 1}, Values: []float32{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: m.words, Values: make([]float32, m.words)}); err != nil {
			t.Error(err)
		}
	})
}
