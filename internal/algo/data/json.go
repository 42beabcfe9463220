// SPDX-License-Identifier: Apache-2.0

package data

import (
	"fmt"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// ReadJSON reads an application/json inference request of the built-in
// algorithms: {"instances":[…]} where an instance is
//
//	{"features":[1.5,16.0]}
//	{"data":{"features":{"values":[1.5,16.0]}}}
//	{"data":{"features":{"keys":[3,9],"shape":[100],"values":[1.0,4.0]}}}
//
// Among sparse instances dense ones are sparse too, with a key for each value;
// null is a missing value. Other members are passed over. Its errors are client
// errors that name the instance, from 1.
func ReadJSON(b []byte) (*algo.Matrix, error) {
	m := new(algo.Matrix)
	return m, ReadJSONInto(m, b)
}

// ReadJSONInto is ReadJSON into m, whose memory is used again.
func ReadJSONInto(m *algo.Matrix, b []byte) error {
	clearMatrix(m)
	r := jsonReader{m: m, scan: scanner{b: b, i: skipBOM(b)}, unit: "instance", dense: -1}
	if err := r.document(); err != nil {
		return algo.ClientErrorf("%w", err)
	}
	return nil
}

// ReadJSONLines reads an application/jsonlines request: one instance of
// ReadJSON per line.
func ReadJSONLines(b []byte) (*algo.Matrix, error) {
	m := new(algo.Matrix)
	return m, ReadJSONLinesInto(m, b)
}

// ReadJSONLinesInto is ReadJSONLines into m, whose memory is used again.
func ReadJSONLinesInto(m *algo.Matrix, b []byte) error {
	clearMatrix(m)
	r := jsonReader{m: m, scan: scanner{b: b, i: skipBOM(b)}, unit: "line", dense: -1}
	for at := r.scan.i; at < len(b); {
		end := lineEnd(b, at)
		r.line++
		if !blank(b[at:end]) {
			r.scan = scanner{b: b[:end], i: at}
			err := r.instance()
			if err == nil {
				err = r.scan.end()
			}
			if err != nil {
				return algo.ClientErrorf("line %d: %w", r.line, err)
			}
		}
		at = end
	}
	r.finish()
	return nil
}

// jsonReader builds a matrix from instances.
type jsonReader struct {
	m      *algo.Matrix
	scan   scanner
	unit   string // what an instance is called in errors
	line   int
	sparse bool
	shape  int // columns of sparse rows as declared, 0 when not
	dense  int // columns of dense rows, -1 before there is one
}

// document reads {"instances":[…]}.
func (r *jsonReader) document() error {
	s := &r.scan
	if s.peek() == '[' {
		return fmt.Errorf(`expected {"instances": [{"features": [...]}]}, got a bare list`)
	}
	found := false
	err := s.object(func(name []byte) error {
		if string(name) != "instances" {
			return s.skip()
		}
		if found {
			return fmt.Errorf(`"instances" occurs twice`)
		}
		found = true
		n := 0
		return s.array(func() error {
			n++
			if err := r.instance(); err != nil {
				return fmt.Errorf("%s %d: %w", r.unit, n, err)
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf(`expected {"instances": [{"features": [...]}]}, found no "instances"`)
	}
	r.finish()
	return s.end()
}

// finish closes the sparse form.
func (r *jsonReader) finish() {
	m := r.m
	m.Label, m.Weight = nil, nil
	if !r.sparse {
		m.Start, m.Index = nil, nil
		return
	}
	m.Start = append(m.Start, int64(len(m.Values)))
	m.Cols = max(m.Cols, r.shape)
}

// instance reads one row.
func (r *jsonReader) instance() error {
	s := &r.scan
	if s.peek() != '{' {
		return fmt.Errorf(`expected {"features": [...]}, got %s`, s.kind())
	}
	found := false
	member := func(name []byte) error {
		if string(name) != "features" {
			return s.skip()
		}
		if found {
			return fmt.Errorf(`"features" occurs twice`)
		}
		found = true
		return r.features()
	}
	err := s.object(func(name []byte) error {
		if string(name) == "data" {
			if s.peek() != '{' {
				return fmt.Errorf(`"data" is %s, not an object with "features"`, s.kind())
			}
			return s.object(member)
		}
		return member(name)
	})
	if err == nil && !found {
		return fmt.Errorf(`found no "features"`)
	}
	return err
}

// features reads a list of numbers, or an object of values and, when sparse,
// keys and shape.
func (r *jsonReader) features() error {
	s, m := &r.scan, r.m
	from := len(m.Values)
	keyFrom := len(m.Index)
	keys, values, shape := false, false, 0
	switch s.peek() {
	case '[':
		values = true
		if err := r.numbers(); err != nil {
			return err
		}
	case '{':
		if err := s.object(func(name []byte) (err error) {
			switch string(name) {
			case "values":
				if values {
					return fmt.Errorf(`"values" occurs twice`)
				}
				values = true
				return r.numbers()
			case "keys":
				keys = true
				return r.keys()
			case "shape":
				shape, err = r.lastNumber()
				return err
			}
			return s.skip()
		}); err != nil {
			return err
		}
	default:
		return fmt.Errorf(`"features" is %s, not a list of numbers`, s.kind())
	}
	if !values {
		return fmt.Errorf(`"features" has no "values"`)
	}
	n := len(m.Values) - from
	if !keys {
		if r.dense >= 0 && n != r.dense {
			return fmt.Errorf("has %s, but the first has %d", plural(n, "feature"), r.dense)
		}
		r.dense = n
	}
	if keys && !r.sparse {
		from, keyFrom = r.makeSparse(from)
	}
	m.Rows++
	switch {
	case !r.sparse:
		m.Cols = n
		return nil
	case !keys:
		m.Index, shape = appendAll(m.Index, n), n
	}
	return r.closeSparse(from, keyFrom, shape)
}

// makeSparse gives the dense rows before the value at from the sparse form, and
// tells where it and its key are then.
func (r *jsonReader) makeSparse(from int) (value, key int) {
	m := r.m
	if r.sparse = true; m.Rows == 0 {
		return from, 0
	}
	own, keys := slices.Clone(m.Values[from:]), slices.Clone(m.Index)
	rows := slices.Clone(m.Values[:from])
	m.Values, m.Index = m.Values[:0], m.Index[:0]
	for i := range m.Rows {
		at, first := len(m.Values), len(m.Index)
		m.Values = append(m.Values, rows[i*r.dense:(i+1)*r.dense]...)
		m.Index = appendAll(m.Index, r.dense)
		if err := r.closeSparse(at, first, r.dense); err != nil { // the keys are in order
			panic(err)
		}
	}
	value, key = len(m.Values), len(m.Index)
	m.Values, m.Index = append(m.Values, own...), append(m.Index, keys...)
	return value, key
}

// appendAll appends 0 to n-1 to index.
func appendAll(index []int32, n int) []int32 {
	for key := range n {
		index = append(index, int32(key))
	}
	return index
}

// closeSparse checks and sorts the sparse row whose values begin at from.
func (r *jsonReader) closeSparse(from, keyFrom, shape int) error {
	m := r.m
	index, values := m.Index[keyFrom:], m.Values[from:]
	if len(index) != len(values) {
		return fmt.Errorf("has %s and %s", plural(len(index), "key"), plural(len(values), "value"))
	}
	m.Start = append(m.Start, int64(from))
	r.shape = max(r.shape, shape)
	for _, key := range index {
		if shape > 0 && int(key) >= shape {
			return fmt.Errorf("key %d lies outside shape %d", key, shape)
		}
		m.Cols = max(m.Cols, int(key)+1)
	}
	if twice := sortRow(index, values); twice >= 0 {
		return fmt.Errorf("key %d occurs twice", twice)
	}
	// What is missing is not stored in a sparse row.
	kept := from
	for i, v := range values {
		if !math.IsNaN(float64(v)) {
			m.Values[kept], m.Index[kept] = v, index[i]
			kept++
		}
	}
	m.Values, m.Index = m.Values[:kept], m.Index[:kept]
	return nil
}

// numbers appends a list of numbers to the values.
func (r *jsonReader) numbers() error {
	s, m := &r.scan, r.m
	if s.peek() != '[' {
		return fmt.Errorf("expected a list of numbers, got %s", s.kind())
	}
	return s.array(func() error {
		v, err := s.number()
		m.Values = append(m.Values, v)
		return err
	})
}

// keys appends a list of column numbers to the index.
func (r *jsonReader) keys() error {
	return r.scan.array(func() error {
		key, err := r.scan.integer()
		r.m.Index = append(r.m.Index, int32(key))
		return err
	})
}

// lastNumber is the last number of a shape, its columns.
func (r *jsonReader) lastNumber() (n int, err error) {
	err = r.scan.array(func() error {
		n, err = r.scan.integer()
		return err
	})
	return n, err
}
