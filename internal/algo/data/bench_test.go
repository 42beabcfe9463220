// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// csvTable is a label and cols-1 features of the given number of digits behind
// the point, or of the shortest form that gives the float64 back when digits
// is -1 (15 to 17 digits, as Python writes), or of six significant digits, as
// %.6g writes, near 0.
const significant = -2

func csvTable(rows, cols, digits int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for range rows {
		b.WriteString(strconv.Itoa(rng.IntN(2)))
		for range cols - 1 {
			b.WriteByte(',')
			if digits == significant {
				b.WriteString(strconv.FormatFloat(rng.NormFloat64(), 'g', 6, 64))
				continue
			}
			b.WriteString(strconv.FormatFloat(rng.NormFloat64()*100, 'f', digits, 64))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func libsvmTable(rows, cols int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for range rows {
		b.WriteString(strconv.Itoa(rng.IntN(2)))
		for col := range cols {
			if rng.IntN(3) > 0 {
				fmt.Fprintf(&b, " %d:%.6f", col, rng.NormFloat64())
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func benchRead(b *testing.B, text []byte, opts Options, read func(*algo.Matrix, []byte, Options) error) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var m algo.Matrix
	for b.Loop() {
		if err := read(&m, text, opts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadCSV(b *testing.B) {
	for _, c := range []struct {
		name   string
		digits int
	}{{"%.6g", significant}, {"2 digits", 2}, {"6 digits", 6}, {"shortest float64", -1}} {
		text := csvTable(40_000, 31, c.digits)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", c.name, threads), func(b *testing.B) {
				benchRead(b, text, Options{Threads: threads}, ReadCSVInto)
			})
		}
	}
}

func BenchmarkReadLibSVM(b *testing.B) {
	text := libsvmTable(40_000, 45)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			benchRead(b, text, Options{Threads: threads}, ReadLibSVMInto)
		})
	}
}

func BenchmarkReadRecordIO(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var file bytes.Buffer
	w := recordio.NewWriter(&file)
	for range 200_000 {
		row := make([]float32, 28)
		for i := range row {
			row[i] = float32(rng.NormFloat64())
		}
		rec := recordio.Record{
			Features: recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: row}}},
			Label:    recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: row[:1]}}},
		}
		if err := w.Write(rec.Append(nil)); err != nil {
			b.Fatal(err)
		}
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			benchRead(b, file.Bytes(), Options{Threads: threads}, func(m *algo.Matrix, b []byte, opts Options) error {
				return readRecordIO(m, []source{{b: b}}, opts)
			})
		})
	}
}

// BenchmarkLoad reads a channel of two files into fresh memory.
func BenchmarkLoad(b *testing.B) {
	text := csvTable(40_000, 31, 6)
	dir := b.TempDir()
	for _, name := range []string{"a.csv", "b.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	ch := &algo.Channel{Name: "train", Dir: dir, ContentType: "text/csv"}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.SetBytes(2 * int64(len(text)))
			for b.Loop() {
				if _, err := Load(ch, Options{Threads: threads}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChannel reads the folder that BENCH_CHANNEL names, of the content
// type BENCH_TYPE, with GOMAXPROCS threads: test/bench reads its files so.
func BenchmarkChannel(b *testing.B) {
	ch := &algo.Channel{Name: "train", Dir: os.Getenv("BENCH_CHANNEL"), ContentType: os.Getenv("BENCH_TYPE")}
	if ch.Dir == "" {
		b.Skip("BENCH_CHANNEL names no folder")
	}
	entries, err := os.ReadDir(ch.Dir)
	if err != nil {
		b.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(ch.Dir, e.Name()))
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Load(ch, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
