// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// A pickle is read as data and nothing in it is run: what Python would call or
// make an object of becomes a pickled, which remembers what was asked for. Its
// values are
//
//	string, []byte, float64, bool, nil, *pickledList, *pickledDict, pickledTuple,
//	pickledClass, *pickled

type (
	pickledTuple []any
	pickledList  struct{ items []any }
	pickledDict  struct{ keys, values []any }
	pickledClass string // "module name"
	// pickled is an object: what made it, from what, and its state.
	pickled struct {
		of, from any
		state    any
	}
	pickleMark struct{}
)

// get gives the value of a key.
func (d *pickledDict) get(key string) any {
	for i, k := range d.keys {
		if k == key {
			return d.values[i]
		}
	}
	return nil
}

// pickleReader runs the stack machine of pickle's protocols 0 to 5.
//
// Source: Python's Lib/pickletools.py, which describes every code.
type pickleReader struct {
	b     []byte
	at    int
	stack []any
	memo  map[int]any
}

// readPickle reads the Booster in a pickle: that of SageMaker's containers
// before 1.3, or one in the object of XGBoost's scikit-learn interface. It gives
// what the Booster wrote of itself.
func readPickle(b []byte) (handle []byte, err error) {
	defer caught(&err)
	r := &pickleReader{b: b, memo: map[int]any{}}
	root := r.run()
	for range 3 { // an estimator holds a Booster, whose state holds the handle
		object, ok := root.(*pickled)
		if !ok {
			break
		}
		state, ok := object.state.(*pickledDict)
		if !ok {
			break
		}
		switch handle := plainBytes(state.get("handle")).(type) {
		case []byte:
			return handle, nil
		}
		root = state.get("_Booster")
	}
	return nil, algo.ClientErrorf("model file is a Python pickle that holds no xgboost Booster")
}

// plainBytes gives the bytes that bytearray(b), bytearray(s, "latin-1") or
// _codecs.encode(s, "latin1") stand for, and other values as they are.
func plainBytes(v any) any {
	object, ok := v.(*pickled)
	if !ok {
		return v
	}
	args, _ := object.from.(pickledTuple)
	if len(args) == 0 {
		return v
	}
	of, _ := object.of.(pickledClass)
	switch of {
	case "builtins bytearray", "__builtin__ bytearray", "_codecs encode", "builtins bytes", "__builtin__ bytes":
	default:
		return v
	}
	switch text := plainBytes(args[0]).(type) {
	case []byte:
		return text
	case string: // each letter stands for a byte
		out := make([]byte, 0, len(text))
		for _, c := range text {
			if c > math.MaxUint8 {
				return v
			}
			out = append(out, byte(c))
		}
		return out
	}
	return v
}

func (r *pickleReader) fail(what string) {
	panic(formatError{algo.ClientErrorf("model file is a Python pickle that cannot be read: byte %d: %s", r.at, what)})
}

func (r *pickleReader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail("the file ends early")
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

// line gives what stands before the next line end.
func (r *pickleReader) line() string {
	n := bytes.IndexByte(r.b[r.at:], '\n')
	if n < 0 {
		r.fail("the file ends early")
	}
	s := string(r.take(n))
	r.at++
	return s
}

// sized takes as many bytes as a count of width bytes says.
func (r *pickleReader) sized(width int) []byte {
	n := r.unsigned(width)
	if n > uint64(len(r.b)-r.at) {
		r.fail("a length goes beyond the end of the file")
	}
	return r.take(int(n))
}

// unsigned reads a whole number of width bytes.
func (r *pickleReader) unsigned(width int) uint64 {
	var room [8]byte
	copy(room[:], r.take(width))
	return binary.LittleEndian.Uint64(room[:])
}

func (r *pickleReader) push(v any) { r.stack = append(r.stack, v) }

func (r *pickleReader) pop() any {
	if len(r.stack) == 0 {
		r.fail("the stack is empty")
	}
	v := r.stack[len(r.stack)-1]
	r.stack = r.stack[:len(r.stack)-1]
	return v
}

func (r *pickleReader) top() any {
	v := r.pop()
	r.push(v)
	return v
}

// mark takes what lies above the last mark, and the mark.
func (r *pickleReader) mark() []any {
	for i := len(r.stack) - 1; i >= 0; i-- {
		if r.stack[i] == (pickleMark{}) {
			above := append([]any(nil), r.stack[i+1:]...)
			r.stack = r.stack[:i]
			return above
		}
	}
	r.fail("a mark is missing")
	return nil
}

// recall gives what was remembered under a number.
func (r *pickleReader) recall(n uint64) any {
	v, ok := r.memo[int(n&math.MaxInt64)]
	if !ok {
		r.fail("nothing is remembered under that number")
	}
	return v
}

// number reads the decimal of a line.
func (r *pickleReader) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		r.fail("a number is malformed")
	}
	return n
}

// set puts pairs of keys and values into the dictionary on the stack.
func (r *pickleReader) set(pairs []any) {
	d, ok := r.top().(*pickledDict)
	if !ok || len(pairs)%2 != 0 {
		r.fail("not a dictionary")
	}
	for i := 0; i < len(pairs); i += 2 {
		d.keys, d.values = append(d.keys, pairs[i]), append(d.values, pairs[i+1])
	}
}

// append puts items at the end of the list on the stack.
func (r *pickleReader) append(items []any) {
	switch l := r.top().(type) {
	case *pickledList:
		l.items = append(l.items, items...)
	case *pickled: // a list by its constructor; nothing here is read
	default:
		r.fail("not a list")
	}
}

// run goes through all codes and gives what they leave.
func (r *pickleReader) run() any {
	for {
		switch code := r.take(1)[0]; code {
		case '.':
			return r.pop()
		case 0x80: // the protocol
			if v := r.take(1)[0]; v > 5 {
				r.fail("the protocol is not known")
			}
		case 0x95: // a frame
			r.take(8)
		case '(':
			r.push(pickleMark{})
		case '0':
			r.pop()
		case '1':
			r.mark()
		case '2':
			r.push(r.top())
		default:
			if !r.constant(code) && !r.container(code) && !r.remember(code) && !r.object(code) {
				r.at--
				r.fail("the code " + strconv.Quote(string(rune(code))) + " is of no use in the pickle of a Booster")
			}
		}
	}
}

// constant reads a value.
func (r *pickleReader) constant(code byte) bool {
	switch code {
	case 'N':
		r.push(nil)
	case 0x88, 0x89:
		r.push(code == 0x88)
	case 'K':
		r.push(float64(r.unsigned(1)))
	case 'M':
		r.push(float64(r.unsigned(2)))
	case 'J':
		r.push(float64(int32(r.unsigned(4))))
	case 0x8a: // of any size; what is beyond a number is not used
		r.long(r.sized(1))
	case 0x8b:
		r.long(r.sized(4))
	case 'I', 'L', 'F':
		s := strings.TrimSuffix(r.line(), "L")
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && v == 0 {
			r.fail("a number is malformed")
		}
		r.push(v)
	case 'G':
		r.push(math.Float64frombits(binary.BigEndian.Uint64(r.take(8))))
	case 'X':
		r.push(string(r.sized(4)))
	case 0x8c:
		r.push(string(r.sized(1)))
	case 0x8d:
		r.push(string(r.sized(8)))
	case 'V':
		r.push(rawUnicode(r.line()))
	case 'B':
		r.push(r.sized(4))
	case 'C':
		r.push(r.sized(1))
	case 0x8e, 0x96:
		r.push(r.sized(8))
	case 'U':
		r.push(string(r.sized(1)))
	case 'T':
		r.push(string(r.sized(4)))
	case 'S':
		r.push(strings.Trim(r.line(), `'"`))
	default:
		return false
	}
	return true
}

// long pushes a little-endian number in two's complement.
func (r *pickleReader) long(b []byte) {
	v := 0.0
	for i := len(b) - 1; i >= 0; i-- {
		v = v*256 + float64(b[i])
	}
	if len(b) > 0 && b[len(b)-1] >= 0x80 {
		v -= math.Pow(256, float64(len(b)))
	}
	r.push(v)
}

// rawUnicode reads the escapes of Python's raw-unicode-escape, in which letters
// up to 255 stand as bytes.
func rawUnicode(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			digits := map[byte]int{'u': 4, 'U': 8}[s[i+1]]
			if digits > 0 && i+2+digits <= len(s) {
				if n, err := strconv.ParseUint(s[i+2:i+2+digits], 16, 32); err == nil {
					out.WriteRune(rune(n))
					i += 1 + digits
					continue
				}
			}
		}
		out.WriteRune(rune(s[i]))
	}
	return out.String()
}

// container makes and fills lists, tuples and dictionaries.
func (r *pickleReader) container(code byte) bool {
	switch code {
	case ']':
		r.push(&pickledList{})
	case 'l':
		r.push(&pickledList{r.mark()})
	case 'a':
		v := r.pop()
		r.append([]any{v})
	case 'e':
		r.append(r.mark())
	case '}':
		r.push(&pickledDict{})
	case 'd':
		pairs := r.mark()
		r.push(&pickledDict{})
		r.set(pairs)
	case 's':
		v, k := r.pop(), r.pop()
		r.set([]any{k, v})
	case 'u':
		r.set(r.mark())
	case ')':
		r.push(pickledTuple{})
	case 't':
		r.push(pickledTuple(r.mark()))
	case 0x85:
		r.push(pickledTuple{r.pop()})
	case 0x86:
		b, a := r.pop(), r.pop()
		r.push(pickledTuple{a, b})
	case 0x87:
		c, b, a := r.pop(), r.pop(), r.pop()
		r.push(pickledTuple{a, b, c})
	default:
		return false
	}
	return true
}

// remember keeps the top of the stack or gives back what was kept.
func (r *pickleReader) remember(code byte) bool {
	switch code {
	case 'p':
		r.memo[r.number(r.line())] = r.top()
	case 'q':
		r.memo[int(r.unsigned(1))] = r.top()
	case 'r':
		r.memo[int(r.unsigned(4))] = r.top()
	case 0x94:
		r.memo[len(r.memo)] = r.top()
	case 'g':
		r.push(r.recall(uint64(r.number(r.line()))))
	case 'h':
		r.push(r.recall(r.unsigned(1)))
	case 'j':
		r.push(r.recall(r.unsigned(4)))
	default:
		return false
	}
	return true
}

// object notes classes and objects.
func (r *pickleReader) object(code byte) bool {
	switch code {
	case 'c':
		module := r.line()
		r.push(pickledClass(module + " " + r.line()))
	case 0x93:
		name, module := r.pop(), r.pop()
		m, ok1 := module.(string)
		n, ok2 := name.(string)
		if !ok1 || !ok2 {
			r.fail("a class has no name")
		}
		r.push(pickledClass(m + " " + n))
	case 'R', 0x81:
		args, of := r.pop(), r.pop()
		r.push(&pickled{of: of, from: args})
	case 0x92:
		_, args, of := r.pop(), r.pop(), r.pop()
		r.push(&pickled{of: of, from: args})
	case 'b':
		state := r.pop()
		o, ok := r.top().(*pickled)
		if !ok {
			r.fail("a state without an object")
		}
		o.state = state
	default:
		return false
	}
	return true
}
