// SPDX-License-Identifier: Apache-2.0

package data

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// cutRecords cuts a source into stretches of whole records, and counts them.
// What is not RecordIO throughout stays whole and uncounted: reading it tells
// what is wrong, and where.
func cutRecords(src *source) []records {
	var parts []records
	b := src.b
	from, count, before := 0, 0, 0
	for at := 0; at < len(b); {
		kind, size, ok := recordPart(b[at:])
		if !ok {
			return []records{{chunk: chunk{src, 0, len(b)}}}
		}
		if kind <= 1 { // a record begins
			if at-from >= chunkBytes {
				parts = append(parts, records{chunk: chunk{src, from, at}, before: before, count: count})
				from, before, count = at, before+count, 0
			}
			count++
		}
		at += size
	}
	chunk{src, 0, len(b)}.rest()
	if from == len(b) {
		return parts
	}
	return append(parts, records{chunk: chunk{src, from, len(b)}, before: before, count: count})
}

// recordPart is the kind of the part that b begins with and its size, header and
// padding included. ok is false when it is none or is cut off.
func recordPart(b []byte) (kind uint32, size int, ok bool) {
	if len(b) < recordio.HeaderSize || binary.LittleEndian.Uint32(b) != recordio.Magic {
		return 0, 0, false
	}
	word := binary.LittleEndian.Uint32(b[4:])
	size = recordio.HeaderSize + (int(word&recordio.MaxPart)+3)&^3
	return word >> 29, size, word>>29 <= 3 && size <= len(b)
}

// errOther says that a record is not what readVectors reads.
var errOther = errors.New("not a row like those before")

// vectors is what one stretch of records adds to a table.
type vectors struct {
	records
	row    int // of the table, its first
	from   int // of the table's stored numbers, its first
	stored int // so many
}

// readVectors reads records into m in two rounds: the first finds how much each
// stretch stores, so that the second has a place for each number. done is false
// when something is wrong, which the way around tells.
func readVectors(m *algo.Matrix, parts []records, opts Options) (done bool, err error) {
	stretches := make([]vectors, len(parts))
	for i, p := range parts {
		if p.count == 0 && p.to > p.from {
			return false, nil
		}
		stretches[i].records = p
	}
	if each(len(stretches), opts.Threads, func(i int) error { return stretches[i].measure() }) != nil {
		return false, nil
	}
	rows, stored, cols, sparse := 0, 0, 0, false
	for i := range stretches {
		p := &stretches[i]
		p.row, p.from = rows, stored
		rows, stored = rows+p.count, stored+p.stored
		cols, sparse = max(cols, p.cols), sparse || p.sparse
	}
	for i := range stretches {
		if p := &stretches[i]; !sparse && p.count > 0 && p.cols != cols {
			return false, nil
		}
	}
	if rows == 0 {
		return false, nil
	}
	var errs [3]error
	if errs[0] = roomFor(m, opts, rows, stored); sparse {
		m.Start, errs[1] = room(opts, m.Start, rows+1)
		m.Index, errs[2] = room(opts, m.Index, stored)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return false, err
	}
	if m.Cols = cols; sparse {
		m.Start[rows] = int64(stored)
	}
	if each(len(stretches), opts.Threads, func(i int) error { return stretches[i].read(m, opts) }) != nil {
		clearMatrix(m)
		return false, nil
	}
	return true, nil
}

// measure is the first round.
func (v *vectors) measure() error {
	defer v.rest()
	r := recordReader{b: v.bytes()}
	for n := range v.count {
		if err := r.next(); err != nil {
			return err
		}
		if r.sparse {
			v.sparse = true
		} else if n > 0 && !v.sparse && r.size != v.cols {
			return errOther
		}
		v.cols = max(v.cols, r.size)
		v.stored += r.stored
	}
	return nil
}

// read is the second round.
func (v *vectors) read(m *algo.Matrix, opts Options) error {
	defer v.rest()
	r := recordReader{b: v.bytes()}
	at := v.from
	for row := v.row; row < v.row+v.count; row++ {
		if err := r.next(); err != nil {
			return err
		}
		to := at + r.stored
		var index []int32
		if m.Sparse() {
			m.Start[row] = int64(at)
			index = m.Index[at:to]
		}
		if err := r.put(m.Values[at:to], index, m.Sparse()); err != nil {
			return err
		}
		at = to
		if !opts.NoLabel {
			y, err := r.label()
			if err != nil {
				return err
			}
			m.Label[row] = y
		}
	}
	spill.Rest(opts.Memory, m.Values[v.from:at])
	if m.Sparse() {
		spill.Rest(opts.Memory, m.Index[v.from:at])
	}
	return nil
}

// recordReader reads the records of a stretch one by one where they lie.
type recordReader struct {
	b      []byte
	joined []byte // a record of several parts
	plain  recordio.Plain
	rec    recordio.Record // one that is not plain
	odd    *recordio.Value // its features; nil where it is plain

	// Of the last record:
	size   int // how many features it has
	stored int // of which so many are stored
	sparse bool
}

// next reads a record.
func (r *recordReader) next() error {
	payload, err := r.payload()
	if err != nil {
		return err
	}
	if x := &r.plain.Features; r.plain.Decode(payload) {
		r.odd, r.size, r.stored, r.sparse = nil, x.Size, x.Len, x.Sparse
	} else {
		if err := r.rec.Decode(payload); err != nil {
			return err
		}
		if r.odd = r.rec.Features.Get(recordio.Vector); r.odd == nil {
			return errOther
		}
		if r.size, err = r.odd.Size(); err != nil {
			return err
		}
		r.stored, r.sparse = r.odd.Len(), r.odd.Sparse()
	}
	if r.size == 0 || r.size > math.MaxInt32 {
		return errOther
	}
	return nil
}

// put puts the record's stored numbers into values and, in a sparse table, their
// columns into index, ascending.
func (r *recordReader) put(values []float32, index []int32, sparse bool) error {
	switch x := &r.plain.Features; {
	case r.odd != nil:
		appendNumbers(values[:0], r.odd)
		if sparse {
			_, err := appendKeys(index[:0], r.odd, values)
			return err
		}
	case !x.Numbers(values):
		return errOther
	case r.sparse:
		ascending, ok := x.Columns(index)
		if !ok || !ascending && sortRow(index, values) >= 0 {
			return errOther
		}
	case sparse:
		for f := range index {
			index[f] = int32(f)
		}
	}
	return nil
}

// label is the record's.
func (r *recordReader) label() (float32, error) {
	if r.odd != nil {
		return labelOf(&r.rec)
	}
	var y [1]float32
	label := &r.plain.Label
	if label.Kind == recordio.None || label.Len != 1 || !label.Numbers(y[:]) || y[0]-y[0] != 0 {
		return 0, errOther
	}
	return y[0], nil
}

// payload is that of the next record.
func (r *recordReader) payload() ([]byte, error) {
	r.joined = r.joined[:0]
	for {
		kind, size, ok := recordPart(r.b)
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		length := int(binary.LittleEndian.Uint32(r.b[4:]) & recordio.MaxPart)
		body := r.b[recordio.HeaderSize : recordio.HeaderSize+length]
		r.b = r.b[size:]
		switch {
		case kind == 0 && len(r.joined) == 0:
			return body, nil
		case kind == 0, kind == 1 && len(r.joined) > 0, kind > 1 && len(r.joined) == 0:
			return nil, errOther
		case kind > 1:
			r.joined = binary.LittleEndian.AppendUint32(r.joined, recordio.Magic)
		}
		if r.joined = append(r.joined, body...); kind == 3 {
			return r.joined, nil
		}
	}
}
