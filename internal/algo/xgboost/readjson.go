// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// jsonReader reads JSON with the NaN and Infinity that XGBoost may write. Lists
// of numbers, most of a model, take eight bytes a number.
type jsonReader struct {
	b  []byte
	at int
}

// readJSON reads one document; what follows it must be blank.
func readJSON(b []byte) (document any, err error) {
	defer caught(&err)
	r := &jsonReader{b: b}
	document = r.value(0)
	if r.blank(); r.at < len(r.b) {
		r.fail("something follows the document")
	}
	return document, nil
}

func (r *jsonReader) fail(what string) {
	panic(formatError{algo.ClientErrorf("model file: byte %d: %s", r.at, what)})
}

// blank passes over blanks.
func (r *jsonReader) blank() {
	for r.at < len(r.b) {
		switch r.b[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// next gives the next byte that is not blank, without taking it.
func (r *jsonReader) next() byte {
	if r.blank(); r.at >= len(r.b) {
		r.fail("the file ends early")
	}
	return r.b[r.at]
}

func (r *jsonReader) expect(c byte) {
	if r.next() != c {
		r.fail("expected " + strconv.QuoteRune(rune(c)))
	}
	r.at++
}

// comma takes what follows a piece and reports whether another one comes.
func (r *jsonReader) comma(end byte) bool {
	switch r.next() {
	case ',':
		r.at++
		return true
	case end:
		r.at++
		return false
	}
	r.fail("expected a comma or " + strconv.QuoteRune(rune(end)))
	return false
}

func (r *jsonReader) value(depth int) any {
	if depth > maxNesting {
		r.fail("nests too deeply")
	}
	switch r.next() {
	case '{':
		r.at++
		object := map[string]any{}
		if r.next() == '}' {
			r.at++
			return object
		}
		for more := true; more; more = r.comma('}') {
			key := r.text()
			r.expect(':')
			object[key] = r.value(depth + 1)
		}
		return object
	case '[':
		r.at++
		var list items
		if r.next() == ']' {
			r.at++
			return list.done()
		}
		for more := true; more; more = r.comma(']') {
			list.add(r.value(depth + 1))
		}
		return list.done()
	case '"':
		return r.text()
	}
	return r.word()
}

func (r *jsonReader) text() string {
	r.next()
	from := r.at
	r.expect('"')
	plain := true
	for {
		if r.at >= len(r.b) {
			r.fail("a string does not end")
		}
		switch r.b[r.at] {
		case '\\':
			plain = false
			r.at += 2
			continue
		case '"':
			r.at++
			if plain {
				return string(r.b[from+1 : r.at-1])
			}
			var s string
			if json.Unmarshal(r.b[from:r.at], &s) != nil {
				r.fail("a string is malformed")
			}
			return s
		}
		r.at++
	}
}

// word reads a number, true, false, null, NaN or Infinity.
func (r *jsonReader) word() any {
	from := r.at
	for r.at < len(r.b) {
		c := r.b[r.at]
		if c != '+' && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
		r.at++
	}
	switch s := string(r.b[from:r.at]); s {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && v == 0 {
			r.fail("expected a value")
		}
		return v
	}
}
