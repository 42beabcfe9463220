// SPDX-License-Identifier: Apache-2.0

package data

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

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
var errOther = errors.New("not a vector like the first one")

// readVectors reads the usual table into m: each record is a dense vector as
// long as the first one, so that it has its place before it is read. done is
// false when the records are of another form or wrong, which the way around
// tells.
func readVectors(m *algo.Matrix, parts []records, opts Options) (done bool, err error) {
	rows, cols := 0, 0
	first := make([]int, len(parts))
	for i := range parts {
		p := &parts[i]
		if p.count == 0 && p.to > p.from {
			return false, nil
		}
		first[i] = rows
		rows += p.count
	}
	if rows == 0 {
		return false, nil
	}
	var one recordReader
	if err := one.reset(parts[0]).next(opts); err != nil {
		return false, nil
	}
	if cols = len(one.values); cols == 0 {
		return false, nil
	}
	m.Rows, m.Cols, m.Index, m.Start, m.Weight = rows, cols, nil, nil, nil
	if m.Values, err = room(opts, m.Values, rows*cols); err != nil {
		return false, err
	}
	if opts.NoLabel {
		m.Label = nil
	} else {
		m.Label = resize(m.Label, rows)
	}
	var other atomic.Bool
	_ = each(len(parts), opts.Threads, func(i int) error {
		var r recordReader
		r.reset(parts[i])
		defer parts[i].rest()
		for n := range parts[i].count {
			if err := r.next(opts); err != nil || len(r.values) != cols {
				other.Store(true)
				return errOther
			}
			row := first[i] + n
			copy(m.Values[row*cols:(row+1)*cols], r.values)
			if !opts.NoLabel {
				m.Label[row] = r.label
			}
		}
		spill.Rest(opts.Memory, m.Values[first[i]*cols:(first[i]+parts[i].count)*cols])
		return nil
	})
	if other.Load() {
		clearMatrix(m)
		return false, nil
	}
	return true, nil
}

// recordReader reads the records of a stretch one by one where they lie.
type recordReader struct {
	b      []byte
	joined []byte // a record of several parts
	rec    recordio.Record
	room   []float32
	values []float32 // of the last record
	label  float32
}

func (r *recordReader) reset(p records) *recordReader {
	r.b = p.bytes()
	return r
}

// next reads a record. The error is errOther where it is no dense vector.
func (r *recordReader) next(opts Options) error {
	payload, err := r.payload()
	if err != nil {
		return err
	}
	if err := r.rec.Decode(payload); err != nil {
		return err
	}
	features := r.rec.Features.Get(recordio.Vector)
	if features == nil || features.Sparse() {
		return errOther
	}
	if _, err := features.Size(); err != nil {
		return err
	}
	if r.values = features.Float32; features.Kind != recordio.Float32 {
		r.room = appendNumbers(r.room[:0], features)
		r.values = r.room
	}
	if !opts.NoLabel {
		r.label, err = labelOf(&r.rec)
	}
	return err
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
