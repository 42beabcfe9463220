// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Append appends r, as the payload of a record, to b. It allocates nothing but
// what b needs to grow.
func (r *Record) Append(b []byte) []byte {
	b = r.Features.append(b, 1)
	b = r.Label.append(b, 2)
	for i, s := range [...]string{r.UID, r.Metadata, r.Configuration} {
		if s != "" {
			b = append(appendHead(b, 3+i, len(s)), s...)
		}
	}
	return b
}

// AppendMarks appends the uid and the metadata of record, the payload of one, to
// b, that of another. What cannot be read of record is left out.
func AppendMarks(b, record []byte) []byte {
	for f := (fields{b: record}); f.next(); {
		if f.wire == lengthy && (f.number == 3 || f.number == 4) && len(f.data) > 0 {
			b = append(appendHead(b, int(f.number), len(f.data)), f.data...)
		}
	}
	return b
}

func (vs Values) append(b []byte, number int) []byte {
	for i := range vs {
		e := &vs[i]
		size := e.Value.size()
		name := headSize(len(e.Name)) + len(e.Name)
		b = appendHead(b, number, name+headSize(size)+size)
		b = append(appendHead(b, 1, len(e.Name)), e.Name...)
		b = e.Value.append(appendHead(b, 2, size))
	}
	return b
}

// size is how many bytes append writes.
func (v *Value) size() int {
	if v.Kind == None {
		return 0
	}
	n := v.body()
	return headSize(n) + n
}

// field is the kind's number in Value's oneof.
func (v *Value) field() int { return [...]int{Float32: 2, Float64: 3, Int32: 7, Bytes: 9}[v.Kind] }

// body is the size of the message in the oneof.
func (v *Value) body() int {
	if v.Kind == Bytes {
		n := 0
		for _, piece := range v.Bytes {
			n += headSize(len(piece)) + len(piece)
		}
		return n + packed(len(v.ContentType))
	}
	return packed(v.numbersSize()) + packed(varintsSize(v.Keys)) + packed(varintsSize(v.Shape))
}

func (v *Value) append(b []byte) []byte {
	if v.Kind == None {
		return b
	}
	b = appendHead(b, v.field(), v.body())
	if v.Kind == Bytes {
		for _, piece := range v.Bytes {
			b = append(appendHead(b, 1, len(piece)), piece...)
		}
		if v.ContentType != "" {
			b = append(appendHead(b, 2, len(v.ContentType)), v.ContentType...)
		}
		return b
	}
	if n := v.numbersSize(); n > 0 {
		b = appendHead(b, 1, n)
		switch v.Kind {
		case Float32:
			for _, x := range v.Float32 {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		case Float64:
			for _, x := range v.Float64 {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
			}
		case Int32:
			for _, x := range v.Int32 {
				b = binary.AppendUvarint(b, uint64(int64(x))) // negative ones take ten bytes, as in protobuf
			}
		}
	}
	return appendVarints(appendVarints(b, 2, v.Keys), 3, v.Shape)
}

func (v *Value) numbersSize() int {
	switch v.Kind {
	case Float32:
		return 4 * len(v.Float32)
	case Float64:
		return 8 * len(v.Float64)
	}
	n := 0
	for _, x := range v.Int32 {
		n += varintSize(uint64(int64(x)))
	}
	return n
}

func appendVarints(b []byte, number int, xs []uint64) []byte {
	if len(xs) == 0 {
		return b
	}
	b = appendHead(b, number, varintsSize(xs))
	for _, x := range xs {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func appendHead(b []byte, number, length int) []byte {
	return binary.AppendUvarint(append(b, byte(number<<3|lengthy)), uint64(length))
}

func headSize(length int) int { return 1 + varintSize(uint64(length)) } // field numbers are below 16

// packed is the size of a field that is left out when it is empty.
func packed(length int) int {
	if length == 0 {
		return 0
	}
	return headSize(length) + length
}

func varintsSize(xs []uint64) int {
	n := 0
	for _, x := range xs {
		n += varintSize(x)
	}
	return n
}

func varintSize(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }
