// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// fieldIndex finds a message's fields by the model's member name.
var fieldIndexes sync.Map // reflect.Type → map[string]int

func fieldIndex(t reflect.Type) map[string]int {
	if m, ok := fieldIndexes.Load(t); ok {
		return m.(map[string]int)
	}
	m := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		m[name] = i
	}
	fieldIndexes.Store(t, m)
	return m
}

// bind fills dst, a settable value of the generated type, from a checked tree.
func bind(s *Shape, tree any, dst reflect.Value) error {
	if tree == nil {
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		p := reflect.New(dst.Type().Elem())
		if err := bind(s, tree, p.Elem()); err != nil {
			return err
		}
		dst.Set(p)
		return nil
	}
	switch s.Type {
	case "structure":
		fields := fieldIndex(dst.Type())
		m := tree.(map[string]any)
		for i := range s.Members {
			mem := &s.Members[i]
			v := mem.in(m)
			if v == nil {
				continue
			}
			f, ok := fields[mem.Name]
			if !ok {
				continue // a stream
			}
			if err := bind(mem.Shape, v, dst.Field(f)); err != nil {
				return err
			}
		}
	case "list":
		l := tree.([]any)
		out := reflect.MakeSlice(dst.Type(), len(l), len(l))
		for i, e := range l {
			if err := bind(s.Elem.Shape, e, out.Index(i)); err != nil {
				return err
			}
		}
		dst.Set(out)
	case "map":
		m := tree.(map[string]any)
		out := reflect.MakeMapWithSize(dst.Type(), len(m))
		for k, e := range m {
			v := reflect.New(dst.Type().Elem()).Elem()
			if err := bind(s.Value.Shape, e, v); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k), v)
		}
		dst.Set(out)
	case "string":
		dst.SetString(tree.(string))
	case "boolean":
		switch t := tree.(type) {
		case bool:
			dst.SetBool(t)
		case string:
			dst.SetBool(t == "true")
		}
	case "integer", "long":
		text := fmt.Sprint(tree)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil { // 1e3, 5.0
			f, ferr := strconv.ParseFloat(text, 64)
			if ferr != nil {
				return err
			}
			n = int64(f)
		}
		dst.SetInt(n)
	case "float", "double":
		f, err := number(tree)
		if err != nil {
			return err
		}
		dst.SetFloat(f)
	case "timestamp":
		t, err := parseTime(fmt.Sprint(tree))
		if err != nil {
			return err
		}
		dst.Set(reflect.ValueOf(t))
	case "blob":
		switch b := tree.(type) {
		case []byte:
			dst.SetBytes(b)
		case string:
			raw, err := decodeBlob(b)
			if err != nil {
				return err
			}
			dst.SetBytes(raw)
		}
	}
	return nil
}

func decodeBlob(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }

// treeOf is the reverse of bind: a message as a tree, absent members left out.
// Inside the process it lets op.Call put a message through the same checks.
func treeOf(s *Shape, v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch s.Type {
	case "structure":
		fields := fieldIndex(v.Type())
		m := make(map[string]any, len(s.Members))
		for i := range s.Members {
			mem := &s.Members[i]
			f, ok := fields[mem.Name]
			if !ok {
				continue
			}
			if fv := v.Field(f); present(mem, fv) {
				m[mem.Name] = treeOf(mem.Shape, fv)
			}
		}
		return m
	case "list":
		l := make([]any, v.Len())
		for i := range l {
			l[i] = treeOf(s.Elem.Shape, v.Index(i))
		}
		return l
	case "map":
		m := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			m[it.Key().String()] = treeOf(s.Value.Shape, it.Value())
		}
		return m
	case "string":
		return v.String()
	case "boolean":
		return v.Bool()
	case "integer", "long":
		return json.Number(strconv.FormatInt(v.Int(), 10))
	case "float", "double":
		return json.Number(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case "timestamp":
		return json.Number(appendEpoch(nil, v.Interface().(Time).Time))
	case "blob":
		return v.Bytes()
	}
	return nil
}

// present tells whether a field of a message goes onto the wire. What the model
// requires is written even when empty: Python clients index it unasked.
func present(m *Member, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil()
	case reflect.Slice, reflect.Map:
		return m.Required || !v.IsNil()
	case reflect.String:
		return m.Required || m.shown || v.Len() > 0
	case reflect.Struct:
		return !v.Interface().(Time).IsZero()
	}
	return true
}

// Check puts a message through the model's constraints, as if it had come over
// the wire.
func (o *Operation) Check(in any) error {
	shape := o.Binding().Input
	return check(shape, treeOf(shape, reflect.ValueOf(in)))
}

// in finds the member in a tree: by its own name, or by its name on the wire
// where a JSON body uses that.
func (m *Member) in(tree map[string]any) any {
	if v, ok := tree[m.Name]; ok || m.Wire == m.Name || m.Location != "" {
		return v
	}
	return tree[m.Wire]
}
