// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// parquetOf writes rows, structs, as a file of row groups of size rows.
func parquetOf[T any](t testing.TB, rows []T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, rows, parquet.MaxRowsPerRowGroup(size), parquet.Compression(&parquet.Snappy)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func fileOf(t testing.TB, name string) source {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return source{name, b, false}
}

// All kinds of numbers, as pyarrow writes them in its new and in its old form.
func TestReadParquetTypes(t *testing.T) {
	nan := math.NaN()
	want := [][]float64{
		{1, -128, 0, -2147483648, 0, -(1 << 40), 0, 0.5, 0.1, 0.1, 1.25, 123456789012345678901.5, nan},
		{0, 127, 255, 2147483647, 4294967295, 1 << 40, 1<<64 - 1, -2, nan, 1e30, -3.5, -1.5, nan},
		{nan, 0, 1, 0, 1, 0, 1, 65504, nan, nan, nan, nan, nan},
		{1, 1, 2, 1, 2, nan, 2, 5.9604645e-08, -3e38, -2, 0.01, 0, nan},
		{1, nan, 3, 2, 3, 2, 3, 1, 1e-40, 3, 4, 1, nan},
		{0, 5, nan, 3, 4, 3, 4, nan, 2.5, 4, 5, 2, nan},
		{0, 6, 5, 4, 5, 4, 5, 3, 7, 5, 9999999.99, 3, nan},
	}
	for _, name := range []string{"types.parquet", "types-old.parquet"} {
		for _, threads := range []int{1, 3} {
			m := new(algo.Matrix)
			if err := readParquet(m, []source{fileOf(t, name)}, Options{Threads: threads}); err != nil {
				t.Fatal(err)
			}
			if m.Rows != 7 || m.Cols != 13 || !same(m.Label, []float32{0, 1, 0, 1, 1, 0, 1}) {
				t.Fatalf("%s: %d×%d, labels %v", name, m.Rows, m.Cols, m.Label)
			}
			for r, row := range want {
				for c, v := range row {
					if got := m.Values[r*m.Cols+c]; got != float32(v) && !(math.IsNaN(v) && got != got) {
						t.Errorf("%s: row %d, column %d is %v, want %v", name, r, c, got, v)
					}
				}
			}
		}
	}
}

func TestReadParquetFiles(t *testing.T) {
	type ab struct {
		Y float64  `parquet:"y"`
		A int32    `parquet:"a"`
		B *float64 `parquet:"b"`
	}
	type ba struct {
		B *float64 `parquet:"b"`
		Y float64  `parquet:"y"`
		A int32    `parquet:"a"`
	}
	half := 0.5
	sources := []source{
		{"1.parquet", parquetOf(t, []ab{{Y: 1, A: 2, B: &half}, {Y: 0, A: 3}, {Y: 1, A: 4, B: &half}}, 2), false},
		{"2.parquet", parquetOf(t, []ab{}, 2), false},
		{"3.parquet", parquetOf(t, []ba{{Y: 5, A: 6, B: &half}}, 2), false},
		fileOf(t, "frame.parquet"), // whose index is no column
	}
	m := new(algo.Matrix)
	if err := readParquet(m, sources, Options{Threads: 2}); err != nil {
		t.Fatal(err)
	}
	if !same(m.Label, []float32{1, 0, 1, 5, 1, 0, 1}) {
		t.Errorf("labels %v", m.Label)
	}
	if want := []float32{2, 0.5, 3, nan, 4, 0.5, 6, 0.5, 1, 0.5, 2, nan, 3, 2}; !same(m.Values, want) {
		t.Errorf("values %v, want %v", m.Values, want)
	}
	if err := readParquet(m, sources[:1], Options{NoLabel: true}); err != nil {
		t.Fatal(err)
	}
	if m.Rows != 3 || m.Cols != 3 || m.Label != nil || m.Values[0] != 1 {
		t.Errorf("without labels: %+v", m)
	}
	if err := readParquet(m, sources[1:2], Options{}); err != nil || m.Rows != 0 {
		t.Errorf("no rows: %v, %d", err, m.Rows)
	}

	// As in a pipe, where the files follow one another.
	var all []byte
	for _, s := range sources {
		all = append(all, s.b...)
	}
	parts := cutParquet(source{"train_0", all, false})
	if len(parts) != len(sources) {
		t.Fatalf("%d parts, want %d", len(parts), len(sources))
	}
	for i, p := range parts {
		if !bytes.Equal(p.b, sources[i].b) {
			t.Errorf("part %d differs", i)
		}
	}
	if parts := cutParquet(source{"train_0", sources[0].b, false}); len(parts) != 1 || parts[0].name != "train_0" {
		t.Errorf("one file: %d parts, %s", len(parts), parts[0].name)
	}
}

func TestReadParquetErrors(t *testing.T) {
	type one struct {
		Y float64 `parquet:"y"`
	}
	type two struct {
		Y *float64 `parquet:"y"`
		A float64  `parquet:"a"`
	}
	type other struct {
		Y float64 `parquet:"y"`
		X float64 `parquet:"x"`
	}
	label := 1.0
	good := source{"a.parquet", parquetOf(t, []two{{Y: &label, A: 1}}, 9), false}
	for _, c := range []struct {
		name    string
		sources []source
		want    string
	}{
		{"an empty file", []source{{"a.parquet", nil, false}}, "file a.parquet: is empty"},
		{"CSV", []source{{"a.csv", []byte("1,2,3\n4,5,6\n7,8,9\n"), false}}, "file a.csv: is no Parquet file"},
		{"half a file", []source{{"a.parquet", good.b[:len(good.b)/2], false}}, "file a.parquet: is no Parquet file"},
		{"text", []source{fileOf(t, "text.parquet")}, "file text.parquet: column s holds"},
		{"a list", []source{fileOf(t, "list.parquet")}, "file list.parquet: column l is nested"},
		{"times", []source{fileOf(t, "time.parquet")}, "file time.parquet: column t holds"},
		{"one column", []source{{"a.parquet", parquetOf(t, []one{{1}}, 9), false}}, "file a.parquet: has one column"},
		{"a missing label", []source{{"a.parquet", parquetOf(t, []two{{Y: &label}, {}}, 1), false}}, "file a.parquet: row 2: the label is missing or NaN"},
		{"infinity", []source{{"a.parquet", parquetOf(t, []two{{&label, math.Inf(1)}}, 9), false}}, "row 1: column a is infinite, or too large for 32 bits; a finite number was expected"},
		{"a large number", []source{{"a.parquet", parquetOf(t, []two{{&label, 1e39}}, 9), false}}, "row 1: column a is infinite, or too large for 32 bits; a finite number was expected"},
		{"columns that differ", []source{good, {"b.parquet", parquetOf(t, []other{{1, 2}}, 9), false}}, "file b.parquet: has no column a, which file a.parquet has"},
		{"fewer columns", []source{good, {"b.parquet", parquetOf(t, []one{{1}}, 9), false}}, "file b.parquet: has 1 column, but file a.parquet has 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := readParquet(new(algo.Matrix), c.sources, Options{})
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want a client error with %q", err, c.want)
			}
		})
	}
}

func FuzzReadParquet(f *testing.F) {
	for _, name := range []string{"types.parquet", "types-old.parquet", "frame.parquet", "list.parquet"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readParquet(new(algo.Matrix), []source{{"x", b, false}}, Options{Threads: 1})
		if err != nil && !algo.IsClientError(err) {
			t.Errorf("error is %v", err)
		}
		cutParquet(source{"x", append(append([]byte{}, b...), b...), false})
	})
}

// Broken files are refused or read, and neither panic nor ask for much.
func TestBrokenParquet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"types.parquet", "types-old.parquet", "frame.parquet"} {
		whole := fileOf(t, name).b
		tries := 300
		if raced {
			tries /= 5
		}
		for i := range tries {
			b := slices.Clone(whole)
			for range 1 + i%4 {
				b[rng.IntN(len(b))] = byte(rng.IntN(256))
			}
			if err := readParquet(new(algo.Matrix), []source{{"x", b, false}}, Options{Threads: 1}); err != nil && !algo.IsClientError(err) {
				t.Fatalf("%s: %v", name, err)
			}
			cutParquet(source{"x", append(b, b...), false})
		}
	}
}
