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
