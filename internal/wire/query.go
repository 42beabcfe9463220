// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// maxQueryList bounds the list index that a form may name.
const maxQueryList = 10_000

// DecodeQuery reads the form of a query request into the operation's input.
func (o *Operation) DecodeQuery(form url.Values) (any, error) {
	tree, err := queryTree(o.Binding().Input, "", form)
	if err != nil {
		return nil, err
	}
	m, _ := tree.(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return o.decode(m)
}

// queryTree gathers the form's entries under prefix: Tags.member.1.Key=a.
// It is nil when there are none. Leaves stay text; check reads numbers in them.
func queryTree(s *Shape, prefix string, form url.Values) (any, error) {
	switch s.Type {
	case "structure":
		m := map[string]any{}
		for i := range s.Members {
			mem := &s.Members[i]
			v, err := queryTree(mem.Shape, join(prefix, mem.Wire), form)
			if err != nil {
				return nil, err
			}
			if v != nil {
				m[mem.Name] = v
			}
		}
		if len(m) == 0 && prefix != "" {
			return nil, nil
		}
		return m, nil
	case "list":
		base := prefix
		if !s.Flat {
			base = join(prefix, elemName(s.Elem))
		}
		var l []any
		for _, i := range indexes(form, base) {
			v, err := queryTree(s.Elem.Shape, base+"."+strconv.Itoa(i), form)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		if l == nil {
			if _, ok := form[prefix]; ok { // Tags= is an empty list
				return []any{}, nil
			}
			return nil, nil
		}
		return l, nil
	case "map":
		base := prefix
		if !s.Flat {
			base = join(prefix, "entry")
		}
		var m map[string]any
		for _, i := range indexes(form, base) {
			at := base + "." + strconv.Itoa(i)
			k := form.Get(join(at, orElse(s.Key.Wire, "key")))
			v, err := queryTree(s.Value.Shape, join(at, orElse(s.Value.Wire, "value")), form)
			if err != nil {
				return nil, err
			}
			if m == nil {
				m = map[string]any{}
			}
			m[k] = v
		}
		if m == nil {
			return nil, nil
		}
		return m, nil
	}
	if v, ok := form[prefix]; ok && len(v) > 0 {
		return v[0], nil
	}
	return nil, nil
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func elemName(m *Member) string { return orElse(m.Wire, "member") }

// indexes are the numbers n for which the form has base.n or base.n.…, ascending.
func indexes(form url.Values, base string) []int {
	seen := map[int]bool{}
	for k := range form {
		rest, ok := strings.CutPrefix(k, base+".")
		if !ok {
			continue
		}
		num, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(num); err == nil && n > 0 && n <= maxQueryList {
			seen[n] = true
		}
	}
	out := make([]int, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Ints(out)
	return out
}

// EncodeQuery writes the XML answer of a query operation.
func (o *Operation) EncodeQuery(out any, requestID string) []byte {
	b := o.Binding()
	ns := o.Service.Schema().Namespace
	var w bytes.Buffer
	fmt.Fprintf(&w, `<%sResponse xmlns=%q>`, o.Name, ns)
	if b.Wrapper != "" {
		fmt.Fprintf(&w, "<%s>", b.Wrapper)
	}
	writeXML(&w, b.Output, reflect.ValueOf(out))
	if b.Wrapper != "" {
		fmt.Fprintf(&w, "</%s>", b.Wrapper)
	}
	fmt.Fprintf(&w, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", escape(requestID), o.Name)
	return w.Bytes()
}

// writeXML writes the inside of v's element.
func writeXML(w *bytes.Buffer, s *Shape, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch s.Type {
	case "structure":
		fields := fieldIndex(v.Type())
		for i := range s.Members {
			m := &s.Members[i]
			f, ok := fields[m.Name]
			if !ok || !present(m, v.Field(f)) {
				continue
			}
			if m.Shape.Flat || m.Flat {
				for j := range v.Field(f).Len() {
					element(w, m.Wire, func() { writeXML(w, m.Shape.Elem.Shape, v.Field(f).Index(j)) })
				}
				continue
			}
			element(w, m.Wire, func() { writeXML(w, m.Shape, v.Field(f)) })
		}
	case "list":
		for i := range v.Len() {
			element(w, elemName(s.Elem), func() { writeXML(w, s.Elem.Shape, v.Index(i)) })
		}
	case "map":
		for it := v.MapRange(); it.Next(); {
			element(w, "entry", func() {
				element(w, orElse(s.Key.Wire, "key"), func() { w.WriteString(escape(it.Key().String())) })
				element(w, orElse(s.Value.Wire, "value"), func() { writeXML(w, s.Value.Shape, it.Value()) })
			})
		}
	case "timestamp":
		w.WriteString(v.Interface().(Time).UTC().Format("2006-01-02T15:04:05Z"))
	case "blob":
		w.Write(appendBase64(nil, v.Bytes()))
	case "float", "double":
		w.WriteString(strings.Trim(string(appendFloat(nil, v.Float())), `"`))
	default:
		w.WriteString(escape(fmt.Sprint(v.Interface())))
	}
}

func element(w *bytes.Buffer, name string, inside func()) {
	w.WriteString("<" + name + ">")
	inside()
	w.WriteString("</" + name + ">")
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer does not fail
	return b.String()
}

// EncodeFaultQuery writes the XML error of a query service.
func EncodeFaultQuery(f *fault.Fault, namespace, requestID string) []byte {
	kind := "Sender"
	if f.Server() {
		kind = "Receiver"
	}
	return fmt.Appendf(nil, `<ErrorResponse xmlns=%q><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
		namespace, kind, escape(f.Code), escape(f.Message), escape(requestID))
}
