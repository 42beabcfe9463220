// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	errVarint = errors.New("a number is cut off or has more than 64 bits")
	errShort  = errors.New("it is cut off")
	errValues = errors.New("their encoding is another")
	errGroup  = errors.New("a group is not closed, or is within too many")
)

// fields walks the fields of one protobuf message.
type fields struct {
	b      []byte
	number uint64
	wire   uint8
	value  uint64 // of a number
	data   []byte // of what has a length
	err    error
}

// next reads a field. It is false at the end and after an error.
func (f *fields) next() bool {
	if f.err != nil || len(f.b) == 0 {
		return false
	}
	if f.err = f.read(); f.err != nil {
		return false
	}
	if f.wire == group {
		if f.err = f.skip(1); f.err != nil {
			return false
		}
		f.wire = group
	}
	return true
}

func (f *fields) read() error {
	tag, n := binary.Uvarint(f.b)
	if n <= 0 {
		return errVarint
	}
	f.b = f.b[n:]
	f.number, f.wire = tag>>3, uint8(tag&7)
	if f.number == 0 || f.number > 1<<29-1 {
		return fmt.Errorf("there is no field %d", f.number)
	}
	size := 0
	switch f.wire {
	case varint:
		f.value, n = binary.Uvarint(f.b)
		if n <= 0 {
			return errVarint
		}
		f.b = f.b[n:]
		return nil
	case fixed32, fixed64:
		size = 4
		if f.wire == fixed64 {
			size = 8
		}
		if len(f.b) < size {
			return errShort
		}
		f.value = uint64(binary.LittleEndian.Uint32(f.b))
		if size == 8 {
			f.value = binary.LittleEndian.Uint64(f.b)
		}
	case lengthy:
		length, n := binary.Uvarint(f.b)
		if n <= 0 {
			return errVarint
		}
		f.b = f.b[n:]
		if length > uint64(len(f.b)) {
			return errShort
		}
		size = int(length)
		f.data = f.b[:size:size]
	case group, ended:
	default:
		return fmt.Errorf("field %d has the wire type %d", f.number, f.wire)
	}
	f.b = f.b[size:]
	return nil
}

// maxDepth is how deep groups may stand in each other. Record has none; what
// is not known is skipped.
const maxDepth = 32

// skip reads to the end of the group that has begun.
func (f *fields) skip(depth int) error {
	number := f.number
	for len(f.b) > 0 && depth <= maxDepth {
		if err := f.read(); err != nil {
			return err
		}
		switch f.wire {
		case ended:
			if f.number != number {
				return errGroup
			}
			return nil
		case group:
			if err := f.skip(depth + 1); err != nil {
				return err
			}
		}
	}
	return errGroup
}

// varints appends numbers in either form.
func (f *fields) varints(to []uint64) []uint64 {
	switch f.wire {
	case varint:
		return append(to, f.value)
	case lengthy:
		for b := f.data; len(b) > 0; {
			n, size := binary.Uvarint(b)
			if size <= 0 {
				f.fail("keys or shape", errVarint)
				return to
			}
			to = append(to, n)
			b = b[size:]
		}
		return to
	}
	f.fail("keys or shape", errValues)
	return to
}

// fail keeps the first error, and what it is about.
func (f *fields) fail(what string, err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", what, err)
	}
}
