// SPDX-License-Identifier: Apache-2.0

package firstparty

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// lines runs do with a Report and gives what it writes.
func lines(t *testing.T, do func(r *Report)) []string {
	t.Helper()
	params, err := algo.ParseParams(algo.Spec{Params: Hidden()}, map[string]string{"_log_level": "debug"})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	r := Begin(algo.Input{
		Params: params, Host: "algo-1", Hosts: []string{"algo-1"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Print: func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) },
	}, "AWS/KMeansWebscale")
	head := len(all)
	do(r)
	for _, want := range []string{"] Merging with provided configuration from /opt/ml/input/config/hyperparameters.json: {'_log_level': 'debug'}\n", "] Final configuration: {'_data_format': 'record', "} {
		if !strings.Contains(strings.Join(all[:head], "\n"), want) {
			t.Errorf("the head does not tell the configuration %q: %q", want, all[:head])
		}
	}
	return all[head:]
}

func TestLinesAreFoundByTheirMetrics(t *testing.T) {
	msd, f := Loss("msd"), Score("binary_f_1.000")
	for _, c := range []struct {
		name   string
		metric algo.Metric
		write  func(r *Report)
		want   string
	}{
		{"at the end", Final("test", msd, ""), func(r *Report) { r.Final("test", msd, 0.25) }, "0.25"},
		{"of an epoch", Epoch("train", msd, ""), func(r *Report) { r.Epoch(3, "train", msd, 1e-7) }, "1e-07"},
		{"of a batch", Batch("train", msd, ""), func(r *Report) { r.Batch(3, 5, "train", msd, 2) }, "2.0"},
		{"whose name varies", Final("validation", Score(`binary_f_\S+`), "binary_f_beta"), func(r *Report) { r.Final("validation", f, 0.5) }, "0.5"},
		{"progress", Common()[0], func(r *Report) { r.Progress(1, 8) }, "12.5"},
		{"throughput", Common()[1], func(r *Report) { r.Throughput(100, 2*time.Second) }, "50.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := lines(t, c.write)
			m := regexp.MustCompile(c.metric.Regex).FindStringSubmatch(all[0])
			if len(all) != 1 || m == nil || m[1] != c.want {
				t.Errorf("%s finds %q in %q, want %s", c.metric.Regex, m, all, c.want)
			}
		})
	}
	all := lines(t, func(r *Report) { r.Score("test", "mse", 0.5); r.Counts(0, 100, 2); r.End() })
	if !strings.HasSuffix(all[0], "#test_score (algo-1) : ('mse', 0.5)") || !strings.HasPrefix(all[1], `#metrics {"Dimensions":{"Algorithm":"AWS/KMeansWebscale","Host":"algo-1","Meta":"training_data_iter"`) ||
		!strings.HasSuffix(all[2], "Test data is not provided.") {
		t.Errorf("%q", all)
	}
}

func TestLayout(t *testing.T) {
	l := Layout{"predictions", []Field{
		{Name: "closest_cluster", Width: 1}, {Name: "label", Width: 1, Integer: true}, {Name: "score", Width: 2, List: true, Verbose: true},
	}}
	p := algo.Prediction{Values: []float32{5, 1, 0.5, 0.25, 6, 0, 0, 1}, Width: 4}
	for _, c := range []struct{ accept, params, want string }{
		{"application/json", "", `{"predictions": [{"closest_cluster": 5.0, "label": 1}, {"closest_cluster": 6.0, "label": 0}]}`},
		{"application/json", " verbose=true", `{"predictions": [{"closest_cluster": 5.0, "label": 1, "score": [0.5, 0.25]}, {"closest_cluster": 6.0, "label": 0, "score": [0.0, 1.0]}]}`},
		{"application/jsonlines", "", "{\"closest_cluster\": 5.0, \"label\": 1}\n{\"closest_cluster\": 6.0, \"label\": 0}\n"},
		{"text/csv", "verbose", "5.0,1,0.5,0.25\n6.0,0,0.0,1.0\n"},
	} {
		got, err := l.Format(nil, algo.Answer{Accept: c.accept, Params: c.params}, p)
		if err != nil || string(got) != c.want {
			t.Errorf("%s;%s: %s %v, want %s", c.accept, c.params, got, err, c.want)
		}
	}
	got, err := l.Format(nil, algo.Answer{Accept: "application/x-recordio-protobuf"}, p)
	if err != nil {
		t.Fatal(err)
	}
	r := recordio.NewReader(bytes.NewReader(got), 0)
	for row, want := range []float32{5, 6} {
		var rec recordio.Record
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Decode(b); err != nil {
			t.Fatal(err)
		}
		if v := rec.Label.Get("closest_cluster"); len(rec.Label) != 2 || v == nil || len(v.Float32) != 1 || v.Float32[0] != want {
			t.Errorf("row %d: %+v", row, rec.Label)
		}
	}
	if _, err := l.Format(nil, algo.Answer{Accept: "text/csv"}, algo.Prediction{Width: 3}); err == nil {
		t.Error("a prediction of another width is written")
	}
}
