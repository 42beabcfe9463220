// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// alike is what all records of a table have in common when they differ in
// nothing but their numbers, as those that an SDK makes of a dense array do: the
// place of each number is known before it is read.
type alike struct {
	first  []byte // the first record, header and padding included
	from   int    // where its features begin
	middle int    // where they end
	kind   recordio.Kind
	label  int // where its label begins; len(first) where it has none
	tail   int // where that ends
	of     recordio.Kind
}

// likeFirst is the form of the record that b begins with. ok is false where its
// numbers have no place that all records can share, or where it is not as opts
// asks, which the way around tells.
func likeFirst(b []byte, opts Options) (a alike, ok bool) {
	part, size, ok := recordPart(b)
	if !ok || part != 0 {
		return a, false
	}
	a.first = b[:size:size]
	length := int(binary.LittleEndian.Uint32(b[4:]) & recordio.MaxPart)
	var p recordio.Plain
	if !p.Decode(a.first[recordio.HeaderSize : recordio.HeaderSize+length]) {
		return a, false
	}
	place := func(v []byte) int { return size - cap(v) } // v reaches to the end of first
	x, y := &p.Features, &p.Label
	if x.Len == 0 || x.Sparse || x.Kind == recordio.Int32 {
		return a, false
	}
	a.kind, a.of, a.label, a.tail = x.Kind, y.Kind, size, size
	a.from = place(x.Values)
	a.middle = a.from + len(x.Values)
	if y.Kind == recordio.None {
		return a, opts.NoLabel
	}
	a.label = place(y.Values)
	a.tail = a.label + len(y.Values)
	return a, y.Len == 1 && !y.Sparse && (y.Kind != recordio.Int32 || len(y.Values) == 1)
}

// cols is how many features a record has.
func (a *alike) cols() int {
	if a.kind == recordio.Float64 {
		return (a.middle - a.from) / 8
	}
	return (a.middle - a.from) / 4
}

// read reads a record into row. ok is false when it is not like the first. y is
// its label, 0 where there is none.
func (a *alike) read(b []byte, row []float32) (y float32, ok bool) {
	b = b[:len(a.first)]
	if !bytes.Equal(b[:a.from], a.first[:a.from]) || !bytes.Equal(b[a.middle:a.label], a.first[a.middle:a.label]) ||
		!bytes.Equal(b[a.tail:], a.first[a.tail:]) {
		return 0, false
	}
	if a.kind == recordio.Float32 {
		recordio.Floats(row, b[a.from:a.middle])
	} else {
		x := recordio.Packed{Kind: a.kind, Values: b[a.from:a.middle], Len: len(row)}
		x.Numbers(row)
	}
	switch label := b[a.label:a.tail]; a.of {
	case recordio.Float32:
		y = math.Float32frombits(binary.LittleEndian.Uint32(label))
	case recordio.Float64:
		y = float32(math.Float64frombits(binary.LittleEndian.Uint64(label)))
	case recordio.Int32:
		return float32(label[0]), label[0] < 0x80
	}
	return y, true
}

// readAlike reads records that are alike into m. done is false when they are not.
func readAlike(m *algo.Matrix, sources []source, opts Options) (done bool, err error) {
	var form alike
	rows := 0
	for i := range sources {
		b := sources[i].b
		if len(b) == 0 {
			continue
		}
		if form.first == nil {
			var ok bool
			if form, ok = likeFirst(b, opts); !ok {
				return false, nil
			}
		}
		if len(b)%len(form.first) != 0 {
			return false, nil
		}
		rows += len(b) / len(form.first)
	}
	if rows == 0 {
		return false, nil
	}
	cols, size := form.cols(), len(form.first)
	if err := roomFor(m, opts, rows, rows*cols); err != nil {
		return false, err
	}
	type stretch struct {
		chunk
		row int
	}
	m.Cols = cols
	var parts []stretch
	row, step := 0, max(1, chunkBytes/size)*size
	for i := range sources {
		n := len(sources[i].b)
		for from := 0; from < n; from += step {
			c := chunk{&sources[i], from, min(from+step, n)}
			parts = append(parts, stretch{c, row})
			row += (c.to - c.from) / size
		}
	}
	var other atomic.Bool
	_ = each(len(parts), opts.Threads, func(i int) error {
		p := parts[i]
		defer p.rest()
		row := p.row
		for b := p.bytes(); len(b) > 0; b = b[size:] {
			y, ok := form.read(b, m.Values[row*cols:(row+1)*cols])
			if !ok || !opts.NoLabel && y-y != 0 {
				other.Store(true)
				return errOther
			}
			if !opts.NoLabel {
				m.Label[row] = y
			}
			row++
		}
		spill.Rest(opts.Memory, m.Values[p.row*cols:row*cols])
		return nil
	})
	if other.Load() {
		clearMatrix(m)
		return false, nil
	}
	return true, nil
}

// roomFor makes m a dense table of so many rows and numbers, which are yet to come.
func roomFor(m *algo.Matrix, opts Options, rows, values int) (err error) {
	m.Rows, m.Index, m.Start, m.Weight = rows, nil, nil, nil
	if m.Values, err = room(opts, m.Values, values); err != nil {
		return err
	}
	if opts.NoLabel {
		m.Label = nil
	} else {
		m.Label = resize(m.Label, rows)
	}
	return nil
}
