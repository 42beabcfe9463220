// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// check compares m, read from sources, with what opts asks of its rows, and
// makes m.Cols what is asked for where a sparse table happens to be narrower.
func check(m *algo.Matrix, sources []source, format Format, opts Options) error {
	if opts.Cols > 0 && m.Cols != opts.Cols {
		if m.Sparse() && m.Cols < opts.Cols {
			m.Cols = opts.Cols
		} else {
			return tooWide(m, sources, format, opts)
		}
	}
	if err := checkValues(m, sources, format, opts); err != nil {
		return err
	}
	if opts.CheckLabel != nil {
		for row, y := range m.Label {
			if err := opts.CheckLabel(y); err != nil {
				return algo.ClientErrorf("%s: the label is %s; %w", placeOf(sources, format, row), orMissing(y), err)
			}
		}
	}
	return nil
}

// stretch is how many values a goroutine checks at a time.
const stretch = 1 << 20

// block is how many values are looked at at once, before the wrong one is sought.
const block = 1 << 10

// finite reports whether all values are: neither NaN nor infinite.
func finite(values []float32) bool {
	var a, b uint32
	for ; len(values) >= 4; values = values[4:] {
		a |= carried(values[0]) | carried(values[1])
		b |= carried(values[2]) | carried(values[3])
	}
	for _, v := range values {
		a |= carried(v)
	}
	return (a|b)>>31 == 0
}

// carried has its highest bit set where v is not finite: then all bits of the
// exponent are set, and one more at its end carries over.
func carried(v float32) uint32 { return math.Float32bits(v)&^(1<<31) + 1<<23 }

// checkValues tells of the first value that is not as opts asks. Of formats other
// than RecordIO infinity is no number that is read.
func checkValues(m *algo.Matrix, sources []source, format Format, opts Options) error {
	b := opts.Bounds
	if !opts.Finite && b == nil && format != RecordIO {
		return nil
	}
	wrong := func(at int, want string) error {
		row, col := cell(m, at)
		return algo.ClientErrorf("%s: feature %d is %s; %s was expected", placeOf(sources, format, row), col+1, orMissing(m.Values[at]), want)
	}
	return each((len(m.Values)+stretch-1)/stretch, opts.Threads, func(i int) error {
		part := m.Values[i*stretch : min((i+1)*stretch, len(m.Values))]
		for from := 0; from < len(part); from += block {
			some := part[from:min(from+block, len(part))]
			if b == nil && finite(some) {
				continue
			}
			for j, v := range some {
				switch {
				case v-v != 0 && (opts.Finite || v == v):
					return wrong(i*stretch+from+j, "a finite number")
				case b != nil && (v < b.Min || v > b.Max):
					return wrong(i*stretch+from+j, b.Want)
				}
			}
		}
		spill.Rest(opts.Memory, part)
		return nil
	})
}

// tooWide tells of the first row that has not opts.Cols features.
func tooWide(m *algo.Matrix, sources []source, format Format, opts Options) error {
	row, has := 0, m.Cols
	if m.Sparse() {
		for row < m.Rows && (m.Start[row] == m.Start[row+1] || int(m.Index[m.Start[row+1]-1]) < opts.Cols) {
			row++
		}
		if row == m.Rows { // only the shapes of the vectors say so
			row = 0
		} else {
			has = int(m.Index[m.Start[row+1]-1]) + 1
		}
	}
	hint := ""
	switch {
	case format == CSV && opts.Unsupervised && !opts.NoLabel:
		hint = " and a label, which a CSV without the content type text/csv;label_size=0 has"
	case format == CSV && !opts.NoLabel && opts.Weights:
		hint = " behind label and weight"
	case format == CSV && !opts.NoLabel:
		hint = " behind the label"
	}
	return algo.ClientErrorf("%s: has %s%s, but %s %d", placeOf(sources, format, row), plural(has, "feature"), hint,
		cmp.Or(opts.ColsOf, "feature_dim is"), opts.Cols)
}

// cell is the row and column of value at of m.
func cell(m *algo.Matrix, at int) (row, col int) {
	if !m.Sparse() {
		return at / m.Cols, at % m.Cols
	}
	for m.Start[row+1] <= int64(at) {
		row++
	}
	return row, int(m.Index[at])
}

// orMissing writes v; NaN is also what stands for an empty field, and infinity
// for a double that no float32 holds.
func orMissing(v float32) string {
	switch {
	case math.IsNaN(float64(v)):
		return "missing or NaN"
	case math.IsInf(float64(v), 0):
		return "infinite, or too large for 32 bits"
	}
	return strconv.FormatFloat(float64(v), 'g', -1, 32)
}

// placeOf says where a row of the table is that sources make, by reading them
// once more: it is asked for once, when training ends.
func placeOf(sources []source, format Format, row int) string {
	for i := range sources {
		src := &sources[i]
		if format == Parquet {
			var f columnFile
			if f.open(src) != nil {
				break
			}
			if n := int(f.file.NumRows()); row >= n {
				row -= n
				continue
			}
			return fmt.Sprintf("file %s, row %d", src.name, row+1)
		}
		if format == RecordIO {
			r := recordio.NewReader(bytes.NewReader(src.b), 0)
			n := 0
			for ; ; n++ {
				if _, err := r.Next(); err != nil {
					break
				}
				if n == row {
					p := records{chunk: chunk{src: src}}
					return p.place(n + 1)
				}
			}
			row -= n
			continue
		}
		for from := skipBOM(src.b); from < len(src.b); {
			to := lineEnd(src.b, from)
			if c := (chunk{src, from, to}); !blank(c.bytes()) && !comment(c.bytes(), format) {
				if row == 0 {
					return c.place(0)
				}
				row--
			}
			from = to
		}
	}
	return fmt.Sprintf("row %d", row+1)
}

// comment reports whether a line of libsvm holds nothing else.
func comment(line []byte, format Format) bool {
	return format == LibSVM && bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#"))
}

// Text is one text file of a channel.
type Text struct {
	Name  string // its path below the channel
	Bytes []byte
}

// Place says where the byte at offset i of t is, as errors of Load do: "file
// a.txt, line 3".
func (t Text) Place(i int) string {
	return chunk{&source{name: t.Name, b: t.Bytes}, 0, len(t.Bytes)}.place(i)
}

// OpenText gives the files of a channel that holds no table, in the order of
// their paths; of one in Pipe mode the stream of an epoch, which counts from 0.
// With RecordWrapperType RecordIO each record is a file. The bytes are of use
// until release. A channel of white space alone is a client error that wraps ErrNoRows.
func OpenText(ch *algo.Channel, epoch int) (texts []Text, release func(), err error) {
	sources, release, err := open(ch, epoch, ch.Wrapped, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s channel: %w", ch.Name, err)
	}
	empty := true
	for _, src := range sources {
		empty = empty && blank(src.b)
		texts = append(texts, Text{src.name, src.b[skipBOM(src.b):]})
	}
	if err = checkKinds(sources, "", ""); err == nil && empty {
		err = noRows(sources)
	}
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("%s channel: %w", ch.Name, err)
	}
	return texts, release, nil
}
