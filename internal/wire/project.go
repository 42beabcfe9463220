// SPDX-License-Identifier: Apache-2.0

package wire

import "reflect"

// Project copies into dst every exported field of src that has the same name
// and type, and gives the names of src's fields that found no place. Both are
// pointers to structs. rename maps a name of src to a name of dst.
//
// It carries Create's input into the Describe document, and the document into
// summaries and outputs: of 521 Create members 422 come back under the same
// name and type.
func Project(dst, src any, rename map[string]string) (left []string) {
	d, s := reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem()
	t := s.Type()
	for i := range t.NumField() {
		name := t.Field(i).Name
		to := name
		if r, ok := rename[name]; ok {
			to = r
		}
		f := d.FieldByName(to)
		if !f.IsValid() || f.Type() != s.Field(i).Type() {
			left = append(left, name)
			continue
		}
		if !s.Field(i).IsZero() {
			f.Set(s.Field(i))
		}
	}
	return left
}
