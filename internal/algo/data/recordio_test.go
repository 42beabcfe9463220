// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// golden is a file that the SageMaker SDK has written.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../recordio/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordIOOfTheSDK(t *testing.T) {
	labels := []float32{0, 1, -2, 300}
	for _, kind := range []string{"float32", "float64", "int32"} {
		small := float32(1e-3)
		half := float32(-3.5)
		if kind == "int32" {
			small, half = 0, -3
		}
		m, err := ReadRecordIO(golden(t, "dense-"+kind+".rec"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []float32{1, 2, 0, 0, 0, 0, half, 0, small, 0, 0, 7}
		if m.Rows != 4 || m.Cols != 3 || m.Sparse() || !slices.Equal(m.Values, want) || !slices.Equal(m.Label, labels) || m.Weight != nil {
			t.Errorf("dense %s: %+v", kind, m)
		}
		if m, err = ReadRecordIO(golden(t, "sparse-"+kind+".rec"), Options{}); err != nil {
			t.Fatal(err)
		}
		index, values, start := []int32{0, 1, 0, 2, 2}, []float32{1, 2, half, small, 7}, []int64{0, 2, 2, 4, 5}
		if kind == "int32" { // 1e-3 is no whole number
			index, values, start = []int32{0, 1, 0, 2}, []float32{1, 2, half, 7}, []int64{0, 2, 2, 3, 4}
		}
		if m.Rows != 4 || m.Cols != 3 || !slices.Equal(m.Index, index) || !slices.Equal(m.Values, values) || !slices.Equal(m.Start, start) || !slices.Equal(m.Label, labels) {
			t.Errorf("sparse %s: %+v", kind, m)
		}
	}
	m, err := ReadRecordIO(golden(t, "unlabelled.rec"), Options{NoLabel: true})
	if err != nil || m.Rows != 4 || m.Label != nil {
		t.Errorf("without labels: %+v, %v", m, err)
	}
}

// written is records with these features and labels.
func written(t *testing.T, records ...recordio.Record) string {
	t.Helper()
	var b bytes.Buffer
	w := recordio.NewWriter(&b)
	for _, r := range records {
		if err := w.Write(r.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func vector(v recordio.Value) recordio.Values { return recordio.Values{{Name: "values", Value: v}} }

func row(label float32, features ...float32) recordio.Record {
	return recordio.Record{
		Features: vector(recordio.Value{Kind: recordio.Float32, Float32: features}),
		Label:    vector(recordio.Value{Kind: recordio.Float32, Float32: []float32{label}}),
	}
}

func sparseRow(label float32, cols uint64, keys []uint64, values ...float32) recordio.Record {
	r := row(label)
	r.Features = vector(recordio.Value{Kind: recordio.Float32, Float32: values, Keys: keys, Shape: []uint64{cols}})
	return r
}

func TestRecordIOChannel(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name  string
		files map[string]string
		want  *algo.Matrix
		err   string
	}{
		{"files one after the other", map[string]string{"b": written(t, row(2, 3, 4)), "a": written(t, row(0, 1, 2), row(1, 5, nan)), "c": ""},
			&algo.Matrix{Rows: 3, Cols: 2, Values: []float32{1, 2, 5, nan, 3, 4}, Label: []float32{0, 1, 2}}, ""},
		{"dense rows among sparse ones", map[string]string{"a": written(t, row(1, 5, 6)), "b": written(t, row(0, 7, 8), sparseRow(1, 9, []uint64{8, 2}, 1, 3))},
			&algo.Matrix{Rows: 3, Cols: 9, Values: []float32{5, 6, 7, 8, 3, 1}, Index: []int32{0, 1, 0, 1, 2, 8}, Start: []int64{0, 2, 4, 6}, Label: []float32{1, 0, 1}}, ""},
		{"rows of different length", map[string]string{"a": written(t, row(1, 5, 6), row(1, 5))}, nil, "train channel: file a, record 2: has 1 feature, but the first row has 2"},
		{"files of different width", map[string]string{"a": written(t, row(1, 5, 6)), "b": written(t, row(1, 5))}, nil, "train channel: file b, record 1: has 1 feature, but the first row has 2"},
		{"a feature twice", map[string]string{"a": written(t, sparseRow(1, 9, []uint64{2, 2}, 1, 3))}, nil, "train channel: file a, record 1: feature 2 occurs twice"},
		{"no label", map[string]string{"a": written(t, recordio.Record{Features: row(0, 1).Features})}, nil, "train channel: file a, record 1: has no label"},
		{"two labels", map[string]string{"a": written(t, recordio.Record{Features: row(0, 1).Features, Label: row(0, 1, 2).Features})}, nil,
			"train channel: file a, record 1: the label must be one number and is a float32 tensor of 2"},
		{"a label that is none", map[string]string{"a": written(t, row(nan, 1))}, nil, "train channel: file a, record 1: the label is missing or NaN"},
		{"other features", map[string]string{"a": written(t, recordio.Record{Label: row(1).Label, Features: recordio.Values{{Name: "x"}}})}, nil,
			`train channel: file a, record 1: has no features named "values"`},
		{"text", map[string]string{"a": "1,2,3\n4,5,6\n"}, nil, "train channel: file a: is no RecordIO, which was expected by the ContentType application/x-recordio-protobuf"},
		{"a record cut off", map[string]string{"a": written(t, row(1, 5, 6))[:20]}, nil, "train channel: file a, record 1: "},
		{"a payload that is no message", map[string]string{"a": "\x0a\x23\xd7\xce\x04\x00\x00\x00\xff\xff\xff\xff"}, nil, "train channel: file a, record 1: "},
		{"nothing", map[string]string{"a": ""}, nil, "train channel: 1 file, but no rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Load(channel(t, "application/x-recordio-protobuf", c.files), Options{Threads: 2})
			if c.want == nil {
				if err == nil || !algo.IsClientError(err) || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same := func(a, b float32) bool { return a == b || a != a && b != b }
			if m.Rows != c.want.Rows || m.Cols != c.want.Cols || !slices.EqualFunc(m.Values, c.want.Values, same) ||
				!slices.Equal(m.Index, c.want.Index) || !slices.Equal(m.Start, c.want.Start) || !slices.Equal(m.Label, c.want.Label) {
				t.Errorf("%+v, want %+v", m, c.want)
			}
		})
	}
}

// sameDecoded compares what ReadRecordIO has made of b with the way without a
// short cut.
func sameDecoded(t *testing.T, b []byte, opts Options, got *algo.Matrix, err error) {
	t.Helper()
	var want algo.Matrix
	wantErr := decodeRecords(&want, cutRecords(&source{b: b}), opts)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("error %v, without a short cut %v", err, wantErr)
	}
	bit := func(a, b float32) bool { return a == b || a != a && b != b }
	if err == nil && (got.Rows != want.Rows || got.Cols != want.Cols || got.Sparse() != want.Sparse() || !slices.EqualFunc(got.Values, want.Values, bit) ||
		!slices.Equal(got.Index, want.Index) || !slices.Equal(got.Start, want.Start) || !slices.Equal(got.Label, want.Label)) {
		t.Fatalf("%+v, without a short cut %+v", got, want)
	}
}

// TestRecordIOShortCuts reads tables of each form, and such as leave it at one
// record, and compares them with what decoding gives.
func TestRecordIOShortCuts(t *testing.T) {
	numbers := map[string]recordio.Value{
		"float32": {Kind: recordio.Float32, Float32: []float32{1, -2.5, 1e30}},
		"float64": {Kind: recordio.Float64, Float64: []float64{1, -2.5, 1e300}},
		"int32":   {Kind: recordio.Int32, Int32: []int32{1, -2, 300}},
		"shaped":  {Kind: recordio.Float32, Float32: []float32{4, 5, 6}, Shape: []uint64{3}},
		"sparse":  {Kind: recordio.Float32, Float32: []float32{4, 5}, Keys: []uint64{1, 200}, Shape: []uint64{1000}},
		"mixed":   {Kind: recordio.Int32, Int32: []int32{4, -5}, Keys: []uint64{20000, 1}, Shape: []uint64{70000}},
		"zeros":   {Kind: recordio.Float64, Shape: []uint64{3}},
		"longer":  {Kind: recordio.Float32, Float32: []float32{1, 2, 3, 4}},
		"twice":   {Kind: recordio.Float32, Float32: []float32{4, 5}, Keys: []uint64{1, 1}, Shape: []uint64{3}},
		"outside": {Kind: recordio.Float32, Float32: []float32{4, 5}, Keys: []uint64{1, 3}, Shape: []uint64{3}},
		"matrix":  {Kind: recordio.Float32, Float32: []float32{4, 5, 6, 7}, Shape: []uint64{2, 2}},
		"empty":   {Kind: recordio.Float32},
		"large":   {Kind: recordio.Float32, Float32: []float32{4}, Keys: []uint64{1 << 31}, Shape: []uint64{1 << 32}},
		"bytes":   {Kind: recordio.Bytes, Bytes: [][]byte{{1}}},
	}
	nan := float32(math.NaN())
	labels := map[string]recordio.Values{
		"float32": vector(recordio.Value{Kind: recordio.Float32, Float32: []float32{7}}),
		"float64": vector(recordio.Value{Kind: recordio.Float64, Float64: []float64{-7}}),
		"int32":   vector(recordio.Value{Kind: recordio.Int32, Int32: []int32{7}}),
		"long":    vector(recordio.Value{Kind: recordio.Int32, Int32: []int32{-700}}),
		"NaN":     vector(recordio.Value{Kind: recordio.Float32, Float32: []float32{nan}}),
		"two":     vector(recordio.Value{Kind: recordio.Float32, Float32: []float32{1, 2}}),
		"sparse":  vector(recordio.Value{Kind: recordio.Float32, Float32: []float32{9}, Keys: []uint64{0}, Shape: []uint64{1}}),
		"nothing": vector(recordio.Value{Kind: recordio.Float32, Shape: []uint64{1}}),
		"none":    nil,
		"other":   {{Name: "y", Value: recordio.Value{Kind: recordio.Float32, Float32: []float32{7}}}},
	}
	of := func(number, label, uid string) recordio.Record {
		return recordio.Record{Features: vector(numbers[number]), Label: labels[label], UID: uid}
	}
	for number := range numbers {
		for label := range labels {
			usual := of(number, label, "")
			for odd := range numbers {
				if label != "float32" && odd != number {
					continue
				}
				for _, last := range []recordio.Record{of(odd, label, ""), of(number, "float32", ""), of(number, label, "a")} {
					b := []byte(written(t, usual, usual, last, usual))
					for _, opts := range []Options{{Threads: 1}, {Threads: 1, NoLabel: true}} {
						m, err := ReadRecordIO(b, opts)
						sameDecoded(t, b, opts, m, err)
					}
				}
			}
		}
	}
}

func FuzzRecordIO(f *testing.F) {
	for _, name := range []string{"dense-float32.rec", "dense-float64.rec", "dense-int32.rec", "sparse-float32.rec", "sparse-float64.rec",
		"sparse-int32.rec", "unlabelled.rec", "everything.rec"} {
		b, err := os.ReadFile("../../recordio/testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, noLabel bool) {
		m, err := ReadRecordIO(b, Options{NoLabel: noLabel})
		sameDecoded(t, b, Options{NoLabel: noLabel}, m, err)
		if err != nil {
			if !algo.IsClientError(err) {
				t.Errorf("%v is no client error", err)
			}
			return
		}
		if !noLabel && len(m.Label) != m.Rows {
			t.Fatalf("%d labels for %d rows", len(m.Label), m.Rows)
		}
		if !m.Sparse() {
			if len(m.Values) != m.Rows*m.Cols {
				t.Fatalf("%d values for %d×%d", len(m.Values), m.Rows, m.Cols)
			}
			return
		}
		if len(m.Start) != m.Rows+1 || int(m.Start[m.Rows]) != len(m.Values) || len(m.Index) != len(m.Values) {
			t.Fatalf("%d starts, %d indices, %d values for %d rows", len(m.Start), len(m.Index), len(m.Values), m.Rows)
		}
		for r := range m.Rows {
			for i := m.Start[r]; i < m.Start[r+1]; i++ {
				if m.Index[i] < 0 || int(m.Index[i]) >= m.Cols || i > m.Start[r] && m.Index[i] <= m.Index[i-1] {
					t.Fatalf("row %d has the columns %v of %d", r, m.Index[m.Start[r]:m.Start[r+1]], m.Cols)
				}
			}
		}
	})
}
