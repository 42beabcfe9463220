// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// same compares floats by their bits, all NaN being one.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

func TestReadCSV(t *testing.T) {
	features, labelled, weighted := Options{NoLabel: true}, Options{}, Options{Weights: true}
	for _, c := range []struct {
		name                  string
		text                  string
		opts                  Options
		values, label, weight []float32
		cols                  int
	}{
		{"label first", "1,2,3\n0,4,5\n", labelled, []float32{2, 3, 4, 5}, []float32{1, 0}, nil, 2},
		{"weight second", "1,0.5,3\n0,2,5\n", weighted, []float32{3, 5}, []float32{1, 0}, []float32{0.5, 2}, 1},
		{"features alone", "1.5,-2,3e2", features, []float32{1.5, -2, 300}, nil, nil, 3},
		{"one value", "7\n", features, []float32{7}, nil, nil, 1},
		{"tabs", "1\t2\n", labelled, []float32{2}, []float32{1}, nil, 1},
		{"semicolons", "1;2\n", labelled, []float32{2}, []float32{1}, nil, 1},
		{"bars", "1|2\n", labelled, []float32{2}, []float32{1}, nil, 1},
		{"spaces", "1 2\n3 4\n", labelled, []float32{2, 4}, []float32{1, 3}, nil, 1},
		{"a comma beside spaces", "1, 2 , 3\n", labelled, []float32{2, 3}, []float32{1}, nil, 2},
		{"windows line ends and a byte order mark", "\ufeff1,2\r\n3,4\r\n", labelled, []float32{2, 4}, []float32{1, 3}, nil, 1},
		{"empty fields and nan are missing", "1,,nan,NaN\n0,5,,\n", labelled, []float32{nan, nan, nan, 5, nan, nan}, []float32{1, 0}, nil, 3},
		{"quoted numbers", "\"1\",\"2.5\",\"\"\n", labelled, []float32{2.5, nan}, []float32{1}, nil, 2},
		{"blank lines", "\n1,2\n\n \n3,4\n\n", labelled, []float32{2, 4}, []float32{1, 3}, nil, 1},
		{"a row of tabs is missing values", "1\t2\n\t\n", features, []float32{1, 2, nan, nan}, nil, nil, 2},
		{"many digits", "0.12345678901234567890123,1\n", features, []float32{0.12345679, 1}, nil, nil, 2},
		{"nothing", "", features, nil, nil, nil, 0},
		{"white space alone", " \n\n", features, nil, nil, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ReadCSV([]byte(c.text), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if m.Sparse() || m.Cols != c.cols || !same(m.Values, c.values) || !same(m.Label, c.label) || !same(m.Weight, c.weight) {
				t.Errorf("%+v", m)
			}
			if c.cols > 0 && m.Rows != len(c.values)/c.cols {
				t.Errorf("%d rows", m.Rows)
			}
		})
	}
}

func TestReadCSVErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		opts       Options
		want       string
	}{
		{"a header", "id,age\n1,2\n", Options{}, `line 1: column 1: "id" is not a number; it looks like a header line, and a CSV must have none`},
		{"text in a field", "1,2,3\n4,blue,6\n", Options{}, `line 2: column 2: "blue" is not a number`},
		{"text at the end of a line", "1,2\n4,x\r\n", Options{}, `line 2: column 2: "x" is not a number`},
		{"a number with a tail", "1,2kg\n", Options{}, `line 1: column 2: "2kg" is not a number`},
		{"a hexadecimal number", "1,0x10\n", Options{}, `line 1: column 2: "0x10" is not a number`},
		{"infinity", "1,inf\n", Options{}, `line 1: column 2: "inf" is not a finite number`},
		{"a value beyond 32 bits", "1,1e39\n", Options{}, `line 1: column 2: "1e39" is not a number that fits in 32 bits`},
		{"fewer columns", "1,2,3\n\n4,5\n", Options{}, "line 3: has 2 columns, but the first row has 3"},
		{"more columns", "1,2\n4,5,6\n", Options{}, "line 2: has 3 columns, but the first row has 2"},
		{"a missing label", "1,2\n,3\n", Options{}, "line 2: the label (column 1) is missing or NaN; a number was expected"},
		{"a NaN label", "nan,2\n", Options{}, "line 1: the label (column 1) is missing or NaN; a number was expected"},
		{"a negative weight", "1,-1,2\n", Options{Weights: true}, "line 1: the weight (column 2) must be a number that is not negative"},
		{"a missing weight", "1,,2\n", Options{Weights: true}, "line 1: the weight (column 2) must be a number that is not negative"},
		{"a label alone", "1\n", Options{}, "line 1: a row has 1 column but needs a label and at least one feature"},
		{"no feature beside the weight", "1,1\n", Options{Weights: true}, "line 1: a row has 2 columns but needs a label, a weight and at least one feature"},
		{"a long text is cut", "1," + strings.Repeat("ab", 50) + "\n", Options{}, `line 1: column 2: "` + strings.Repeat("ab", 20) + `"... is not a number`},
		{"bytes that are no text", "1,\xff\x00\n", Options{}, `line 1: column 2: "�\x00" is not a number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadCSV([]byte(c.text), c.opts)
			if err == nil || err.Error() != c.want {
				t.Errorf("error %v\n want %s", err, c.want)
			}
			if !algo.IsClientError(err) {
				t.Error("not a client error")
			}
		})
	}
}

// TestReadCSVInChunks reads a table of several chunks with blank lines at many
// places, on one goroutine and on four.
func TestReadCSVInChunks(t *testing.T) {
	var text bytes.Buffer
	rows := 0
	for text.Len() < 8*smallChunk+100 {
		text.WriteString(strconv.Itoa(rows) + ",0.25," + strconv.Itoa(-rows) + "\n")
		if rows++; rows%1000 == 0 {
			text.WriteString("\n\n")
		}
	}
	for _, threads := range []int{1, 4} {
		m, err := ReadCSV(text.Bytes(), Options{Weights: true, Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if m.Rows != rows || len(m.Values) != rows || len(m.Label) != rows || len(m.Weight) != rows {
			t.Fatalf("%d rows, want %d", m.Rows, rows)
		}
		for i := range rows {
			if m.Label[i] != float32(i) || m.Values[i] != float32(-i) || m.Weight[i] != 0.25 {
				t.Fatalf("row %d is %v %v %v", i, m.Label[i], m.Weight[i], m.Values[i])
			}
		}
	}
	bad := append(text.Bytes(), "1,2,x\n1,2,y\n"...)
	line := bytes.Count(bad, []byte("\n")) - 1
	for range 5 {
		_, err := ReadCSV(bad, Options{Threads: 4})
		if want := "line " + strconv.Itoa(line) + `: column 3: "x" is not a number`; err == nil || err.Error() != want {
			t.Fatalf("error %v, want %s", err, want)
		}
	}
}

func TestReadCSVIntoUsesMemoryAgain(t *testing.T) {
	var m algo.Matrix
	row := []byte("1.5,2,3,4,5,6,7,8\n")
	opts := Options{NoLabel: true, Threads: 1}
	if err := ReadCSVInto(&m, row, opts); err != nil {
		t.Fatal(err)
	}
	first := &m.Values[0]
	if err := ReadCSVInto(&m, row, opts); err != nil || &m.Values[0] != first {
		t.Errorf("error %v, or other memory", err)
	}
}

// FuzzReadCSV: no panic, a refusal is a client error, and what is read is what
// encoding/csv and strconv read.
func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{"1,2\n3,4\n", "a,b", "\"1\",2\n", "1\t\t\n", "1;2\r\n3;4", " 1 , 2 ", "\n\n", "1e999,2", "nan,1\n", ",", "-0.1e-3|5"} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, mode uint8) {
		opts := Options{NoLabel: mode%3 == 0, Weights: mode%3 == 2, Threads: 1}
		m, err := ReadCSV(b, opts)
		if err != nil {
			if !algo.IsClientError(err) {
				t.Fatalf("%v is not a client error", err)
			}
			return
		}
		if len(m.Values) != m.Rows*m.Cols || !opts.NoLabel && len(m.Label) != m.Rows || opts.Weights && m.Rows > 0 && len(m.Weight) != m.Rows {
			t.Fatalf("a matrix that does not fit: %+v", m)
		}
		if !opts.NoLabel || m.Rows == 0 || bytes.ContainsAny(b, "\"\t;| ") || bytes.HasPrefix(b, []byte("\ufeff")) {
			return
		}
		r := csv.NewReader(bytes.NewReader(b))
		records, err := r.ReadAll()
		if err != nil || bytes.Contains(b, []byte("\n\r")) || bytes.Contains(b, []byte("\r\r")) {
			return
		}
		var want []float32
		for _, record := range records {
			for _, field := range record {
				if field = strings.TrimSpace(field); field == "" {
					want = append(want, nan)
					continue
				}
				x, err := strconv.ParseFloat(field, 32)
				if err != nil {
					t.Fatalf("%q was read, but is no number", field)
				}
				want = append(want, float32(x))
			}
		}
		if m.Cols > 1 && !same(m.Values, want) {
			t.Fatalf("%q gives %v, want %v", b, m.Values, want)
		}
	})
}
