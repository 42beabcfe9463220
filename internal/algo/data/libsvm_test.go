// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

func TestReadLibSVM(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		opts Options
		want algo.Matrix
	}{
		{"labels and features", "1 0:0.5 3:2\n0 1:-1\n", Options{}, algo.Matrix{Rows: 2, Cols: 4,
			Values: []float32{0.5, 2, -1}, Index: []int32{0, 3, 1}, Start: []int64{0, 2, 3}, Label: []float32{1, 0}}},
		{"an index is taken as written", "1 1:5\n", Options{}, algo.Matrix{Rows: 1, Cols: 2,
			Values: []float32{5}, Index: []int32{1}, Start: []int64{0, 1}, Label: []float32{1}}},
		{"weights, where one is missing", "1:0.5 0:1\n0 0:2\n", Options{}, algo.Matrix{Rows: 2, Cols: 1,
			Values: []float32{1, 2}, Index: []int32{0, 0}, Start: []int64{0, 1, 2}, Label: []float32{1, 0}, Weight: []float32{0.5, 1}}},
		{"comments, query numbers, blank lines and tabs", "# head\n1 qid:3 0:1 # 9:9\n\n0 qid:3\t2:2\r\n", Options{}, algo.Matrix{Rows: 2, Cols: 3,
			Values: []float32{1, 2}, Index: []int32{0, 2}, Start: []int64{0, 1, 2}, Label: []float32{1, 0}, Groups: []int{0, 2}}},
		{"a query that comes back", "1 qid:3 0:1\n0 qid:3 0:2\n0 qid:18446744073709551615\n1 qid:3\n", Options{}, algo.Matrix{Rows: 4, Cols: 1,
			Values: []float32{1, 2}, Index: []int32{0, 0}, Start: []int64{0, 1, 2, 2, 2}, Label: []float32{1, 0, 0, 1}, Groups: []int{0, 2, 3, 4}}},
		{"a payload with a query", "qid:3 0:1\n", Options{NoLabel: true}, algo.Matrix{Rows: 1, Cols: 1,
			Values: []float32{1}, Index: []int32{0}, Start: []int64{0, 1}}},
		{"features out of order", "1 5:5 2:2 9:9\n", Options{}, algo.Matrix{Rows: 1, Cols: 10,
			Values: []float32{2, 5, 9}, Index: []int32{2, 5, 9}, Start: []int64{0, 3}, Label: []float32{1}}},
		{"nan is not stored", "1 0:nan 1:1\n", Options{}, algo.Matrix{Rows: 1, Cols: 2,
			Values: []float32{1}, Index: []int32{1}, Start: []int64{0, 1}, Label: []float32{1}}},
		{"a row without features", "1\n0 0:1\n", Options{}, algo.Matrix{Rows: 2, Cols: 1,
			Values: []float32{1}, Index: []int32{0}, Start: []int64{0, 0, 1}, Label: []float32{1, 0}}},
		{"a payload with and without labels", "1 0:1\n0:2 1:3\n", Options{NoLabel: true}, algo.Matrix{Rows: 2, Cols: 2,
			Values: []float32{1, 2, 3}, Index: []int32{0, 0, 1}, Start: []int64{0, 1, 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadLibSVM([]byte(c.text), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != c.want.Rows || got.Cols != c.want.Cols || !same(got.Values, c.want.Values) || !slices.Equal(got.Index, c.want.Index) ||
				!slices.Equal(got.Start, c.want.Start) || !same(got.Label, c.want.Label) || !same(got.Weight, c.want.Weight) ||
				!slices.Equal(got.Groups, c.want.Groups) {
				t.Errorf("%+v\nwant %+v", *got, c.want)
			}
		})
	}
}

func TestReadLibSVMErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"CSV under the default content type", "1,2,3\n", `line 1: the label "1,2,3" is not a number; a line such as "1 0:0.5 3:2" was expected, and CSV has the ContentType text/csv`},
		{"a NaN label", "1 0:1\nnan 0:1\n", "line 2: the label is missing or NaN; a number was expected"},
		{"a bad weight", "1:-2 0:1\n", `line 1: the weight "-2" is not a number that is not negative`},
		{"rows without a query", "1 qid:1 0:1\n1 0:1\n", "line 2: some rows have qid:n and others do not"},
		{"rows without a query before", "1 0:1\n1 qid:1 0:1\n", "line 2: some rows have qid:n and others do not"},
		{"two queries", "1 qid:1 qid:2 0:1\n", "line 1: some rows have qid:n and others do not"},
		{"a query that is no number", "1 qid:x 0:1\n", `line 1: "qid:x" is not qid:n with a whole number n`},
		{"no colon", "1 0:1 5\n", `line 1: "5" is not index:value`},
		{"a negative index", "1 -1:1\n", `line 1: "-1:1" is not index:value`},
		{"an index beyond 31 bits", "1 99999999999:1\n", `line 1: "99999999999:1" is not index:value`},
		{"no value", "1 0:\n", `line 1: feature "0:" is not index:value`},
		{"text for a value", "1 0:a\n", `line 1: feature "0:a" is not index:value: "a" is not a number`},
		{"one index twice", "1 3:1 3:2\n", "line 1: feature index 3 occurs twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadLibSVM([]byte(c.text), Options{})
			if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
				t.Errorf("error %v\n want %s", err, c.want)
			}
		})
	}
}

func TestReadLibSVMInChunks(t *testing.T) {
	var text bytes.Buffer
	rows := 0
	for text.Len() < 8*smallChunk {
		text.WriteString(strconv.Itoa(rows) + ":2 1:1 " + strconv.Itoa(2+rows%5) + ":7 # a:b\n\n")
		rows++
	}
	for _, threads := range []int{1, 4} {
		m, err := ReadLibSVM(text.Bytes(), Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if m.Rows != rows || len(m.Values) != 2*rows || len(m.Start) != rows+1 || m.Cols != 7 {
			t.Fatalf("%d rows, %d values, %d columns", m.Rows, len(m.Values), m.Cols)
		}
		for i := range rows {
			at := m.Start[i]
			if at != int64(2*i) || m.Label[i] != float32(i) || m.Weight[i] != 2 || m.Index[at+1] != int32(2+i%5) || m.Values[at+1] != 7 {
				t.Fatalf("row %d is wrong", i)
			}
		}
	}
}

// FuzzReadLibSVM: no panic, a refusal is a client error, rows are well formed.
func FuzzReadLibSVM(f *testing.F) {
	for _, seed := range []string{"1 0:1\n", "1:2 0:1 5:nan", "# x\n\n", "0:1 1:2", "1 qid:1 2:3\r\n", "nan", "1 5:1 2:1", "1 :"} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, noLabel bool) {
		m, err := ReadLibSVM(b, Options{NoLabel: noLabel, Threads: 1})
		if err != nil {
			if !algo.IsClientError(err) {
				t.Fatalf("%v is not a client error", err)
			}
			return
		}
		checkSparse(t, m)
		if !noLabel && len(m.Label) != m.Rows {
			t.Fatal("labels do not fit")
		}
	})
}

// checkSparse makes sure that m is a well-formed CSR matrix.
func checkSparse(t *testing.T, m *algo.Matrix) {
	t.Helper()
	if len(m.Start) != m.Rows+1 || len(m.Index) != len(m.Values) || m.Start[0] != 0 || m.Start[m.Rows] != int64(len(m.Values)) {
		t.Fatalf("a matrix that does not fit: %+v", m)
	}
	for i := range m.Rows {
		row := m.Index[m.Start[i]:m.Start[i+1]]
		for j, index := range row {
			if int(index) >= m.Cols || index < 0 || j > 0 && index <= row[j-1] {
				t.Fatalf("row %d has indices %v of %d columns", i, row, m.Cols)
			}
		}
	}
}
