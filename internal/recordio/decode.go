// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrRecord is a payload that is no Record.
var ErrRecord = errors.New("not a protobuf Record")

// The wire types of protobuf ("Encoding" in its documentation).
const (
	varint  = 0
	fixed64 = 1
	lengthy = 2 // a length and so many bytes
	group   = 3
	ended   = 4
	fixed32 = 5
)

// Decode reads a Record from the payload of a record. It reuses r's storage, so
// that reading many into one allocates nothing once it has grown; pieces of
// bytes are parts of b. Whether the members of a tensor agree is Value.Size's
// question. Errors wrap ErrRecord.
func (r *Record) Decode(b []byte) error {
	r.Features, r.Label = r.Features[:0], r.Label[:0]
	uid, metadata, configuration := r.UID, r.Metadata, r.Configuration
	r.UID, r.Metadata, r.Configuration = "", "", ""
	f := fields{b: b}
	for f.next() {
		switch {
		case f.wire != lengthy:
		case f.number == 1:
			f.fail("features", r.Features.decode(f.data))
		case f.number == 2:
			f.fail("label", r.Label.decode(f.data))
		case f.number == 3:
			r.UID = text(uid, f.data)
		case f.number == 4:
			r.Metadata = text(metadata, f.data)
		case f.number == 5:
			r.Configuration = text(configuration, f.data)
		}
	}
	if f.err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, f.err)
	}
	return nil
}

// text is b as a string, which is was itself when it says the same.
func text(was string, b []byte) string {
	if was == string(b) {
		return was
	}
	return string(b)
}

// decode reads an entry of a map into vs.
func (vs *Values) decode(b []byte) error {
	var name, value []byte
	f := fields{b: b}
	for f.next() {
		switch {
		case f.wire != lengthy:
		case f.number == 1:
			name = f.data
		case f.number == 2 && value == nil:
			value = f.data
		case f.number == 2: // parts of one message: rare enough to be copied
			value = append(slices.Clip(value), f.data...)
		}
	}
	if f.err != nil {
		return f.err
	}
	e := vs.place(name)
	if err := e.Value.decode(value); err != nil {
		return fmt.Errorf("%q: %w", e.Name, err)
	}
	return nil
}

// place is an empty entry of that name: of two with one name the last counts.
func (vs *Values) place(name []byte) *Entry {
	for i := range *vs {
		if e := &(*vs)[i]; e.Name == string(name) {
			e.Value.reset()
			return e
		}
	}
	n := len(*vs)
	if n < cap(*vs) {
		*vs = (*vs)[:n+1]
	} else {
		*vs = append(*vs, Entry{})
	}
	e := &(*vs)[n]
	e.Name = text(e.Name, name)
	e.Value.reset()
	return e
}

func (v *Value) decode(b []byte) error {
	f := fields{b: b}
	for f.next() {
		if f.wire != lengthy {
			continue
		}
		kind, ok := kindOf(f.number)
		if !ok {
			continue
		}
		if v.Kind != kind { // of a oneof the last counts; of one message the parts are merged
			v.reset()
			v.Kind = kind
		}
		if kind == Bytes {
			f.fail(kind.String(), v.decodeBytes(f.data))
		} else {
			f.fail(kind.String(), v.decodeTensor(f.data))
		}
	}
	return f.err
}

// kindOf is what the members of Value's oneof are.
func kindOf(number uint64) (Kind, bool) {
	switch number {
	case 2:
		return Float32, true
	case 3:
		return Float64, true
	case 7:
		return Int32, true
	case 9:
		return Bytes, true
	}
	return None, false
}

func (v *Value) decodeBytes(b []byte) error {
	f := fields{b: b}
	for f.next() {
		switch {
		case f.wire != lengthy:
		case f.number == 1:
			v.Bytes = append(v.Bytes, f.data)
		case f.number == 2:
			v.ContentType = string(f.data)
		}
	}
	return f.err
}

// decodeTensor takes repeated numbers in both forms, packed and one by one.
func (v *Value) decodeTensor(b []byte) error {
	f := fields{b: b}
	for f.next() {
		switch f.number {
		case 1:
			v.numbers(&f)
		case 2:
			v.Keys = f.varints(v.Keys)
		case 3:
			v.Shape = f.varints(v.Shape)
		}
	}
	return f.err
}

func (v *Value) numbers(f *fields) {
	switch v.Kind {
	case Float32:
		switch {
		case f.wire == fixed32:
			v.Float32 = append(v.Float32, math.Float32frombits(uint32(f.value)))
		case f.wire == lengthy && len(f.data)%4 == 0:
			at := len(v.Float32)
			v.Float32 = slices.Grow(v.Float32, len(f.data)/4)[:at+len(f.data)/4]
			to, from := v.Float32[at:], f.data
			for i := range to {
				to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
			}
		default:
			f.fail("values", errValues)
		}
	case Float64:
		switch {
		case f.wire == fixed64:
			v.Float64 = append(v.Float64, math.Float64frombits(f.value))
		case f.wire == lengthy && len(f.data)%8 == 0:
			at := len(v.Float64)
			v.Float64 = slices.Grow(v.Float64, len(f.data)/8)[:at+len(f.data)/8]
			to, from := v.Float64[at:], f.data
			for i := range to {
				to[i] = math.Float64frombits(binary.LittleEndian.Uint64(from[8*i:]))
			}
		default:
			f.fail("values", errValues)
		}
	case Int32:
		switch f.wire {
		case varint:
			v.Int32 = append(v.Int32, int32(f.value)) // as protobuf does, the upper half is cut off
		case lengthy:
			for b := f.data; len(b) > 0; {
				n, size := binary.Uvarint(b)
				if size <= 0 {
					f.fail("values", errVarint)
					return
				}
				v.Int32 = append(v.Int32, int32(n))
				b = b[size:]
			}
		default:
			f.fail("values", errValues)
		}
	}
}
