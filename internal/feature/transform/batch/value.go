// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Values of JSON stay the bytes that they are: what is not asked for is not
// read, and numbers and the order of members are those of the record.

// member is one of an object's.
type member struct {
	name  string
	value []byte
}

// errPath is a value that a path names and a record lacks.
var errPath = errors.New("the record has no such value")

// apply applies the path to a valid JSON value.
func (p *Path) apply(value []byte) ([]byte, error) {
	nodes, many := [][]byte{bytes.TrimSpace(value)}, false
	for _, s := range p.steps {
		var next [][]byte
		for _, v := range nodes {
			found, err := s.of(v)
			if err != nil {
				if many { // of several values those that have it
					continue
				}
				return nil, fmt.Errorf("JSONPath %q: %w", p.text, err)
			}
			next = append(next, found...)
		}
		many = many || !s.one() && len(s.names) == 0
		nodes = next
	}
	if !many {
		return nodes[0], nil
	}
	out := []byte{'['}
	for i, v := range nodes {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']'), nil
}

// of is what a step finds in a value.
func (s pathStep) of(v []byte) ([][]byte, error) {
	if len(s.names) > 0 || s.all && v[0] == '{' {
		if v[0] != '{' {
			return nil, fmt.Errorf("%w: it is no object", errPath)
		}
		return s.members(members(v))
	}
	if v[0] != '[' {
		return nil, fmt.Errorf("%w: it is no array", errPath)
	}
	all := elements(v)
	if from, to, ok := s.bounds(len(all)); ok {
		return all[from:to], nil
	}
	var out [][]byte
	for _, i := range s.indices {
		if i, ok := at(i, len(all)); ok {
			out = append(out, all[i])
		} else if s.one() {
			return nil, fmt.Errorf("%w: index %d of %d", errPath, s.indices[0], len(all))
		}
	}
	return out, nil
}

// members of an object: one, all, or several as an object of their own.
func (s pathStep) members(all []member) ([][]byte, error) {
	if s.all {
		var out [][]byte
		for _, m := range all {
			out = append(out, m.value)
		}
		return out, nil
	}
	object := []byte{'{'}
	for _, name := range s.names {
		var found []byte
		for _, m := range all { // of equal names the last counts
			if m.name == name {
				found = m.value
			}
		}
		switch {
		case found == nil && s.one():
			return nil, fmt.Errorf("%w: %q", errPath, name)
		case s.one():
			return [][]byte{found}, nil
		case found != nil:
			object = appendMember(object, name, found)
		}
	}
	return [][]byte{append(object, '}')}, nil
}

// appendMember adds a member to an object that is not closed yet.
func appendMember(object []byte, name string, value []byte) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	_ = e.Encode(name)
	object = append(object, bytes.TrimSpace(quoted.Bytes())...)
	return append(append(object, ':'), value...)
}

// members are those of an object, which must be valid JSON.
func members(v []byte) []member {
	var out []member
	for i := skipSpace(v, 1); v[i] != '}'; {
		end := skipValue(v, i)
		var name string
		_ = json.Unmarshal(v[i:end], &name)
		i = skipSpace(v, skipSpace(v, end)+1)
		end = skipValue(v, i)
		out = append(out, member{name, v[i:end]})
		if i = skipSpace(v, end); v[i] == ',' {
			i = skipSpace(v, i+1)
		}
	}
	return out
}

// elements are those of an array, which must be valid JSON.
func elements(v []byte) [][]byte {
	var out [][]byte
	for i := skipSpace(v, 1); v[i] != ']'; {
		end := skipValue(v, i)
		out = append(out, v[i:end])
		if i = skipSpace(v, end); v[i] == ',' {
			i = skipSpace(v, i+1)
		}
	}
	return out
}

func skipSpace(v []byte, i int) int {
	for v[i] == ' ' || v[i] == '\t' || v[i] == '\n' || v[i] == '\r' {
		i++
	}
	return i
}

// skipValue is where the value that begins at i ends.
func skipValue(v []byte, i int) int {
	switch v[i] {
	case '"':
		for i++; v[i] != '"'; i++ {
			if v[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		for depth := 0; ; {
			switch v[i] {
			case '"':
				i = skipValue(v, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(v) && bytes.IndexByte([]byte(",]} \t\r\n"), v[i]) < 0 {
		i++
	}
	return i
}
