// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// scanner walks JSON text without building values. It checks what it walks.
type scanner struct {
	b     []byte
	i     int
	depth int
}

// maxDepth bounds nesting, so that brackets alone cannot exhaust the stack.
const maxDepth = 64

// peek passes over white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// kind names the next value for errors.
func (s *scanner) kind() string {
	switch c := s.peek(); {
	case c == 0:
		return "the end of the payload"
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == 't', c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-', c >= '0' && c <= '9':
		return "a number"
	}
	return shown(s.b[s.i : s.i+1])
}

// take passes over the byte c, or says what stands there instead.
func (s *scanner) take(c byte) error {
	if s.peek() != c {
		return fmt.Errorf("invalid JSON at byte %d: expected %q, got %s", s.i, c, s.kind())
	}
	s.i++
	return nil
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek() != 0 || s.i < len(s.b) {
		return fmt.Errorf("invalid JSON at byte %d: %s after the end of the value", s.i, s.kind())
	}
	return nil
}

// list walks open … close and calls item before each element.
func (s *scanner) list(open, closing byte, item func() error) error {
	if err := s.take(open); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return fmt.Errorf("invalid JSON at byte %d: nested deeper than %d", s.i, maxDepth)
	}
	defer func() { s.depth-- }()
	if s.peek() == closing {
		s.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.peek() == closing {
			s.i++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

func (s *scanner) array(item func() error) error { return s.list('[', ']', item) }

// object walks an object; member is called with each raw name, the scanner
// standing at its value.
func (s *scanner) object(member func(name []byte) error) error {
	return s.list('{', '}', func() error {
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// text is the raw bytes between the quotes of a string.
func (s *scanner) text() ([]byte, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	from := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[from : s.i-1], nil
		case c == '\\':
			s.i++
		case c < ' ':
			return nil, fmt.Errorf("invalid JSON at byte %d: a control character in a string", s.i)
		}
		s.i++
	}
	return nil, fmt.Errorf("invalid JSON: a string without end")
}

// number reads a number, or null as NaN.
func (s *scanner) number() (float32, error) {
	c := s.peek()
	if bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += 4
		return nan, nil
	}
	if c != '-' && (c < '0' || c > '9') {
		return 0, fmt.Errorf("expected a number, got %s", s.kind())
	}
	v, next, ok := scanNumber(s.b, s.i)
	if ok {
		s.i = next
		return v, nil
	}
	from := s.i
	for s.i < len(s.b) && bytes.IndexByte([]byte("+-.0123456789eE"), s.b[s.i]) >= 0 {
		s.i++
	}
	if v, ok = slowNumber(s.b[from:s.i]); !ok {
		return 0, fmt.Errorf("%s is not a number that fits in 32 bits", shown(s.b[from:s.i]))
	}
	return v, nil
}

// integer reads a column number: from 0, below 1<<31-1.
func (s *scanner) integer() (int, error) {
	s.peek()
	from, n := s.i, 0
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 && s.i-from < 11 {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
	}
	if s.i == from || n >= math.MaxInt32 {
		return 0, fmt.Errorf("expected a whole number from 0, got %s", s.kind())
	}
	return n, nil
}

// skip passes over one value of any kind.
func (s *scanner) skip() error {
	switch s.peek() {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.text()
		return err
	}
	from := s.i
	for s.i < len(s.b) && bytes.IndexByte([]byte(",]} \t\r\n"), s.b[s.i]) < 0 {
		s.i++
	}
	if !json.Valid(s.b[from:s.i]) {
		return fmt.Errorf("invalid JSON at byte %d: %s", from, shown(s.b[from:s.i]))
	}
	return nil
}
