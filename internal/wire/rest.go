// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

func appendBase64(b, raw []byte) []byte { return base64.StdEncoding.AppendEncode(b, raw) }

// MatchREST finds the operation of a REST service that a method and an escaped
// path ask for, and the path's labels, unescaped.
func (s *Service) MatchREST(method, escapedPath string) (*Operation, map[string]string, bool) {
	parts := splitPath(escapedPath)
	for name, b := range s.Schema().Operations {
		if b.Method == method && b.matches(parts) {
			labels, ok := b.labels(parts)
			return s.ops[name], labels, ok
		}
	}
	return nil, nil, false
}

func splitPath(p string) []string { return strings.Split(strings.Trim(p, "/"), "/") }

// matches compares the fixed segments of the path.
func (b *Binding) matches(parts []string) bool {
	if len(b.segments) != len(parts) {
		return false
	}
	for i, w := range b.segments {
		if w[0] != '{' && w != parts[i] {
			return false
		}
	}
	return true
}

func (b *Binding) labels(parts []string) (map[string]string, bool) {
	labels := make(map[string]string, 1)
	for i, w := range b.segments {
		if w[0] == '{' {
			v, err := url.PathUnescape(parts[i])
			if err != nil || v == "" {
				return nil, false
			}
			labels[strings.Trim(w, "{}+")] = v
		}
	}
	return labels, true
}

// DecodeREST reads a REST JSON request into the operation's input. Body is the
// whole body; of an operation whose payload streams it is not looked at.
func (o *Operation) DecodeREST(r *http.Request, labels map[string]string, body []byte) (any, error) {
	shape := o.Binding().Input
	if in, ok := o.decodeDirect(shape, r, labels, body); ok {
		return in, nil
	}
	return o.decodeTree(shape, r, labels, body)
}

func (o *Operation) decodeTree(shape *Shape, r *http.Request, labels map[string]string, body []byte) (any, error) {
	tree := map[string]any{}
	if shape.Payload == "" && len(body) > 0 {
		var err error
		if tree, err = parseJSON(body); err != nil {
			return nil, err
		}
	}
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	for i := range shape.Members {
		m := &shape.Members[i]
		switch m.Location {
		case "uri":
			if v, ok := labels[m.Wire]; ok {
				tree[m.Name] = v
			}
		case "querystring":
			if v, ok := query[m.Wire]; ok {
				tree[m.Name] = restValue(m.Shape, v)
			}
		case "header":
			if v := r.Header[m.header]; len(v) > 0 {
				tree[m.Name] = restValue(m.Shape, v)
			}
		}
		if m.Name == shape.Payload && !m.Stream {
			if m.Shape.Type != "blob" {
				inner, err := parseJSON(body)
				if err != nil {
					return nil, err
				}
				tree[m.Name] = inner
			} else { // an empty payload is a payload; a stream's is handed over beside the message
				tree[m.Name] = append([]byte{}, body...)
			}
		}
	}
	return o.decode(tree)
}

// direct is where the members of a message go whose members are strings in the
// path and headers, and a payload of bytes: InvokeEndpoint is one.
type direct struct {
	ok     bool
	fields []int // of the message, by index of the member; -1 for a stream
}

var directs sync.Map // *Operation → *direct

func (o *Operation) direct(shape *Shape) *direct {
	if d, ok := directs.Load(o); ok {
		return d.(*direct)
	}
	d := &direct{ok: true, fields: make([]int, len(shape.Members))}
	index := fieldIndex(reflect.TypeOf(o.newIn()).Elem())
	for i := range shape.Members {
		m := &shape.Members[i]
		f, bound := index[m.Name]
		text := bound && m.Shape.Type == "string" && (m.Location == "uri" || m.Location == "header")
		blob := m.Name == shape.Payload && (m.Stream || bound && m.Shape.Type == "blob")
		d.ok = d.ok && (text || blob)
		d.fields[i] = f
		if m.Stream {
			d.fields[i] = -1
		}
	}
	directs.Store(o, d)
	return d
}

// decodeDirect reads a message of that form without a tree between. It is false
// for another form, and for a message that breaks a constraint: that is read
// once more, so that all refusals are worded in one place.
func (o *Operation) decodeDirect(shape *Shape, r *http.Request, labels map[string]string, body []byte) (any, bool) {
	d := o.direct(shape)
	if !d.ok {
		return nil, false
	}
	in := o.newIn()
	v := reflect.ValueOf(in).Elem()
	for i := range shape.Members {
		m := &shape.Members[i]
		switch {
		case d.fields[i] < 0:
		case m.Location == "":
			if !m.Shape.fits(len(body)) {
				return nil, false
			}
			v.Field(d.fields[i]).SetBytes(append([]byte{}, body...))
		default:
			var text string
			var ok bool
			if m.Location == "uri" {
				text, ok = labels[m.Wire]
			} else if all := r.Header[m.header]; len(all) > 0 {
				text, ok = all[0], true
			}
			if ok && len(textRules(m.Shape, text)) > 0 || !ok && m.Required {
				return nil, false
			}
			if ok {
				v.Field(d.fields[i]).SetString(text)
			}
		}
	}
	return in, true
}

// fits tells whether n bytes are within the length of a blob.
func (s *Shape) fits(n int) bool {
	return (s.Max == nil || n <= int(*s.Max)) && (s.Min == nil || n >= int(*s.Min))
}

func restValue(s *Shape, v []string) any {
	if s.Type != "list" {
		return v[0]
	}
	l := make([]any, len(v))
	for i := range v {
		l[i] = v[i]
	}
	return l
}

// EncodeREST gives an output's headers, status and body.
func (o *Operation) EncodeREST(out any) (header http.Header, status int, body []byte) {
	b := o.Binding()
	v := reflect.ValueOf(out).Elem()
	fields := fieldIndex(v.Type())
	header, status = http.Header{}, b.Status
	header.Set("Content-Type", "application/json")
	for i := range b.Output.Members {
		m := &b.Output.Members[i]
		f, ok := fields[m.Name]
		if !ok || !present(m, v.Field(f)) {
			continue
		}
		switch {
		case m.Location == "header":
			header.Set(m.Wire, fmt.Sprint(reflect.Indirect(v.Field(f)).Interface()))
		case m.Location == "statusCode":
			status, _ = strconv.Atoi(fmt.Sprint(reflect.Indirect(v.Field(f)).Interface()))
		case m.Name == b.Output.Payload && m.Shape.Type == "blob":
			return header, status, v.Field(f).Bytes()
		}
	}
	if b.Output.Payload != "" {
		return header, status, nil
	}
	return header, status, appendJSON(nil, b.Output, v, true)
}
