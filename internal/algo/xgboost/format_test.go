// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

func TestFormat(t *testing.T) {
	all := []string{"predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores"}
	one := algo.Prediction{Values: []float32{0.75, 0.25}, Width: 1}
	three := algo.Prediction{Values: []float32{0.125, 0.5, 0.375}, Width: 3}
	for _, c := range []struct {
		name      string
		objective string
		classes   int
		p         algo.Prediction
		how       algo.Answer
		want      string
	}{
		{"csv in one line", "binary:logistic", 1, one, algo.Answer{Accept: "text/csv"}, "0.75,0.25"},
		{"csv under batch transform", "binary:logistic", 1, one, algo.Answer{Accept: "text/csv", Batch: true}, "0.75\n0.25\n"},
		{"softprob rows are lists", "multi:softprob", 3, three, algo.Answer{Accept: "text/csv"}, "[0.125, 0.5, 0.375]"},
		{"json", "binary:logistic", 1, one, algo.Answer{Accept: "application/json"}, `{"predictions": [{"score": 0.75}, {"score": 0.25}]}`},
		{"json of softprob", "multi:softprob", 3, three, algo.Answer{Accept: "application/json"}, `{"predictions": [{"score": [0.125, 0.5, 0.375]}]}`},
		{"json lines", "binary:logistic", 1, one, algo.Answer{Accept: "application/jsonlines"}, "{\"score\": 0.75}\n{\"score\": 0.25}\n"},
		{"the float64 of the float32", "reg:squarederror", 1, algo.Prediction{Values: []float32{0.99817282}, Width: 1}, algo.Answer{Accept: "text/csv"}, "0.9981728196144104"},

		{"selected csv quotes lists", "binary:logistic", 1, one, algo.Answer{Accept: "text/csv", Output: []string{"predicted_label", "probabilities"}},
			"1,\"[0.25, 0.75]\"\n0,\"[0.75, 0.25]\""},
		{"selected csv keeps the asked order and ends its last line under batch", "binary:logistic", 1, one,
			algo.Answer{Accept: "text/csv", Batch: true, Output: []string{"probability", "predicted_label"}}, "0.75,1\n0.25,0\n"},
		{"everything of logistic", "binary:logistic", 1, algo.Prediction{Values: []float32{0.75}, Width: 1}, algo.Answer{Accept: "application/json", Output: all},
			`{"predictions": [{"predicted_label": 1, "labels": [0, 1], "probability": 0.75, "probabilities": [0.25, 0.75], "raw_score": 0.75, "raw_scores": [0.25, 0.75]}]}`},
		{"everything of softprob", "multi:softprob", 3, three, algo.Answer{Accept: "application/jsonlines", Output: all},
			"{\"predicted_label\": 1, \"labels\": [0, 1, 2], \"probability\": 0.5, \"probabilities\": [0.125, 0.5, 0.375], \"raw_score\": 0.5, \"raw_scores\": [0.125, 0.5, 0.375]}\n"},
		{"the label of softmax is the float it predicts", "multi:softmax", 3, algo.Prediction{Values: []float32{2}, Width: 1},
			algo.Answer{Accept: "application/json", Output: []string{"predicted_label", "labels", "raw_score"}}, `{"predictions": [{"predicted_label": 2.0, "labels": [0, 1, 2], "raw_score": 2.0}]}`},
		{"logitraw has its threshold at zero", "binary:logitraw", 1, algo.Prediction{Values: []float32{0.25, -0.5}, Width: 1},
			algo.Answer{Accept: "text/csv", Output: []string{"predicted_label", "raw_scores"}}, "1,\"[0.75, 0.25]\"\n0,\"[1.5, -0.5]\""},
		{"logistic needs more than a half", "binary:logistic", 1, algo.Prediction{Values: []float32{0.5}, Width: 1},
			algo.Answer{Accept: "text/csv", Output: []string{"predicted_label"}}, "0"},
		{"a key that the objective lacks is NaN", "binary:hinge", 1, algo.Prediction{Values: []float32{1}, Width: 1},
			algo.Answer{Accept: "application/json", Output: []string{"probability", "predicted_label", "colour"}}, `{"predictions": [{"predicted_label": 1.0, "probability": NaN, "colour": NaN}]}`},
		{"and nan in csv", "reg:squarederror", 1, algo.Prediction{Values: []float32{1.5}, Width: 1},
			algo.Answer{Accept: "text/csv", Output: []string{"predicted_score", "labels"}}, "1.5,nan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Model{objective: c.objective, width: c.classes}
			got, err := m.Format([]byte("> "), c.how, c.p)
			if err != nil || string(got) != "> "+c.want {
				t.Errorf("%s, error %v\nwant > %s", got, err, c.want)
			}
		})
	}
}

func TestFormatErrors(t *testing.T) {
	p := algo.Prediction{Values: []float32{1}, Width: 1}
	for _, c := range []struct {
		objective string
		how       algo.Answer
		want      string
	}{
		{"rank:ndcg", algo.Answer{Accept: "text/csv", Output: []string{"labels"}}, "objective `rank:ndcg` unsupported for selectable inference predictions"},
		{"binary:logistic", algo.Answer{Accept: "image/png", Output: []string{"labels"}}, `cannot encode selected predictions into accept type "image/png"`},
		{"binary:logistic", algo.Answer{Accept: "image/png"}, "cannot write a prediction as image/png"},
	} {
		m := &Model{objective: c.objective, width: 1}
		if _, err := m.Format(nil, c.how, p); err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

func TestCheckRows(t *testing.T) {
	m := &Model{features: 3}
	dense := func(cols int) *algo.Matrix { return &algo.Matrix{Cols: cols} }
	sparse := func(cols int) *algo.Matrix { return &algo.Matrix{Cols: cols, Start: []int64{0}} }
	for _, c := range []struct {
		name   string
		format string
		rows   *algo.Matrix
		want   string
	}{
		{"csv with all features", "csv", dense(3), ""},
		{"csv with fewer", "csv", dense(2), "Feature size of csv inference data 2 is not consistent with feature size of trained model 3."},
		{"json with more", "json", dense(4), "Feature size of json inference data 4 is not consistent with feature size of trained model 3."},
		{"libsvm with fewer", "libsvm", sparse(1), ""},
		{"libsvm with more", "libsvm", sparse(4), "Feature size of libsvm inference data 4 is larger than feature size of trained model 3."},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := m.CheckRows(c.format, c.rows)
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !algo.IsClientError(err)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestFormatRecords(t *testing.T) {
	p := algo.Prediction{Values: []float32{0.125, 0.5, 0.375, 1, 0, 0}, Width: 3}
	m := &Model{objective: "multi:softprob", width: 3}
	for name, c := range map[string]struct {
		output []string
		want   []map[string][]float32
	}{
		"scores": {nil, []map[string][]float32{{"score": {0.125, 0.5, 0.375}}, {"score": {1, 0, 0}}}},
		"selected": {[]string{"probability", "predicted_label"}, []map[string][]float32{
			{"predicted_label": {1}, "probability": {0.5}}, {"predicted_label": {0}, "probability": {1}},
		}},
	} {
		b, err := m.Format([]byte("x"), algo.Answer{Accept: "application/x-recordio-protobuf", Output: c.output}, p)
		if err != nil {
			t.Fatal(err)
		}
		r := recordio.NewReader(bytes.NewReader(b[1:]), 0)
		for i, want := range c.want {
			payload, err := r.Next()
			if err != nil {
				t.Fatalf("%s: record %d: %v", name, i, err)
			}
			var rec recordio.Record
			if err := rec.Decode(payload); err != nil {
				t.Fatal(err)
			}
			if len(rec.Label) != len(want) {
				t.Errorf("%s: record %d has %d labels", name, i, len(rec.Label))
			}
			for key, values := range want {
				if v := rec.Label.Get(key); v == nil || !slices.Equal(v.Float32, values) {
					t.Errorf("%s: record %d: %s is %v, want %v", name, i, key, v, values)
				}
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: more records: %v", name, err)
		}
	}
}
