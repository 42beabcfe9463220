// SPDX-License-Identifier: Apache-2.0

// Package ndarray reads and writes MXNet's file of arrays, the artifact of
// Amazon's first algorithms: mx.nd.load("model_algo-1") reads it.
//
// Source: NDArray::Save and NDArray::Load in MXNet's src/ndarray/ndarray.cc.
package ndarray

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Array is one dense array of float32, row-major.
type Array struct {
	Name   string // "" in a file that is a list
	Shape  []int
	Values []float32
}

// Marks of the file and of arrays in it. The older forms of an array have
// shapes of 32 bits, without or with a mark.
const (
	fileMagic  = 0x112
	arrayMagic = 0xF993FAC9 // with a storage type, 64-bit shape
	olderMagic = 0xF993FAC8 // without a storage type, 64-bit shape
	maxDims    = 32
)

// Append appends the file of arrays to b. Either all have names or none has.
func Append(b []byte, arrays ...Array) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(le.AppendUint64(b, fileMagic), 0)
	b = le.AppendUint64(b, uint64(len(arrays)))
	names := 0
	for _, a := range arrays {
		if a.Name != "" {
			names++
		}
		b = le.AppendUint32(le.AppendUint32(b, arrayMagic), 0) // dense
		b = le.AppendUint32(b, uint32(len(a.Shape)))
		for _, n := range a.Shape {
			b = le.AppendUint64(b, uint64(n))
		}
		b = le.AppendUint32(le.AppendUint32(b, 1), 0) // on cpu(0)
		b = le.AppendUint32(b, 0)                     // float32
		for _, v := range a.Values {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	}
	b = le.AppendUint64(b, uint64(names))
	for _, a := range arrays {
		if a.Name != "" {
			b = append(le.AppendUint64(b, uint64(len(a.Name))), a.Name...)
		}
	}
	return b
}

// reader takes numbers off the front of b. The first failure stays.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("the file ends too early")

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Read gives the arrays of a file that MXNet or Append wrote.
func Read(b []byte) ([]Array, error) {
	r := &reader{b: b}
	if magic := r.u64(); r.err == nil && magic != fileMagic {
		return nil, fmt.Errorf("not a file of MXNet arrays: it begins with %#x", magic)
	}
	r.u64()
	var arrays []Array
	for n := r.u64(); n > 0 && r.err == nil; n-- {
		arrays = append(arrays, r.array())
	}
	for i, n := 0, r.u64(); r.err == nil && n > 0; i, n = i+1, n-1 {
		name := string(r.take(r.u64()))
		if i >= len(arrays) {
			r.fail(errors.New("more names than arrays"))
			break
		}
		arrays[i].Name = name
	}
	if r.err != nil {
		return nil, fmt.Errorf("broken file of MXNet arrays: %w", r.err)
	}
	return arrays, nil
}

// Named gives the arrays of a file by their names.
func Named(b []byte) (map[string]Array, error) {
	arrays, err := Read(b)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]Array, len(arrays))
	for _, a := range arrays {
		byName[a.Name] = a
	}
	return byName, nil
}

func (r *reader) array() (a Array) {
	dims, wide := r.u32(), false
	switch dims {
	case arrayMagic:
		switch kind := r.u32(); kind {
		case 0:
		case rowSparse:
			return r.rows()
		default:
			r.fail(fmt.Errorf("storage type %d is neither dense nor row_sparse", int32(kind)))
		}
		dims, wide = r.u32(), true
	case olderMagic:
		dims, wide = r.u32(), true
	}
	size := uint64(0)
	a.Shape, size = r.shape(dims, wide, uint64(len(r.b)))
	r.take(8) // the device
	a.Values = r.values(size)
	return a
}

// rowSparse is an array that stores only some of its rows, as the weights of
// networks on sparse data are.
const rowSparse = 1

// maxSpread is how many numbers an array whose rows are not all stored may have
// for each byte that is left of the file.
const maxSpread = 1 << 10

// rows reads an array that is row_sparse.
func (r *reader) rows() (a Array) {
	_, stored := r.shape(r.u32(), true, uint64(len(r.b)))
	var size uint64
	a.Shape, size = r.shape(r.u32(), true, maxSpread*uint64(len(r.b)))
	r.take(8) // the device
	kind, indexKind := r.u32(), r.u32()
	_, n := r.shape(r.u32(), true, uint64(len(r.b)))
	if r.err == nil && (indexKind != int64Kind || len(a.Shape) == 0 || a.Shape[0] < 1 || stored != n*(size/uint64(a.Shape[0]))) {
		r.fail(errors.New("the stored rows do not fit the array"))
	}
	values := r.numbers(kind, stored)
	index := r.take(8 * n)
	if r.err != nil {
		return a
	}
	a.Values = make([]float32, size)
	width := size / uint64(a.Shape[0])
	for i := range n {
		row := binary.LittleEndian.Uint64(index[8*i:])
		if row >= uint64(a.Shape[0]) {
			r.fail(fmt.Errorf("row %d of %d is stored", row, a.Shape[0]))
			return a
		}
		copy(a.Values[row*width:], values[i*width:(i+1)*width])
	}
	return a
}

// int64Kind is MXNet's number of the type int64.
const int64Kind = 6

// shape reads so many dimensions, whose product is at most most.
func (r *reader) shape(dims uint32, wide bool, most uint64) (shape []int, size uint64) {
	if dims > maxDims {
		r.fail(fmt.Errorf("an array of %d dimensions", dims))
	}
	size = 1
	for ; dims > 0 && r.err == nil; dims-- {
		n := uint64(0)
		if wide {
			n = r.u64()
		} else {
			n = uint64(r.u32())
		}
		if n > math.MaxInt32 || n > 0 && size > most/n {
			r.fail(errShort)
			return nil, 0
		}
		size *= n
		shape = append(shape, int(n))
	}
	return shape, size
}

// values reads so many numbers after their type.
func (r *reader) values(n uint64) []float32 { return r.numbers(r.u32(), n) }

// numbers reads so many numbers of the type kind.
func (r *reader) numbers(kind uint32, n uint64) []float32 {
	width := uint64(4)
	switch kind {
	case 0:
	case 1: // float64
		width = 8
	default:
		r.fail(fmt.Errorf("element type %d is not float32 or float64", kind))
	}
	raw := r.take(n * width)
	if r.err != nil {
		return nil
	}
	values := make([]float32, n)
	for i := range values {
		if width == 8 {
			values[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		} else {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	return values
}
