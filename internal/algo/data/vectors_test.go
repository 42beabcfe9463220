// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// TestRecordIOInStretches reads a file of several stretches, some of whose
// records have several parts, that is right or wrong at some record.
func TestRecordIOInStretches(t *testing.T) {
	const n = 16_000 // 2 MiB, three stretches
	for _, c := range []struct {
		name   string
		at     int
		change *recordio.Record
		cut    bool // the last record is cut off
		sparse bool
		err    string
	}{
		{name: "all vectors"},
		{name: "a sparse one", at: 15_000, change: new(sparseRow(1, 28, []uint64{3}, 1)), sparse: true},
		{name: "a longer one", at: 13_000, change: new(row(1, make([]float32, 29)...)), err: "record 13000: has 29 features, but the first row has 28"},
		{name: "no label", at: 11_000, change: new(row(float32(math.NaN()), make([]float32, 28)...)), err: "record 11000: the label is missing or NaN"},
		{name: "cut off", cut: true, err: "record 16000: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var file bytes.Buffer
			w := recordio.NewWriter(&file)
			for i := range n {
				values := make([]float32, 28)
				values[3] = float32(i)
				r := row(float32(i%7), values...)
				if c.change != nil && i == c.at-1 {
					r = *c.change
				}
				write := w.Write
				if i%1000 == 3 {
					write = w.WriteSplit
				}
				if err := write(r.Append(nil)); err != nil {
					t.Fatal(err)
				}
			}
			b := file.Bytes()
			if c.cut {
				b = b[:len(b)-8]
			}
			for _, room := range []int64{1 << 40, 0} {
				memory := spill.Of(room)
				defer memory.Close()
				m, err := ReadRecordIO(b, Options{Threads: 2, Memory: memory})
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) {
						t.Errorf("error %v, want %s", err, c.err)
					}
					continue
				}
				if err != nil || m.Rows != n || m.Cols != 28 || m.Sparse() != c.sparse || len(m.Label) != n {
					t.Fatalf("%v, %d x %d", err, m.Rows, m.Cols)
				}
				for i := range n {
					at := i*28 + 3
					if c.sparse && i == c.at-1 {
						continue
					} else if c.sparse && i >= c.at {
						at -= 27
					}
					if m.Values[at] != float32(i) || m.Label[i] != float32(i%7) {
						t.Fatalf("row %d: %v, label %v", i, m.Values[at], m.Label[i])
					}
				}
			}
		})
	}
	if parts := cutRecords(&source{b: []byte(written(t, row(1, 2)) + "x")}); len(parts) != 1 || parts[0].count != 0 {
		t.Error(fmt.Sprint(parts))
	}
}

// TestWhereTheTableLies reads text to a space without room and to the heap.
func TestWhereTheTableLies(t *testing.T) {
	for _, c := range []struct {
		name string
		text []byte
		read func([]byte, Options) (*algo.Matrix, error)
	}{
		{"csv", csvTable(3_000, 31, 2), ReadCSV},
		{"libsvm", libsvmTable(3_000, 45), ReadLibSVM},
	} {
		memory := spill.Of(0)
		defer memory.Close()
		want, err := c.read(c.text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.read(c.text, Options{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(want.Values, got.Values) || !slices.Equal(want.Index, got.Index) || !slices.Equal(want.Start, got.Start) {
			t.Errorf("%s: it makes a difference where the table lies", c.name)
		}
	}
}

// TestPipeLargerThanMemory reads a stream to a space without room.
func TestPipeLargerThanMemory(t *testing.T) {
	text := csvTable(9_000, 31, 2)
	memory := spill.Of(0)
	defer memory.Close()
	b, err := spill.ReadAll(memory, bytes.NewReader(text), 0)
	if err != nil || !bytes.Equal(b, text) {
		t.Errorf("%d of %d bytes, %v", len(b), len(text), err)
	}
	if !memory.Spilled() && runtime.GOOS == "linux" {
		t.Error("it lies in memory")
	}
}
