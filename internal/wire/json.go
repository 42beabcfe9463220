// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// parseJSON reads a request body into a tree. An empty body is an empty object.
func parseJSON(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.Serialization("The request body is not valid JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fault.Serialization("The request body holds more than one JSON value")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType(v, "an Object", "")
	}
	return m, nil
}

// DecodeJSON reads the body of a JSON 1.0 or 1.1 request into the operation's
// input message, checked. It returns *Op>Input.
func (o *Operation) DecodeJSON(body []byte) (any, error) {
	tree, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	return o.decode(tree)
}

func (o *Operation) decode(tree map[string]any) (any, error) {
	shape := o.Binding().Input
	if err := check(shape, tree); err != nil {
		return nil, err
	}
	in := o.newIn()
	if err := bind(shape, tree, reflect.ValueOf(in).Elem()); err != nil {
		return nil, fault.Serialization("%v", err)
	}
	return in, nil
}

// EncodeJSON writes an output message.
func (o *Operation) EncodeJSON(out any) []byte {
	return appendJSON(nil, o.Binding().Output, reflect.ValueOf(out), false)
}

// appendJSON writes v by its shape. Body only leaves out members bound to
// headers, as REST JSON wants it.
func appendJSON(b []byte, s *Shape, v reflect.Value, bodyOnly bool) []byte {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return append(b, "null"...)
		}
		v = v.Elem()
	}
	switch s.Type {
	case "structure":
		fields := fieldIndex(v.Type())
		b = append(b, '{')
		first := true
		for i := range s.Members {
			m := &s.Members[i]
			f, ok := fields[m.Name]
			if !ok || bodyOnly && m.Location != "" || !present(m, v.Field(f)) {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendString(b, m.Wire)
			b = append(b, ':')
			if m.Shape.Type == "timestamp" {
				b = appendTimestamp(b, m, v.Field(f).Interface().(Time))
				continue
			}
			b = appendJSON(b, m.Shape, v.Field(f), false)
		}
		return append(b, '}')
	case "list":
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, s.Elem.Shape, v.Index(i), false)
		}
		return append(b, ']')
	case "map":
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return bytes.Compare([]byte(x.String()), []byte(y.String())) })
		b = append(b, '{')
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, k.String())
			b = append(b, ':')
			b = appendJSON(b, s.Value.Shape, v.MapIndex(k), false)
		}
		return append(b, '}')
	case "string":
		return appendString(b, v.String())
	case "boolean":
		return strconv.AppendBool(b, v.Bool())
	case "integer", "long":
		return strconv.AppendInt(b, v.Int(), 10)
	case "float", "double":
		return appendFloat(b, v.Float())
	case "timestamp":
		return appendEpoch(b, v.Interface().(Time).Time)
	case "blob":
		return appendString(b, base64.StdEncoding.EncodeToString(v.Bytes()))
	}
	panic(fmt.Sprintf("wire: shape %s of type %s cannot be written", s.Name, s.Type))
}

func appendTimestamp(b []byte, m *Member, t Time) []byte {
	format := m.Time
	if format == "" {
		format = m.Shape.Time
	}
	if format == "iso8601" {
		return appendString(b, t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return appendEpoch(b, t.Time)
}

func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[n:], ".e") { // 1.0, as the service writes it: clients tell integers from floats
		b = append(b, '.', '0')
	}
	return b
}

const hex = "0123456789abcdef"

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				i++
				start = i
				continue
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// EncodeFaultJSON writes an error body that every JSON client reads.
func EncodeFaultJSON(f *fault.Fault) []byte {
	m := map[string]any{"__type": f.Code, "message": f.Message, "Message": f.Message}
	for k, v := range f.Extra {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		return []byte(`{"__type":"InternalFailure"}`)
	}
	return b
}
