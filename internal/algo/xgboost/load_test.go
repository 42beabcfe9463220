// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// weightedText is csvText with the weights of m behind the labels.
func weightedText(m *algo.Matrix) string {
	var b strings.Builder
	for r, line := range strings.Split(strings.TrimSuffix(csvText(m), "\n"), "\n") {
		label, rest, _ := strings.Cut(line, ",")
		fmt.Fprintf(&b, "%s,%v,%s\n", label, m.Weight[r], rest)
	}
	return b.String()
}

// The validation of rows that weigh 0 and 1 is that of those that weigh 1, where
// it has weights; where it has none, that of all. Features below 0 are no weights.
func TestValidationWithAndWithoutWeights(t *testing.T) {
	all := mixed(200, 3, "binary:logistic")
	all.Weight = make([]float32, all.Rows)
	some := &algo.Matrix{Cols: all.Cols}
	for r := range all.Rows {
		all.Values[r*all.Cols] -= 10
		if r%2 == 0 {
			all.Weight[r] = 1
			some.Rows++
			some.Label = append(some.Label, all.Label[r])
			some.Values = append(some.Values, all.Values[r*all.Cols:(r+1)*all.Cols]...)
		}
	}
	job := func(validation string, more map[string]string) string {
		params := map[string]string{"num_round": "3", "objective": "binary:logistic", "csv_weights": "1"}
		maps.Copy(params, more)
		_, log, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{
			"train": algotest.CSV(weightedText(all)), "validation": algotest.CSV(validation)})
		if err != nil {
			return err.Error()
		}
		return log[strings.Index(log, "[0]"):]
	}
	weighted, old, part := job(weightedText(all), nil), job(csvText(all), nil), job(csvText(some), nil)
	if !strings.Contains(weighted, "validation-logloss") || weighted != part || weighted == old {
		t.Errorf("with weights:\n%swithout:\n%sthe rows that count:\n%s", weighted, old, part)
	}
	if got, want := job("0,1\n", nil), "validation channel: file data.csv, line 1"; !strings.Contains(got, want) {
		t.Errorf("too few columns: %q, want %q", got, want)
	}
	if got := job(weightedText(all)+"1,-1,1,2,3\n", nil); !strings.Contains(got, "the weight (column 2)") {
		t.Errorf("a weight below 0: %q", got)
	}
}

func TestDaskTakesChannels(t *testing.T) {
	two := []string{"algo-1", "algo-2"}
	csv := algo.Channel{ContentType: "text/csv"}
	for _, c := range []struct {
		name  string
		hosts []string
		train algo.Channel
		want  string
	}{
		{"CSV", two, csv, ""},
		{"parquet", two, algo.Channel{ContentType: "application/x-parquet"}, ""},
		{"one host", two[:1], algo.Channel{ContentType: "text/csv;label_size=1", Sharded: true}, ""},
		{"libsvm", two[:1], algo.Channel{ContentType: "libsvm"}, "only supported for CSV and Parquet input."},
		{"no content type", two, algo.Channel{}, "only supported for CSV and Parquet input."},
		{"a pipe", two, algo.Channel{ContentType: "text/csv", Pipe: true}, "not supported for pipe mode input."},
		{"parts", two, algo.Channel{ContentType: "text/csv", Sharded: true}, "requires FullyReplicated data."},
	} {
		err := fitsDask(algo.Input{Hosts: c.hosts, Channels: map[string]*algo.Channel{"train": &c.train}})
		if c.want == "" && err != nil || c.want != "" && (!algo.IsClientError(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.want)
		}
		err = fitsDask(algo.Input{Hosts: c.hosts, Channels: map[string]*algo.Channel{"train": &csv, "validation": &c.train}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "validation channel: Dask")) {
			t.Errorf("validation, %s: error is %v, want %q", c.name, err, c.want)
		}
	}
}

// XGBoost does not hear of the metrics that the container computes: where no
// other is named it shows the objective's own.
func TestMetricsOfTheContainerStandBehindXGBoosts(t *testing.T) {
	csv := algotest.CSV(csvText(mixed(50, 3, "binary:logistic")))
	for named, want := range map[string]string{
		"":             "train-logloss",
		"accuracy":     "train-logloss train-accuracy",
		"f1,auc":       "train-auc train-f1",
		"accuracy,mse": "train-logloss train-accuracy train-mse",
	} {
		params := map[string]string{"num_round": "1", "objective": "binary:logistic", "silent": "0"}
		if named != "" {
			params["eval_metric"] = named
		}
		_, log, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{"train": csv})
		if err != nil {
			t.Fatal(err)
		}
		var shown []string
		for _, part := range strings.Split(strings.TrimSpace(log[strings.Index(log, "[0]"):]), "\t")[1:] {
			name, _, _ := strings.Cut(part, ":")
			shown = append(shown, name)
		}
		if got := strings.Join(shown, " "); got != want {
			t.Errorf("eval_metric %q shows %q, want %q", named, got, want)
		}
	}
}
