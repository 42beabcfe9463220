// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// ReadRecordIO reads a payload of RecordIO-protobuf: in each record the tensor
// "values" of features and, without opts.NoLabel, that of label with its one
// number. Dense vectors, all of one length, give a dense matrix; when one is
// sparse the matrix is, and what is not stored is missing, as XGBoost takes it.
// Its errors are client errors that tell the record, from 1.
func ReadRecordIO(b []byte, opts Options) (*algo.Matrix, error) {
	m := new(algo.Matrix)
	return m, ReadRecordIOInto(m, b, opts)
}

// ReadRecordIOInto is ReadRecordIO into m, whose memory is used again.
func ReadRecordIOInto(m *algo.Matrix, b []byte, opts Options) error {
	return readRecordIO(m, []source{{b: b}}, opts)
}

// records is what one stretch of a source holds.
type records struct {
	chunk
	before int // records of the source before it
	count  int // its own, where they have been counted
	values []float32
	index  []int32 // columns of values; nil while all rows are dense
	ends   []int64 // by row: end of its values
	label  []float32
	cols   int
	sparse bool
}

// readRecordIO reads the sources as one table into m: records that differ in
// their numbers alone by readAlike, other rows by readVectors, and what is wrong
// by decodeRecords, which tells what and where.
func readRecordIO(m *algo.Matrix, sources []source, opts Options) error {
	clearMatrix(m)
	if done, err := readAlike(m, sources, opts); done || err != nil {
		return err
	}
	var parts []records
	for i := range sources {
		parts = append(parts, cutRecords(&sources[i])...)
	}
	if done, err := readVectors(m, parts, opts); done || err != nil {
		return err
	}
	return decodeRecords(m, parts, opts)
}

// decodeRecords is the way without a short cut.
func decodeRecords(m *algo.Matrix, parts []records, opts Options) error {
	if err := each(len(parts), opts.Threads, func(i int) error {
		return parts[i].read(opts)
	}); err != nil {
		return err
	}
	sparse, rows, values := false, 0, 0
	var first *records // with rows
	for i := range parts {
		p := &parts[i]
		if len(p.ends) == 0 {
			continue
		}
		if first == nil {
			first = p
		}
		sparse = sparse || p.sparse
		rows, values, m.Cols = rows+len(p.ends), values+len(p.values), max(m.Cols, p.cols)
	}
	m.Rows = rows
	var errs [3]error
	m.Values, errs[0] = room(opts, m.Values, values)
	m.Index, m.Start, m.Weight = nil, nil, nil
	if sparse {
		m.Start, errs[1] = room(opts, m.Start, rows+1)
		m.Index, errs[2] = room(opts, m.Index, values)
		m.Start, m.Index = append(m.Start[:0], 0), m.Index[:0]
	}
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	m.Values = m.Values[:0]
	if opts.NoLabel {
		m.Label = nil
	}
	for i := range parts {
		p := &parts[i]
		if !sparse && len(p.ends) > 0 && p.cols != first.cols {
			return algo.ClientErrorf("%s: has %s, but the first row has %d", p.place(1), plural(p.cols, "feature"), first.cols)
		}
		if sparse {
			p.spread()
			for _, end := range p.ends {
				m.Start = append(m.Start, int64(len(m.Values))+end)
			}
			m.Index = append(m.Index, p.index...)
		}
		m.Values = append(m.Values, p.values...)
		if !opts.NoLabel {
			m.Label = append(m.Label, p.label...)
		}
	}
	return nil
}

// place says where record n of p is.
func (p *records) place(n int) string {
	if p.src.name == "" {
		return fmt.Sprintf("record %d", p.before+n)
	}
	return fmt.Sprintf("file %s, record %d", p.src.name, p.before+n)
}

// read reads all records of p.
func (p *records) read(opts Options) error {
	defer p.rest()
	r := recordio.NewReader(bytes.NewReader(p.bytes()), 0)
	var rec recordio.Record
	for n := 1; ; n++ {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = rec.Decode(b)
		}
		if err == nil {
			err = p.add(&rec, opts)
		}
		if err != nil {
			return algo.ClientErrorf("%s: %w", p.place(n), err)
		}
	}
}

// add appends one record.
func (p *records) add(rec *recordio.Record, opts Options) error {
	features := rec.Features.Get(recordio.Vector)
	if features == nil {
		return fmt.Errorf("has no features named %q", recordio.Vector)
	}
	size, err := features.Size()
	switch {
	case err != nil:
		return fmt.Errorf("features: %w", err)
	case size == 0:
		return errors.New("has no features; at least one was expected")
	case size > math.MaxInt32:
		return fmt.Errorf("has %d features; at most %d can be read", size, math.MaxInt32)
	}
	if !opts.NoLabel {
		y, err := labelOf(rec)
		if err != nil {
			return err
		}
		p.label = append(p.label, y)
	}
	if features.Sparse() {
		p.spread()
		p.sparse = true
	} else if len(p.ends) > 0 && !p.sparse && size != p.cols {
		return fmt.Errorf("has %s, but the first row has %d", plural(size, "feature"), p.cols)
	}
	from := len(p.values)
	p.values = appendNumbers(p.values, features)
	if p.sparse {
		if p.index, err = appendKeys(p.index, features, p.values[from:]); err != nil {
			return err
		}
	}
	p.cols = max(p.cols, size)
	p.ends = append(p.ends, int64(len(p.values)))
	return nil
}

// spread gives the values of dense rows the columns that they have.
func (p *records) spread() {
	if p.sparse || p.index != nil {
		return
	}
	p.index = make([]int32, 0, len(p.values))
	for range p.ends {
		for f := range p.cols {
			p.index = append(p.index, int32(f))
		}
	}
}

// labelOf is the one number of a record's label.
func labelOf(rec *recordio.Record) (float32, error) {
	label := rec.Label.Get(recordio.Vector)
	if label == nil {
		return 0, errors.New("has no label; one number was expected")
	}
	var room [1]float32
	if size, err := label.Size(); err != nil || size != 1 {
		return 0, fmt.Errorf("the label must be one number and is a %s of %d", label.Kind, label.Len())
	}
	y := float32(0) // a sparse label that stores nothing
	if v := appendNumbers(room[:0], label); len(v) == 1 {
		y = v[0]
	}
	if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) {
		return 0, fmt.Errorf("the label is %s; a finite number was expected", orMissing(y))
	}
	return y, nil
}

// appendNumbers appends the stored numbers of v.
func appendNumbers(to []float32, v *recordio.Value) []float32 {
	switch v.Kind {
	case recordio.Float32:
		to = append(to, v.Float32...)
	case recordio.Float64:
		for _, x := range v.Float64 {
			to = append(to, float32(x))
		}
	case recordio.Int32:
		for _, x := range v.Int32 {
			to = append(to, float32(x))
		}
	}
	return to
}

// appendKeys appends the columns of a row, ascending, and puts values, which
// are the row's, in the same order.
func appendKeys(to []int32, v *recordio.Value, values []float32) ([]int32, error) {
	from := len(to)
	if !v.Sparse() {
		for f := range values {
			to = append(to, int32(f))
		}
		return to, nil
	}
	for _, k := range v.Keys {
		to = append(to, int32(k))
	}
	if twice := sortRow(to[from:], values); twice >= 0 {
		return nil, fmt.Errorf("feature %d occurs twice", twice)
	}
	return to, nil
}

// unwrap takes the records of sources, each of which is an object of a channel
// whose RecordWrapperType is RecordIO, apart.
func unwrap(sources []source) ([]source, error) {
	var out []source
	for _, src := range sources {
		r := recordio.NewReader(bytes.NewReader(src.b), 0)
		for n := 1; ; n++ {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			name := fmt.Sprintf("%s, record %d", cmp.Or(src.name, "data"), n)
			if err != nil {
				return nil, algo.ClientErrorf("file %s: %w", name, err)
			}
			out = append(out, source{name: name, b: slices.Clone(b)})
		}
	}
	return out, nil
}
