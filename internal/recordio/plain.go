// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Plain is a record of the form that the SDKs write: the tensor Vector of
// features, and at most one label, a dense tensor of that name too. Its bytes
// are parts of the payload.
type Plain struct {
	Features Packed
	Label    Packed // its Kind is None where there is none
}

// Packed is a vector whose numbers lie as protobuf packs them.
type Packed struct {
	Kind   Kind
	Values []byte
	Keys   []byte // of a sparse vector
	Len    int    // how many numbers are stored
	Size   int    // how many it stands for
	Sparse bool   // as Value.Sparse has it
}

// The tags of what Plain reads: a field's number and that it has a length.
const (
	tagFeatures = 1<<3 | lengthy // of Record; uid, metadata and configuration are the three behind label
	tagLabel    = 2<<3 | lengthy
	tagValue    = 2<<3 | lengthy // of a map's entry
	tagNumbers  = 1<<3 | lengthy // of a tensor
	tagKeys     = 2<<3 | lengthy
	tagShape    = 3<<3 | lengthy
)

// named is how the entry of Vector begins.
const named = "\x0a\x06" + Vector

// Decode reads a payload. It is false where the record has another form, or is
// wrong: Record.Decode reads all forms and tells. What it takes, and Numbers and
// Columns after it, Record.Decode takes too, with the same numbers.
func (p *Plain) Decode(b []byte) bool {
	entry, b, ok := member(b, tagFeatures)
	if !ok || !p.Features.decode(entry) {
		return false
	}
	if p.Label.Kind = None; len(b) > 0 && b[0] == tagLabel {
		var one [1]float32
		if entry, b, ok = member(b, tagLabel); !ok || !p.Label.decode(entry) || p.Label.Sparse ||
			p.Label.Kind == Int32 && (p.Label.Len != 1 || !p.Label.Numbers(one[:])) {
			return false
		}
	}
	for tag := byte(tagLabel + 8); len(b) > 0; tag += 8 {
		if tag > tagLabel+3*8 {
			return false
		}
		if b[0] == tag {
			if _, b, ok = member(b, tag); !ok {
				return false
			}
		}
	}
	return true
}

// member is the content of the field that b begins with, if it has that tag,
// and what is behind it.
func member(b []byte, tag byte) (data, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, from := int(b[1]), 2
	if n >= 0x80 {
		long, size := binary.Uvarint(b[1:])
		if size <= 0 || long > uint64(len(b)) {
			return nil, nil, false
		}
		n, from = int(long), 1+size
	}
	if n > len(b)-from {
		return nil, nil, false
	}
	return b[from : from+n], b[from+n:], true
}

// decode reads an entry of a map.
func (p *Packed) decode(b []byte) bool {
	if len(b) < len(named) || string(b[:len(named)]) != named {
		return false
	}
	b, rest, ok := member(b[len(named):], tagValue)
	if !ok || len(rest) > 0 || len(b) == 0 || b[0]&7 != lengthy {
		return false
	}
	kind, ok := kindOf(uint64(b[0] >> 3))
	if !ok || kind == Bytes {
		return false
	}
	if b, rest, ok = member(b, b[0]); !ok || len(rest) > 0 {
		return false
	}
	p.Kind, p.Values, p.Keys = kind, nil, nil
	if len(b) > 0 && b[0] == tagNumbers {
		if p.Values, b, ok = member(b, tagNumbers); !ok {
			return false
		}
	}
	if len(b) > 0 && b[0] == tagKeys {
		if p.Keys, b, ok = member(b, tagKeys); !ok {
			return false
		}
	}
	var shape []byte
	if len(b) > 0 {
		if shape, b, ok = member(b, tagShape); !ok || len(b) > 0 {
			return false
		}
	}
	return p.measure(shape)
}

// measure finds how long p is.
func (p *Packed) measure(shape []byte) bool {
	var ok bool
	switch p.Kind {
	case Float32:
		p.Len, ok = len(p.Values)/4, len(p.Values)%4 == 0
	case Float64:
		p.Len, ok = len(p.Values)/8, len(p.Values)%8 == 0
	default:
		p.Len, ok = varints(p.Values)
	}
	if !ok {
		return false
	}
	if p.Sparse = len(p.Keys) > 0; len(shape) == 0 {
		p.Size = p.Len
		return !p.Sparse
	}
	size, n := binary.Uvarint(shape)
	if n != len(shape) || size > maxSize {
		return false
	}
	p.Size = int(size)
	p.Sparse = p.Sparse || p.Len == 0
	if !p.Sparse {
		return p.Len == p.Size
	}
	keys, ok := varints(p.Keys)
	return ok && keys == p.Len
}

// varints is how many varints b holds. ok is false when the last one is cut off.
func varints(b []byte) (n int, ok bool) {
	if len(b) > 0 && b[len(b)-1] >= 0x80 {
		return 0, false
	}
	n = len(b) // less the bytes that others follow
	for ; len(b) >= 8; b = b[8:] {
		n -= bits.OnesCount64(binary.LittleEndian.Uint64(b) & 0x8080808080808080)
	}
	for _, c := range b {
		n -= int(c >> 7)
	}
	return n, true
}

// Numbers puts the stored numbers into to, which has room for Len. It is false
// when one has more than 64 bits.
func (p *Packed) Numbers(to []float32) bool {
	to = to[:p.Len]
	b := p.Values
	switch p.Kind {
	case Float32:
		Floats(to, b)
	case Float64:
		for i := range to {
			to[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	case Int32:
		at := 0
		for i := range to {
			if at+1 < len(b) {
				// Lengths of one and two mix without order: a branch between them
				// would be foretold wrongly for many.
				low, high := uint(b[at]), uint(b[at+1])
				if more := low >> 7; more&(high>>7) == 0 {
					to[i] = float32(int32(low&0x7f | high&0x7f<<7&-more))
					at += 1 + int(more)
					continue
				}
			}
			n, size := binary.Uvarint(b[at:])
			if size <= 0 {
				return false
			}
			to[i] = float32(int32(n)) // as protobuf does, the upper half is cut off
			at += size
		}
	}
	return true
}

// Floats puts numbers that lie in b, four bytes each, into to.
func Floats(to []float32, b []byte) {
	for ; len(to) >= 4 && len(b) >= 16; to, b = to[4:], b[16:] {
		to[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
		to[1] = math.Float32frombits(binary.LittleEndian.Uint32(b[4:]))
		to[2] = math.Float32frombits(binary.LittleEndian.Uint32(b[8:]))
		to[3] = math.Float32frombits(binary.LittleEndian.Uint32(b[12:]))
	}
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

// Columns puts the keys of a sparse vector, whose Size an int32 holds, into to,
// which has room for Len. It is false when a key is not below Size. ascending
// tells whether each is above the one before.
func (p *Packed) Columns(to []int32) (ascending, ok bool) {
	to = to[:p.Len]
	b, size, at := p.Keys, uint64(p.Size), 0
	last, ascending := int32(-1), true
	for i := range to {
		k, n := uint64(b[at]), 1
		if k >= 0x80 { // ascending, keys grow longer once
			if at+1 < len(b) && b[at+1] < 0x80 {
				k, n = k&0x7f|uint64(b[at+1])<<7, 2
			} else if k, n = binary.Uvarint(b[at:]); n <= 0 {
				return false, false
			}
		}
		if k >= size {
			return false, false
		}
		at += n
		ascending = ascending && int32(k) > last
		last = int32(k)
		to[i] = last
	}
	return ascending, true
}
