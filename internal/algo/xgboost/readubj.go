// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/binary"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// ubjReader reads Universal Binary JSON. It asks for no more memory than a
// fixed multiple of what the file holds, whatever lengths the file claims.
type ubjReader struct {
	b  []byte
	at int
}

// formatError stops a reader; readUBJ and readJSON turn it into an error.
type formatError struct{ err error }

// readUBJ reads one document.
func readUBJ(b []byte) (document any, err error) {
	defer caught(&err)
	r := &ubjReader{b: b}
	document = r.value(r.byte(), 0)
	return document, nil
}

// caught turns a formatError panic into *err.
func caught(err *error) {
	switch x := recover().(type) {
	case nil:
	case formatError:
		*err = x.err
	default:
		panic(x)
	}
}

func (r *ubjReader) fail(what string) {
	panic(formatError{algo.ClientErrorf("model file: byte %d: %s", r.at, what)})
}

func (r *ubjReader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail("the file ends early")
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *ubjReader) byte() byte {
	for {
		if c := r.take(1)[0]; c != 'N' { // no-op
			return c
		}
	}
}

// size is how many bytes a number of that kind takes, 0 for other kinds.
func size(kind byte) int {
	switch kind {
	case 'i', 'U':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

// number reads a number of that kind from b, which has its size.
func number64(kind byte, b []byte) float64 {
	switch kind {
	case 'i':
		return float64(int8(b[0]))
	case 'U':
		return float64(b[0])
	case 'I':
		return float64(int16(binary.BigEndian.Uint16(b)))
	case 'l':
		return float64(int32(binary.BigEndian.Uint32(b)))
	case 'L':
		return float64(int64(binary.BigEndian.Uint64(b)))
	case 'd':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b))
}

// length reads a count: a whole number that is at most what is left.
func (r *ubjReader) length(kind byte) int {
	n := size(kind)
	if n == 0 || kind == 'd' || kind == 'D' {
		r.fail("a length is not a whole number")
	}
	v := number64(kind, r.take(n))
	if v < 0 || v > float64(len(r.b)-r.at) {
		r.fail("a length goes beyond the end of the file")
	}
	return int(v)
}

func (r *ubjReader) value(kind byte, depth int) any {
	if depth > maxNesting {
		r.fail("nests too deeply")
	}
	if n := size(kind); n > 0 {
		return number64(kind, r.take(n))
	}
	switch kind {
	case 'Z':
		return nil
	case 'T':
		return true
	case 'F':
		return false
	case 'C':
		return string(r.take(1))
	case 'S', 'H':
		return string(r.take(r.length(r.byte())))
	case '[':
		return r.list(depth)
	case '{':
		return r.object(depth)
	}
	r.fail("a value of an unknown kind")
	return nil
}

// packed is a list of numbers of one kind as they lie in the file: most of a
// model, so it is not copied before its user says what he makes of it.
type packed struct {
	kind byte
	b    []byte
}

func (p packed) len() int { return len(p.b) / size(p.kind) }

func (p packed) float64s() []float64 {
	values, n := make([]float64, p.len()), size(p.kind)
	for i := range values {
		values[i] = number64(p.kind, p.b[i*n:])
	}
	return values
}

// float32s and int32s are float64s, each made float32 or int32, for the kinds
// in which XGBoost writes such numbers. ok is false for other kinds.
func (p packed) float32s() (values []float32, ok bool) {
	if p.kind != 'd' {
		return nil, false
	}
	values = make([]float32, p.len())
	for i := range values {
		values[i] = math.Float32frombits(binary.BigEndian.Uint32(p.b[4*i:]))
	}
	return values, true
}

func (p packed) int32s() (values []int32, ok bool) {
	if p.kind != 'l' {
		return nil, false
	}
	values = make([]int32, p.len())
	for i := range values {
		values[i] = int32(binary.BigEndian.Uint32(p.b[4*i:]))
	}
	return values, true
}

// counted reads the optional kind and count of a container. count is -1 where
// none is told, kind 0.
func (r *ubjReader) counted() (kind byte, count int) {
	count = -1
	next := r.peek()
	if next == '$' {
		r.take(1)
		kind = r.byte()
		if next = r.peek(); next != '#' {
			r.fail("a kind without a count")
		}
	}
	if next == '#' {
		r.take(1)
		count = r.length(r.byte())
	}
	return kind, count
}

func (r *ubjReader) peek() byte {
	if r.at >= len(r.b) {
		r.fail("the file ends early")
	}
	return r.b[r.at]
}

func (r *ubjReader) list(depth int) any {
	kind, count := r.counted()
	if kind != 0 {
		if n := size(kind); n > 0 {
			if count > (len(r.b)-r.at)/n {
				r.fail("a list goes beyond the end of the file")
			}
			return packed{kind, r.take(count * n)}
		}
		if kind == 'Z' || kind == 'T' || kind == 'F' {
			r.fail("a list whose pieces take no room")
		}
	}
	var pieces items
	for i := 0; i != count; i++ {
		k := kind
		if k == 0 {
			if k = r.byte(); k == ']' && count < 0 {
				break
			}
		}
		pieces.add(r.value(k, depth+1))
	}
	return pieces.done()
}

func (r *ubjReader) object(depth int) any {
	kind, count := r.counted()
	object := map[string]any{}
	for i := 0; i != count; i++ {
		k := r.byte()
		if k == '}' && count < 0 {
			break
		}
		key := string(r.take(r.length(k)))
		k = kind
		if k == 0 {
			k = r.byte()
		}
		object[key] = r.value(k, depth+1)
	}
	return object
}

// items gathers the pieces of a list, as numbers while all of them are.
type items struct {
	numbers []float64
	mixed   []any
}

func (l *items) add(v any) {
	if l.mixed == nil {
		switch v := v.(type) {
		case float64:
			l.numbers = append(l.numbers, v)
			return
		case bool:
			n := 0.0
			if v {
				n = 1
			}
			l.numbers = append(l.numbers, n)
			return
		}
		for _, n := range l.numbers {
			l.mixed = append(l.mixed, n)
		}
	}
	l.mixed = append(l.mixed, v)
}

func (l *items) done() any {
	if l.mixed != nil {
		return l.mixed
	}
	return l.numbers
}
