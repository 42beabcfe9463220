// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"fmt"
	"slices"
)

// Record is one row of training data, or one answer: the message
// aialgs.data.Record.
type Record struct {
	Features, Label Values
	UID             string
	Metadata        string
	Configuration   string // JSON, options of an algorithm for this record
}

// Vector is the name under which a row that is one vector, or its label, lies.
const Vector = "values"

// Values are named values, in the order in which they came. Names are unique.
type Values []Entry

// Entry is one named value.
type Entry struct {
	Name  string
	Value Value
}

// Get is the value of that name, nil when there is none.
func (vs Values) Get(name string) *Value {
	for i := range vs {
		if vs[i].Name == name {
			return &vs[i].Value
		}
	}
	return nil
}

// Kind says which of a Value's members hold it.
type Kind uint8

// The kinds of values. None is a message that says nothing.
const (
	None Kind = iota
	Float32
	Float64
	Int32
	Bytes
)

func (k Kind) String() string {
	return [...]string{"none", "float32 tensor", "float64 tensor", "int32 tensor", "bytes"}[k]
}

// Value is a tensor, dense or sparse, or pieces of bytes. Members that its Kind
// does not name may hold what an earlier Decode has left.
type Value struct {
	Kind Kind

	Float32 []float32
	Float64 []float64
	Int32   []int32
	Keys    []uint64 // of a sparse tensor: where each number stands, counted row by row
	Shape   []uint64 // extent of each dimension; empty for a dense vector

	Bytes       [][]byte
	ContentType string // of Bytes
}

// Len is how many numbers or pieces are stored.
func (v *Value) Len() int {
	switch v.Kind {
	case Float32:
		return len(v.Float32)
	case Float64:
		return len(v.Float64)
	case Int32:
		return len(v.Int32)
	case Bytes:
		return len(v.Bytes)
	}
	return 0
}

// Sparse reports whether only some of a tensor's numbers are stored and the
// others are 0. A tensor that stores nothing at all and has a shape is so too:
// that is how the SDK writes a row of zeros.
func (v *Value) Sparse() bool { return len(v.Keys) > 0 || v.Len() == 0 && len(v.Shape) > 0 }

// maxSize is how many numbers a tensor may stand for.
const maxSize = 1 << 40

// Size is how many numbers a tensor stands for, zeros of a sparse one
// included. It is an error when the members of v contradict each other: a
// sparse tensor without a shape, keys that are not one per number or lie
// outside of the shape, a dense one of another size than its shape's.
func (v *Value) Size() (int, error) {
	if v.Kind == None || v.Kind == Bytes {
		return 0, fmt.Errorf("%s has no size", v.Kind)
	}
	stored := v.Len()
	if len(v.Shape) == 0 {
		if len(v.Keys) > 0 {
			return 0, fmt.Errorf("%s has keys but no shape", v.Kind)
		}
		return stored, nil
	}
	size := uint64(1)
	for _, n := range v.Shape {
		if n > 0 && size > maxSize/n {
			return 0, fmt.Errorf("%s of shape %d is larger than %d", v.Kind, v.Shape, uint64(maxSize))
		}
		size *= n
	}
	if !v.Sparse() {
		if uint64(stored) != size {
			return 0, fmt.Errorf("%s of shape %d has %d values", v.Kind, v.Shape, stored)
		}
		return stored, nil
	}
	if len(v.Keys) != stored {
		return 0, fmt.Errorf("%s has %d values and %d keys", v.Kind, stored, len(v.Keys))
	}
	if i := slices.IndexFunc(v.Keys, func(k uint64) bool { return k >= size }); i >= 0 {
		return 0, fmt.Errorf("%s of shape %d has the key %d", v.Kind, v.Shape, v.Keys[i])
	}
	return int(size), nil
}

// reset empties v and keeps its storage.
func (v *Value) reset() {
	v.Kind, v.ContentType = None, ""
	v.Float32, v.Float64, v.Int32 = v.Float32[:0], v.Float64[:0], v.Int32[:0]
	v.Keys, v.Shape, v.Bytes = v.Keys[:0], v.Shape[:0], v.Bytes[:0]
}
