// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
)

// table is n rows of d numbers around a point for each of classes, and their
// classes.
func table(n, d, classes int, seed uint64) (v, labels []float32) {
	rng := rand.New(rand.NewPCG(seed, 1))
	at := make([]float32, classes*d)
	for i := range at {
		at[i] = float32(rng.NormFloat64() * 2)
	}
	for range n {
		c := rng.IntN(classes)
		labels = append(labels, float32(c))
		for j := range d {
			v = append(v, at[c*d+j]+float32(rng.NormFloat64()))
		}
	}
	return v, labels
}

func csv(v, labels []float32) string {
	d := len(v) / len(labels)
	var b strings.Builder
	for i, y := range labels {
		fmt.Fprint(&b, y)
		for _, x := range v[i*d : (i+1)*d] {
			fmt.Fprintf(&b, ",%v", x)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestConforms(t *testing.T) {
	const d = 6
	v, labels := table(400, d, 4, 1)
	rows := &algo.Matrix{Rows: 50, Cols: d, Values: v[:50*d]}
	train, test := algotest.CSV(csv(v[:350*d], labels[:350])), algotest.CSV(csv(v[350*d:], labels[350:]))
	var cases []algotest.Case
	for name, params := range map[string]map[string]string{
		"flat":                        {"predictor_type": classifier},
		"flat of a sample, regressor": {"predictor_type": regressor, "sample_size": "200", "index_metric": inner},
		"cosine, sign":                {"predictor_type": regressor, "index_metric": cosine, "dimension_reduction_type": sign, "dimension_reduction_target": "3"},
		"IVF, fjlt":                   {"predictor_type": classifier, "index_type": ivfFlat, "dimension_reduction_type": fjlt, "dimension_reduction_target": "4"},
		"IVF by inner product":        {"predictor_type": classifier, "index_type": ivfFlat, "index_metric": inner, "faiss_index_ivf_nlists": "120", "_faiss_index_nprobe": "1"},
		"PQ, padded":                  {"predictor_type": classifier, "index_type": ivfPQ, "faiss_index_pq_m": "4", "faiss_index_ivf_nlists": "8"},
	} {
		params["k"], params["feature_dim"] = "7", "6"
		if params["sample_size"] == "" {
			params["sample_size"] = "1000"
		}
		cases = append(cases, algotest.Case{
			Name: name, Params: params, Channels: map[string]algotest.Channel{"train": train, "test": test}, Rows: rows,
		})
	}
	algotest.Run(t, New(), cases)
}

func channels(train, test string) map[string]algotest.Channel {
	all := map[string]algotest.Channel{"train": algotest.CSV(train)}
	if test != "" {
		all["test"] = algotest.CSV(test)
	}
	return all
}

func TestBadData(t *testing.T) {
	for name, c := range map[string]struct {
		train, test, want string
		params            map[string]string
	}{
		"fewer rows than neighbours": {"1,2,3\n", "", "train channel: 1 rows, but k is 2", nil},
		"another length":             {"1,2,3\n1,2,3\n", "1,2\n", "test channel: file data.csv, line 1: has 1 feature behind the label, but the train channel has 2", nil},
		"a length that is told":      {"1,2,3\n1,2,3\n", "", "train channel: file data.csv, line 1: has 2 features behind the label, but feature_dim is 3", map[string]string{"feature_dim": "3"}},
		"a gap":                      {"1,2,3\n1,2,\n", "", "train channel: file data.csv, line 2: feature 2 is missing or NaN", nil},
		"a label that is none":       {"1,2,3\nnan,2,3\n", "", "train channel: file data.csv, line 2", nil},
		"text":                       {"1,2,3\n1,two,3\n", "", "train channel: file data.csv, line 2", nil},
		"too large a number":         {"1,2,3\n1,1e20,3\n", "", "train channel: file data.csv, line 2: feature 1 is 1e+20; a number from -1e15 to 1e15", nil},
		"more neighbours than rows":  {"1,2,3\n", "", "Hyperparameter k: 2 is above sample_size, which is 1", map[string]string{"sample_size": "1"}},
		"no target":                  {"1,2,3\n", "", "Missing required hyperparameter: dimension_reduction_target", map[string]string{"dimension_reduction_type": sign}},
		"no type":                    {"1,2,3\n", "", "Missing required hyperparameter: dimension_reduction_type", map[string]string{"dimension_reduction_target": "1"}},
		"a target too large":         {"1,2,3\n1,2,3\n", "", "Hyperparameter dimension_reduction_target: 2 is not below feature_dim, which is 2", map[string]string{"dimension_reduction_type": fjlt, "dimension_reduction_target": "2"}},
		"no parts":                   {"1,2,3\n", "", "Missing required hyperparameter: faiss_index_pq_m", map[string]string{"index_type": ivfPQ}},
		"parts by cosine":            {"1,2,3\n", "", "Hyperparameter index_metric: COSINE", map[string]string{"index_type": ivfPQ, "faiss_index_pq_m": "1", "index_metric": cosine}},
	} {
		t.Run(name, func(t *testing.T) {
			params := map[string]string{"k": "2", "sample_size": "100", "predictor_type": classifier}
			maps.Copy(params, c.params)
			_, _, err := algotest.Train[*Model](t, New(), params, channels(c.train, c.test))
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestWhatIsLegalIsLearned(t *testing.T) {
	for name, c := range map[string]struct {
		train string
		row   []float32
		want  float32
	}{
		"one row":           {"5,1,2\n", []float32{9, 9}, 5},
		"constant columns":  {"2,1,1\n3,1,1\n3,1,1\n", []float32{1, 1}, 2}, // the first of the equally near
		"labels in between": {"0.5,1,1\n-7.25,2,2\n", []float32{2, 2}, -7.25},
	} {
		for _, kind := range []string{flat, ivfFlat, ivfPQ} {
			t.Run(name+" "+kind, func(t *testing.T) {
				m, _, err := algotest.Train[*Model](t, New(), map[string]string{"k": "1", "sample_size": "10", "predictor_type": classifier, "index_type": kind, "faiss_index_pq_m": "3"}, channels(c.train, ""))
				if err != nil {
					t.Fatal(err)
				}
				p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 2, Values: c.row})
				if err != nil || p.Values[0] != c.want {
					t.Errorf("%v %v, want %v", p.Values, err, c.want)
				}
			})
		}
	}
}

func TestAnswersAndLog(t *testing.T) {
	rows := "1,0,0\n1,1,0\n2,4,0\n2,5,0\n2,6,0\n"
	m, log, err := algotest.Train[*Model](t, New(), map[string]string{"k": "3", "sample_size": "10", "predictor_type": classifier}, channels(rows, "1,0,0\n1,5,0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"#test_score (algo-1) : ('accuracy', 0.5)", "('macro_f_1.000', 0.3333333333333333)", "#quality_metric: host=algo-1, test accuracy <score>=0.5"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
	p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{5, 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		how  algo.Answer
		want string
	}{
		{algo.Answer{Accept: "application/json"}, `{"predictions": [{"predicted_label": 2.0}]}`},
		{algo.Answer{Accept: "application/json", Params: " verbose=true"}, `{"predictions": [{"predicted_label": 2.0, "distances": [1.0, 2.0, 2.0], "labels": [2.0, 2.0, 2.0]}]}`},
		{algo.Answer{Accept: "application/jsonlines", Params: "verbose=true"}, "{\"predicted_label\": 2.0, \"distances\": [1.0, 2.0, 2.0], \"labels\": [2.0, 2.0, 2.0]}\n"},
		{algo.Answer{Accept: "text/csv"}, "2.0\n"},
	} {
		if got, err := m.Format(nil, c.how, p); err != nil || string(got) != c.want {
			t.Errorf("%v: %s %v, want %s", c.how, got, err, c.want)
		}
	}
	m, log, err = algotest.Train[*Model](t, New(), map[string]string{"k": "2", "sample_size": "10", "predictor_type": regressor}, channels("1,0\n2,1\n9,9\n", "1,0\n"))
	if err != nil || !strings.Contains(log, "#quality_metric: host=algo-1, test mse <loss>=0.25") {
		t.Errorf("%v\n%s", err, log)
	}
	// Who edits the notes gets other answers.
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(dir, artifact+".json")
	b, err := os.ReadFile(notes)
	if err != nil || string(b) != `{"k":2,"predictor_type":"regressor","dimension_reduction":null,"normalize":false,"version":"1.0"}` {
		t.Errorf("%s %v", b, err)
	}
	if err := os.WriteFile(notes, bytes.Replace(b, []byte(`"k":2`), []byte(`"k":3`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	edited, err := New().Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := edited.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 1, Values: []float32{0}}); err != nil || p.Values[0] != 4 {
		t.Errorf("%v %v", p, err)
	}
}

func TestBrokenNotes(t *testing.T) {
	faiss, labels := newFlat(nearest.L2, []float32{1, 2, 3, 4}, 2, 2).append(nil), make([]byte, 8)
	for notes, want := range map[string]string{
		`{"k":2,"predictor_type":"classifier"}`: "",
		`{"k":2,"predictor_type":"classifier","dimension_reduction":{"type":"sign","seed":3,"target_dim":2,"input_dim":9}}`: "",
		`{"k":3,"predictor_type":"classifier"}`: "k is 3; 1 to 2",
		`{"k":1,"predictor_type":"oracle"}`:     `predictor_type is "oracle"`,
		`{"k":1`:                                "unexpected end",
		`{"k":1,"predictor_type":"regressor","dimension_reduction":{"type":"pca","target_dim":2,"input_dim":9}}`:  "pca",
		`{"k":1,"predictor_type":"regressor","dimension_reduction":{"type":"sign","target_dim":3,"input_dim":9}}`: "of 9 to 3 for vectors of 2",
		`{"k":1,"predictor_type":"regressor","feature_dim":3}`:                                                    "feature_dim is 3",
	} {
		_, err := readModel(faiss, labels, []byte(notes))
		if want == "" && err != nil || want != "" && (!algo.IsClientError(err) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", notes, err)
		}
	}
	if _, err := readModel(faiss, labels[:5], []byte(`{"k":1,"predictor_type":"regressor"}`)); !algo.IsClientError(err) {
		t.Errorf("labels that are cut off: %v", err)
	}
}
