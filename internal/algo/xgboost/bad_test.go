// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// recordsOf writes rows, the label first, as RecordIO-protobuf.
func recordsOf(t testing.TB, rows ...[]float32) []byte {
	t.Helper()
	var b bytes.Buffer
	w := recordio.NewWriter(&b)
	for _, row := range rows {
		tensor := func(v []float32) recordio.Values {
			return recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: v}}}
		}
		rec := recordio.Record{Label: tensor(row[:1]), Features: tensor(row[1:])}
		if err := w.Write(rec.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// Bad data is the user's to mend, and is told by channel, file and place.
func TestBadData(t *testing.T) {
	records := recordsOf(t, []float32{0, 1, 2}, []float32{1, 3, 4})
	binary := map[string]string{"objective": "binary:logistic"}
	for _, c := range []struct {
		name, contentType string
		params            map[string]string
		data              any
		want              string
	}{
		{"an empty file", "text/csv", nil, "", "train channel: 1 file, but no rows"},
		{"blank lines", "text/csv", nil, "\n\n", "train channel: 1 file, but no rows"},
		{"an empty libsvm file", "text/libsvm", nil, "", "train channel: 1 file, but no rows"},
		{"an empty Parquet file", "application/x-parquet", nil, "", "train channel: file data.csv: is empty"},
		{"one column", "text/csv", nil, "1\n0\n", "train channel: file data.csv, line 1: "},
		{"text", "text/csv", nil, "1,2\n0,x\n", `train channel: file data.csv, line 2: column 2: "x" is not a number`},
		{"text for a label", "text/csv", nil, "1,2\nyes,3\n", `train channel: file data.csv, line 2: column 1: "yes" is not a number`},
		{"a header", "text/csv", nil, "y,a\n1,2\n", "train channel: file data.csv, line 1: column 1"},
		{"infinity", "text/csv", nil, "1,2\n0,inf\n", "train channel: file data.csv, line 2: column 2"},
		{"a large number", "text/csv", nil, "1,2\n0,1e39\n", "train channel: file data.csv, line 2: column 2"},
		{"a missing label", "text/csv", nil, "1,2\n,3\n", "train channel: file data.csv, line 2: the label (column 1) is missing or NaN"},
		{"a NaN label", "text/csv", nil, "1,2\nnan,3\n", "train channel: file data.csv, line 2: the label (column 1) is missing or NaN"},
		{"a ragged line", "text/csv", nil, "1,2\n0,3,4\n", "train channel: file data.csv, line 2: has 3 columns, but the first row has 2"},
		{"a label above 1", "text/csv", binary, "1,2\n\n2,3\n", "train channel: file data.csv, line 3: the label is 2; label must be in [0,1]"},
		{"a label above 1 in libsvm", "text/libsvm", binary, "# rows\n1 0:2\n2 0:3\n", "train channel: file data.csv, line 3: the label is 2; label must be in [0,1]"},
		{"a class too many", "text/csv", map[string]string{"objective": "multi:softmax", "num_class": "3"}, "1,2\n3,3\n", "line 2: the label is 3; SoftmaxMultiClassObj"},
		{"no time", "text/csv", map[string]string{"objective": "survival:aft"}, "1,2\n0,3\n", "line 2: the label is 0; label must be a time"},
		{"no relevance", "text/csv", map[string]string{"objective": "rank:ndcg"}, "1,2\n0.5,3\n", "line 2: the label is 0.5; When using relevance degree"},
		{"no label for a metric", "text/csv", map[string]string{"eval_metric": "map"}, "1,2\n5,3\n", "line 2: the label is 5; Metric 'map': map can only be used with binary labels"},
		{"a record cut short", "application/x-recordio-protobuf", nil, records[:len(records)-5], "train channel: file data.csv, record 2: "},
		{"a label in a record", "application/x-recordio-protobuf", binary, recordsOf(t, []float32{0, 1}, []float32{7, 3}), "train channel: file data.csv, record 2: the label is 7; "},
		{"no Parquet file", "application/x-parquet", nil, "1,2\n", "train channel: file data.csv: is no Parquet file"},
		{"a broken pair", "text/libsvm", nil, "1 0:1\n0 x\n", `train channel: file data.csv, line 2: "x" is not index:value`},
		{"CSV for libsvm", "", nil, "1,2\n", "train channel: file data.csv, line 1: "},
		{"an unknown content type", "image/png", nil, "1,2\n", "train channel: image/png is not an accepted ContentType"},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := map[string]string{"num_round": "1"}
			for k, v := range c.params {
				params[k] = v
			}
			j := newJob(t, params, map[string]string{"train": ""})
			config := map[string]string{}
			if c.contentType != "" {
				config["ContentType"] = c.contentType
			}
			j.write("input/config/inputdataconfig.json", map[string]any{"train": config})
			j.write("input/data/train/data.csv", c.data)
			j.run(1)
			if got := string(j.read("output/failure")); !strings.HasPrefix(got, "ClientError: ") || !strings.Contains(got, c.want) {
				t.Errorf("failure is %q, want one with %q", got, c.want)
			}
		})
	}
}

// What is unusual and yet legal is learned from.
func TestUnusualData(t *testing.T) {
	row := func(n int) string { return strings.Repeat(",1.5", n) }
	many, inText := 1_000_000, 200_000
	if raced {
		many, inText = many/10, inText/10
	}
	for _, c := range []struct{ name, contentType, objective, data string }{
		{"one row", "text/csv", "reg:squarederror", "3,1,2\n"},
		{"one row of a class", "text/csv", "binary:logistic", "1,1,2\n"},
		{"one class", "text/csv", "binary:logistic", "1,1,2\n1,2,3\n1,3,4\n"},
		{"constant columns", "text/csv", "reg:squarederror", strings.Repeat("1,5,5\n", 20)},
		{"constant columns and different labels", "text/csv", "reg:absoluteerror", "1,5,5\n2,5,5\n9,5,5\n"},
		{"nothing but missing values", "text/csv", "reg:squarederror", "1,,\n2,,\n3,,nan\n"},
		{"rows without features", "text/libsvm", "reg:squarederror", "1\n2\n3\n"},
		{"one query of one row", "text/libsvm", "rank:ndcg", "1 qid:1 0:1\n"},
		{"queries without pairs", "text/libsvm", "rank:pairwise", "1 qid:1 0:1\n1 qid:1 0:2\n0 qid:2 0:1\n"},
		{"times without an event", "text/csv", "survival:cox", "-1,1\n-2,2\n"},
		{"a million columns in libsvm", "text/libsvm", "reg:squarederror", fmt.Sprintf("1 0:1 %d:2\n0 5:1 %d:1\n3 %d:4\n", many-1, many-1, many-2)},
		{"many columns in CSV", "text/csv", "reg:squarederror", "1" + row(inText) + "\n0" + row(inText-1) + ",3\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJob(t, map[string]string{"num_round": "2", "objective": c.objective}, map[string]string{"train": c.data})
			j.write("input/config/inputdataconfig.json", map[string]any{"train": map[string]string{"ContentType": c.contentType}})
			j.run(0)
			if _, err := New().Load(os.DirFS(filepath.Join(j.root, "model"))); err != nil {
				t.Error(err)
			}
			if !strings.Contains(j.log, "\n[1]\ttrain-") {
				t.Errorf("no metrics:\n%s", j.log)
			}
		})
	}
}
