// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// blobs is n rows of d numbers around k points.
func blobs(n, d, k int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	at := make([]float32, k*d)
	for i := range at {
		at[i] = float32(rng.NormFloat64() * 10)
	}
	v := make([]float32, n*d)
	for i := range n {
		c := rng.IntN(k)
		for j := range d {
			v[i*d+j] = at[c*d+j] + float32(rng.NormFloat64())
		}
	}
	return v
}

func csv(v []float32, d int) string {
	var b strings.Builder
	for i, x := range v {
		if i%d > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, x)
		if i%d == d-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func unlabelled(text string) algotest.Channel {
	return algotest.Channel{ContentType: "text/csv;label_size=0", Files: map[string]string{"data.csv": text}}
}

func TestConforms(t *testing.T) {
	const d = 4
	v := blobs(600, d, 5, 1)
	rows := &algo.Matrix{Rows: 50, Cols: d, Values: v[:50*d]}
	algotest.Run(t, New(), []algotest.Case{
		{
			Name:     "one batch and a test channel",
			Params:   map[string]string{"k": "5", "feature_dim": "4"},
			Channels: map[string]algotest.Channel{"train": unlabelled(csv(v[:500*d], d)), "test": unlabelled(csv(v[500*d:], d))},
			Rows:     rows,
			Long:     map[string]string{"epochs": "1000000"},
		},
		{
			Name: "small batches and k-means++",
			Params: map[string]string{"k": "3", "feature_dim": "4", "mini_batch_size": "50", "epochs": "2", "init_method": "kmeans++",
				"extra_center_factor": "4", "half_life_time_size": "100", "local_lloyd_init_method": "random", "local_lloyd_num_trials": "3"},
			Channels: map[string]algotest.Channel{"train": unlabelled(csv(v, d))},
			Rows:     rows,
		},
	})
}

func TestClustersAreFound(t *testing.T) {
	const d, k = 5, 12
	v := blobs(2000, d, k, 3)
	for name, extra := range map[string]map[string]string{
		"by default":       {},
		"in small batches": {"mini_batch_size": "200", "epochs": "3"},
		"with decay":       {"mini_batch_size": "500", "half_life_time_size": "1000", "init_method": "kmeans++"},
		"of twice as many": {"extra_center_factor": "2", "init_method": "kmeans++", "mini_batch_size": "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			params := map[string]string{"k": "12", "feature_dim": "5", "eval_metrics": `["msd", "ssd"]`}
			maps.Copy(params, extra)
			m, log, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{"train": unlabelled(csv(v, d)), "test": unlabelled(csv(v[:500*d], d))})
			if err != nil {
				t.Fatal(err)
			}
			for _, metric := range New().Spec().Metrics {
				found := regexp.MustCompile(metric.Regex).FindStringSubmatch(log)
				if found == nil {
					t.Fatalf("no %s in\n%s", metric.Name, log)
				}
				value, err := strconv.ParseFloat(found[1], 64)
				if err != nil {
					t.Errorf("%s: %v", metric.Name, err)
				}
				// Rows are spread by 1 in each direction.
				if strings.HasSuffix(metric.Name, "msd") && (value < 0.9*d || value > 1.15*d) {
					t.Errorf("%s is %v, about %d was expected", metric.Name, value, d)
				}
			}
			p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 2000, Cols: d, Values: v})
			if err != nil {
				t.Fatal(err)
			}
			used := map[float32]bool{}
			for i := range 2000 {
				used[p.Values[2*i]] = true
			}
			if len(used) != k {
				t.Errorf("%d of %d clusters are used", len(used), k)
			}
		})
	}
}

func TestMetricsAreFoundInTheLog(t *testing.T) {
	text := algotest.Unlabelled("1,2\n1,3\n9,9\n8,9\n")
	_, log, err := algotest.Train[*Model](t, New(), map[string]string{"feature_dim": "2", "k": "2", "eval_metrics": `["msd", "ssd"]`}, map[string]algotest.Channel{"train": text, "test": text})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range New().Spec().Metrics {
		if !regexp.MustCompile(m.Regex).MatchString(log) {
			t.Errorf("%s: nothing in the log matches %s", m.Name, m.Regex)
		}
	}
	for _, line := range []string{"'extra_center_factor' was set to 'auto', evaluated to 10.", "shrinking 4 centers into 2", "local kmeans attempt #9. Current mean square distance ",
		"finished shrinking process. Mean Square Distance = ", "#quality_metric: host=algo-1, test msd <loss>=0.25\n", "#quality_metric: host=algo-1, test ssd <loss>=1.0\n"} {
		if !strings.Contains(log, line) {
			t.Errorf("%q is not in the log:\n%s", line, log)
		}
	}
}

func TestBadData(t *testing.T) {
	params := map[string]string{"k": "2", "feature_dim": "2"}
	for name, c := range map[string]struct {
		contentType, train, test string
		want                     string
	}{
		"fewer rows than clusters": {"text/csv;label_size=0", "1,2\n", "", "train channel: 1 rows, but k is 2"},
		"another length":           {"text/csv;label_size=0", "1,2,3\n1,2,3\n", "", "train channel: file data.csv, line 1: has 3 features, but feature_dim is 2"},
		"a label too many":         {"text/csv", "1,2\n3,4\n", "", "has 1 feature and a label, which a CSV without the content type text/csv;label_size=0 has, but feature_dim is 2"},
		"NaN":                      {"text/csv;label_size=0", "1,2\n3,nan\n", "", "train channel: file data.csv, line 2: feature 2 is missing or NaN"},
		"infinity":                 {"text/csv;label_size=0", "1,2\n3,4\n", "5,inf\n", "test channel: file data.csv, line 1: column 2: \"inf\" is not a finite number"},
		"text":                     {"text/csv;label_size=0", "1,2\n3,four\n", "", "train channel: file data.csv, line 2"},
		"too large a number":       {"text/csv;label_size=0", "1,2\n3,4e30\n", "", "train channel: file data.csv, line 2: feature 2 is 4e+30; a number from -1e15 to 1e15"},
		"another content type":     {"text/libsvm", "1,2\n", "", "text/libsvm is not an accepted ContentType"},
		"cut off RecordIO":         {"application/x-recordio-protobuf", "\x0a\x23\xd7\xce\x2c\x00\x00\x00abc", "", "train channel: file data.csv, record 1"},
	} {
		t.Run(name, func(t *testing.T) {
			channels := map[string]algotest.Channel{"train": {ContentType: c.contentType, Files: map[string]string{"data.csv": c.train}}}
			if c.test != "" {
				channels["test"] = algotest.Channel{ContentType: c.contentType, Files: map[string]string{"data.csv": c.test}}
			}
			_, _, err := algotest.Train[*Model](t, New(), params, channels)
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestWhatIsLegalIsLearned(t *testing.T) {
	for name, c := range map[string]struct {
		k    string
		rows []float32
		d    int
		msd  float64
	}{
		"one row":                          {"1", []float32{1, 2}, 2, 0},
		"one column":                       {"2", []float32{1, 1, 5, 5}, 1, 0},
		"constant columns":                 {"3", []float32{1, 2, 1, 2, 1, 2, 1, 2}, 2, 0},
		"as many clusters as rows":         {"4", []float32{1, 2, 3, 4, 5, 6, 7, 9}, 2, 0},
		"a small spread far away":          {"2", []float32{1e6, 1e6, 1e6 + 1, 1e6 + 1}, 1, 0},
		"one that is far from all others":  {"2", []float32{0, 1, 2, 1e4}, 1, 0.5},
		"more clusters than rows that are": {"3", []float32{7, 7, 7, 8}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, init := range methodNames {
				m, _, err := algotest.Train[*Model](t, New(), map[string]string{"k": c.k, "feature_dim": strconv.Itoa(c.d), "init_method": init},
					map[string]algotest.Channel{"train": unlabelled(csv(c.rows, c.d))})
				if err != nil {
					t.Fatal(err)
				}
				n := len(c.rows) / c.d
				p, err := m.Predict(t.Context(), &algo.Matrix{Rows: n, Cols: c.d, Values: c.rows})
				if err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for i := range n {
					sum += float64(p.Values[2*i+1]) * float64(p.Values[2*i+1])
				}
				if math.Abs(sum/float64(n)-c.msd) > 1e-6 {
					t.Errorf("%s: mean squared distance %v, want %v: centres %v", init, sum/float64(n), c.msd, m.centres)
				}
			}
		})
	}
}

// recordIO is rows as RecordIO, dense or as what is not 0 of them.
func recordIO(v []float32, d int, sparse bool) algotest.Channel {
	var b strings.Builder
	w := recordio.NewWriter(&b)
	for from := 0; from < len(v); from += d {
		value := recordio.Value{Kind: recordio.Float32, Float32: v[from : from+d]}
		if sparse {
			value.Float32, value.Shape = nil, []uint64{uint64(d)}
			for i, x := range v[from : from+d] {
				if x != 0 {
					value.Float32, value.Keys = append(value.Float32, x), append(value.Keys, uint64(i))
				}
			}
		}
		rec := recordio.Record{Features: recordio.Values{{Name: recordio.Vector, Value: value}}}
		if err := w.Write(rec.Append(nil)); err != nil {
			panic(err)
		}
	}
	return algotest.Channel{ContentType: "application/x-recordio-protobuf", Files: map[string]string{"a.pbr": b.String()}}
}

func TestSparseRowsGiveTheSameModel(t *testing.T) {
	for _, d := range []int{10, wide + 7} {
		rng := rand.New(rand.NewPCG(7, 7))
		v := make([]float32, 300*d)
		for i := range 300 {
			for range 6 {
				v[i*d+i%3+3*rng.IntN(d/3)] = float32(1 + rng.IntN(3))
			}
		}
		rows := &algo.Matrix{Rows: 300, Cols: d, Values: v}
		params := map[string]string{"k": "3", "feature_dim": strconv.Itoa(d), "mini_batch_size": "60", "init_method": "kmeans++"}
		var loss [2]float64
		for i, sparse := range []bool{false, true} {
			m, _, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{"train": recordIO(v, d, sparse)})
			if err != nil {
				t.Fatal(err)
			}
			p, err := m.Predict(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			for at := 1; at < len(p.Values); at += 2 {
				loss[i] += float64(p.Values[at]) * float64(p.Values[at])
			}
		}
		if math.Abs(loss[0]-loss[1]) > 1e-4*loss[0] {
			t.Errorf("%d columns: loss %v of dense rows, %v of sparse ones", d, loss[0], loss[1])
		}
	}
}

func TestBatchesHoldEachRowOnce(t *testing.T) {
	for _, c := range [][2]int{{1, 5}, {10, 3}, {1000, 64}, {64, 64}, {65, 64}} {
		b := newBatches(c[0], c[1], 9)
		var all []int
		for i := range b.count {
			n := 0
			for _, part := range [][2]int{{0, c[0] / 3}, {c[0] / 3, c[0] - c[0]/3}} { // two hosts
				for _, row := range b.of(i, part[0], part[1], nil) {
					all = append(all, part[0]+int(row))
					n++
				}
			}
			if n != b.size(i) || n > c[1] {
				t.Errorf("%v: batch %d has %d rows, size says %d", c, i, n, b.size(i))
			}
		}
		slices.Sort(all)
		for i, row := range all {
			if i != row {
				t.Fatalf("%v: %v", c, all)
			}
		}
		if len(all) != c[0] {
			t.Errorf("%v: %d rows", c, len(all))
		}
	}
}

func TestBrokenModels(t *testing.T) {
	good := ndarray.Append(nil, ndarray.Array{Shape: []int{1, 2}, Values: []float32{1, 2}})
	if _, err := readModel(good); err != nil {
		t.Error(err)
	}
	for name, b := range map[string][]byte{
		"nothing":    nil,
		"cut off":    good[:len(good)-12],
		"no array":   ndarray.Append(nil),
		"two":        ndarray.Append(nil, ndarray.Array{Shape: []int{1, 1}, Values: []float32{1}}, ndarray.Array{Shape: []int{1, 1}, Values: []float32{1}}),
		"a vector":   ndarray.Append(nil, ndarray.Array{Shape: []int{2}, Values: []float32{1, 2}}),
		"not finite": ndarray.Append(nil, ndarray.Array{Shape: []int{1, 1}, Values: []float32{float32(math.Inf(1))}}),
	} {
		if _, err := readModel(b); !algo.IsClientError(err) || !strings.Contains(err.Error(), artifact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	m := newModel([]float32{0, 0, 3, 4}, 2, 2)
	p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 2, Cols: 2, Values: []float32{0, 1, 3, 2}})
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{
		"application/json":      `{"predictions": [{"closest_cluster": 0.0, "distance_to_cluster": 1.0}, {"closest_cluster": 1.0, "distance_to_cluster": 2.0}]}`,
		"application/jsonlines": "{\"closest_cluster\": 0.0, \"distance_to_cluster\": 1.0}\n{\"closest_cluster\": 1.0, \"distance_to_cluster\": 2.0}\n",
		"text/csv":              "0.0,1.0\n1.0,2.0\n",
	} {
		if got, err := m.Format(nil, algo.Answer{Accept: accept}, p); err != nil || string(got) != want {
			t.Errorf("%s: %s %v", accept, got, err)
		}
	}
	if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 3, Values: make([]float32, 3)}); !algo.IsClientError(err) {
		t.Errorf("a row of another length: %v", err)
	}
}

func FuzzReadModel(f *testing.F) {
	f.Add(ndarray.Append(nil, ndarray.Array{Shape: []int{2, 2}, Values: []float32{1, 2, 3, 4}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readModel(b)
		if err != nil {
			return
		}
		if _, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: m.d, Values: make([]float32, m.d)}); err != nil {
			t.Error(err)
		}
	})
}
