// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Listing is what a family adds to the common way of listing: Match keeps the
// records that a filter of its own asks for (nil when in asks for none), and
// Summary fills the members of a summary that do not project.
type Listing[I, D, P, S any] struct {
	Match   func(in *I) func(Record[D, P]) bool
	Summary func(r Record[D, P], s *S)
	Filter  func(in *I, f *Filter)
}

// defaultPage is the page size where AWS documents none.
const defaultPage = 10

// List binds a List operation. The members of its input that every family has
// (NameContains, StatusEquals, the times, SortBy, SortOrder, MaxResults,
// NextToken) work by their names; a page is filled with summaries projected
// from the documents. Newest first when the caller asks for no order.
func List[I, O, D, P any](t *op.Table, o wire.Op[I, O], s *Store[D, P]) {
	out := reflect.TypeFor[O]()
	list := listField(out)
	listInto(t, o, s, list, func(r Record[D, P], sum reflect.Value) {}, nil, nil)
}

// ListWith is List with the family's own additions.
func ListWith[I, O, D, P, S any](t *op.Table, o wire.Op[I, O], s *Store[D, P], l Listing[I, D, P, S]) {
	list := listField(reflect.TypeFor[O]())
	if got := reflect.TypeFor[O]().Field(list).Type.Elem(); got != reflect.TypeFor[S]() {
		panic(fmt.Sprintf("resource: summaries of %s are %s, not %s", o, got, reflect.TypeFor[S]()))
	}
	fill := func(r Record[D, P], sum reflect.Value) {
		if l.Summary != nil {
			l.Summary(r, sum.Addr().Interface().(*S))
		}
	}
	listInto(t, o, s, list, fill, l.Match, l.Filter)
}

func listInto[I, O, D, P any](t *op.Table, o wire.Op[I, O], s *Store[D, P], list int,
	fill func(Record[D, P], reflect.Value), match func(*I) func(Record[D, P]) bool, filter func(*I, *Filter)) {
	op.Handle(t, o, func(ctx context.Context, in *I) (*O, error) {
		f := filterOf(in)
		c := auth.CallerFrom(ctx)
		f.Account, f.Region, f.Family = c.Account, c.Region, s.Family.Path
		if filter != nil {
			filter(in, &f)
		}
		if match != nil {
			if keep := match(in); keep != nil {
				f.Match = func(row Row) bool {
					r, err := s.record(row)
					return err == nil && keep(r)
				}
			}
		}
		page, err := s.DB.List(ctx, f)
		if errors.Is(err, ErrBadToken) {
			return nil, fault.Validation("Invalid pagination token because %q is not one that this list has given.", f.After)
		}
		if err != nil {
			return nil, err
		}
		out := new(O)
		v := reflect.ValueOf(out).Elem()
		items := reflect.MakeSlice(v.Field(list).Type(), len(page.Rows), len(page.Rows))
		for i, row := range page.Rows {
			r, err := s.record(row)
			if err != nil {
				return nil, err
			}
			wire.Project(items.Index(i).Addr().Interface(), r.Doc, nil)
			fill(r, items.Index(i))
		}
		v.Field(list).Set(items)
		v.FieldByName("NextToken").SetString(page.Next)
		return out, nil
	})
}

// listField finds the one list of structures in a list operation's output.
func listField(out reflect.Type) int {
	for i := range out.NumField() {
		if t := out.Field(i).Type; t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
			return i
		}
	}
	panic(fmt.Sprintf("resource: %s has no list", out))
}

// filterOf reads the common members of a list operation's input.
func filterOf(in any) Filter {
	v := reflect.ValueOf(in).Elem()
	str := func(name string) string {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
			return f.String()
		}
		return ""
	}
	at := func(names ...string) time.Time {
		for _, n := range names {
			if f := v.FieldByName(n); f.IsValid() {
				if t, ok := f.Interface().(wire.Time); ok && !t.IsZero() {
					return t.Time
				}
			}
		}
		return time.Time{}
	}
	f := Filter{
		NameContains: str("NameContains"), After: str("NextToken"), Limit: defaultPage,
		CreatedAfter:   at("CreationTimeAfter", "CreatedAfter"),
		CreatedBefore:  at("CreationTimeBefore", "CreatedBefore"),
		ModifiedAfter:  at("LastModifiedTimeAfter", "ModifiedTimeAfter", "ModifiedAfter"),
		ModifiedBefore: at("LastModifiedTimeBefore", "ModifiedTimeBefore", "ModifiedBefore"),
		Desc:           str("SortOrder") != "Ascending",
	}
	if st := str("StatusEquals"); st != "" {
		f.Status = []string{st}
	}
	switch str("SortBy") {
	case "Name":
		f.Sort = SortName
	case "Status":
		f.Sort = SortStatus
	case "LastModifiedTime":
		f.Sort = SortModified
	default:
		f.Sort = SortCreated
	}
	if m := v.FieldByName("MaxResults"); m.IsValid() && !m.IsNil() {
		f.Limit = int(m.Elem().Int())
	}
	return f
}
