// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// records writes rows of RecordIO-protobuf; keys and shape may be nil.
func recordText(t *testing.T, rows ...recordio.Value) string {
	t.Helper()
	var b bytes.Buffer
	w := recordio.NewWriter(&b)
	for _, v := range rows {
		rec := recordio.Record{Features: recordio.Values{{Name: recordio.Vector, Value: v}},
			Label: recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: []float32{1}}}}}
		if err := w.Write(rec.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestLoadChecksRows(t *testing.T) {
	dense := func(v ...float32) recordio.Value { return recordio.Value{Kind: recordio.Float32, Float32: v} }
	sparse := func(key, size uint64) recordio.Value {
		return recordio.Value{Kind: recordio.Float32, Float32: []float32{7}, Keys: []uint64{key}, Shape: []uint64{size}}
	}
	binary := func(y float32) error {
		if y != 0 && y != 1 {
			return errors.New("0 or 1 was expected")
		}
		return nil
	}
	formats := []Format{RecordIO, CSV}
	unsupervised := Options{Formats: formats, Unsupervised: true, Cols: 2, Finite: true}
	supervised := Options{Formats: formats, Cols: 2, Finite: true, CheckLabel: binary}
	for _, c := range []struct {
		name, contentType string
		opts              Options
		files             map[string]string
		want              string // of the error, "" for none
		first             float32
	}{
		{"unsupervised without labels", "text/csv;label_size=0", unsupervised, map[string]string{"a": "1,2\n"}, "", 1},
		{"unsupervised with labels", "text/csv", unsupervised, map[string]string{"a": "9,1,2\n"}, "", 1},
		{"unsupervised records", "application/x-recordio-protobuf", unsupervised, map[string]string{"a": recordText(t, dense(1, 2))}, "", 1},
		{"records are the default", "", unsupervised, map[string]string{"a": recordText(t, dense(1, 2))}, "", 1},
		{"a narrow sparse table is as wide as it should be", "", unsupervised, map[string]string{"a": recordText(t, sparse(0, 1))}, "", 7},
		{"another label_size", "text/csv;label_size=2", unsupervised, map[string]string{"a": "1,2\n"},
			"train channel: text/csv;label_size=2 is not an accepted csv ContentType. Optional parameter label_size must be 0 or 1", 0},
		{"a format that the algorithm has not", "text/libsvm", unsupervised, map[string]string{"a": "1 0:1\n"},
			"train channel: text/libsvm is not an accepted ContentType: csv, recordio-protobuf, text/csv, application/x-recordio-protobuf.", 0},
		{"a forgotten label_size", "text/csv", unsupervised, map[string]string{"a": "1,2\n"},
			"train channel: file a, line 1: has 1 feature and a label, which a CSV without the content type text/csv;label_size=0 has, but feature_dim is 2", 0},
		{"a sparse row that is too wide", "", unsupervised, map[string]string{"a": recordText(t, sparse(0, 2)), "b": recordText(t, sparse(1, 2), sparse(5, 6))},
			"train channel: file b, record 2: has 6 features, but feature_dim is 2", 0},
		{"a shape that is too wide", "", unsupervised, map[string]string{"a": recordText(t, sparse(0, 9))},
			"train channel: file a, record 1: has 9 features, but feature_dim is 2", 0},
		{"a missing value in the second file", "text/csv", supervised, map[string]string{"a": "1,2,3\n", "b": "\n0,1,2\n\n1,,2\n"},
			"train channel: file b, line 4: feature 1 is missing or NaN; a finite number was expected", 0},
		{"infinity in a record", "", supervised, map[string]string{"a": recordText(t, dense(1, 2), dense(1, float32(math.Inf(1))))},
			"train channel: file a, record 2: feature 2 is infinite, or too large for 32 bits; a finite number was expected", 0},
		{"a label out of range", "text/csv;label_size=1", supervised, map[string]string{"a": "1,2,3\n2,2,3\n"},
			"train channel: file a, line 2: the label is 2; 0 or 1 was expected", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Load(channel(t, c.contentType, c.files), c.opts)
			if c.want != "" {
				if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
					t.Fatalf("error %v\nwant  %s", err, c.want)
				}
				return
			}
			if err != nil || m.Cols != 2 || m.Values[0] != c.first || c.opts.Unsupervised && m.Label != nil {
				t.Errorf("%+v, error %v", m, err)
			}
		})
	}
}

func TestOpenText(t *testing.T) {
	texts, release, err := OpenText(channel(t, "text/plain", map[string]string{"b": "x\ny\n", "a": "", "c/d": "z"}), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var names []string
	for _, text := range texts {
		names = append(names, text.Name)
	}
	if got := strings.Join(names, " "); got != "a b c/d" || texts[1].Place(2) != "file b, line 2" {
		t.Errorf("%s, %s", got, texts[1].Place(2))
	}
	for _, files := range []map[string]string{nil, {"a": ""}} {
		if _, _, err := OpenText(channel(t, "", files), 0); !errors.Is(err, ErrNoRows) || !algo.IsClientError(err) {
			t.Errorf("%v: error %v", files, err)
		}
	}
}

func TestFinite(t *testing.T) {
	for n := range 11 {
		values := make([]float32, n)
		for i := range values {
			values[i] = []float32{math.MaxFloat32, -math.MaxFloat32, 0, -1, 1e-45}[i%5]
		}
		if !finite(values) {
			t.Errorf("%v are finite, which was not seen", values)
		}
		for i, was := range values {
			for _, wrong := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				if values[i] = float32(wrong); finite(values) {
					t.Errorf("%v are not all finite, which was not seen", values)
				}
			}
			values[i] = was
		}
	}
}
