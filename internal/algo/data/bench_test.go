// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"fmt"
	"math"
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

// recordTable is records of 28 numbers of that kind, or of 20 of 200 numbers
// where they are sparse, and a label.
func recordTable(rows int, kind recordio.Kind, sparse bool) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var file bytes.Buffer
	w := recordio.NewWriter(&file)
	n := 28
	if sparse {
		n = 20
	}
	for range rows {
		v := recordio.Value{Kind: kind}
		for i := range n {
			switch x := rng.NormFloat64(); kind {
			case recordio.Float32:
				v.Float32 = append(v.Float32, float32(x))
			case recordio.Float64:
				v.Float64 = append(v.Float64, x)
			case recordio.Int32:
				v.Int32 = append(v.Int32, int32(math.Abs(100*x)))
			}
			if sparse {
				v.Keys = append(v.Keys, uint64(10*i+rng.IntN(10)))
				v.Shape = []uint64{200}
			}
		}
		rec := recordio.Record{
			Features: recordio.Values{{Name: recordio.Vector, Value: v}},
			Label:    recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: []float32{float32(rng.IntN(2))}}}},
		}
		_ = w.Write(rec.Append(nil)) // to memory
	}
	return file.Bytes()
}

func BenchmarkReadRecordIO(b *testing.B) {
	for _, c := range []struct {
		name   string
		kind   recordio.Kind
		sparse bool
	}{{"float32", recordio.Float32, false}, {"float64", recordio.Float64, false}, {"int32", recordio.Int32, false},
		{"sparse float32", recordio.Float32, true}, {"sparse int32", recordio.Int32, true}} {
		file := recordTable(200_000, c.kind, c.sparse)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", c.name, threads), func(b *testing.B) {
				benchRead(b, file, Options{Threads: threads}, ReadRecordIOInto)
			})
		}
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
