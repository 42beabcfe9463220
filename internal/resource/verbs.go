// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Create binds a Create operation: the input is projected into the document,
// check adds what the model cannot say and the defaults, the record is stored
// with its tags, and the output is projected from the document.
func Create[I, O, D, P any](t *op.Table, o wire.Op[I, O], s *Store[D, P], check ...func(context.Context, *I, *Record[D, P]) error) {
	nameOf := text[I](s.Family.Noun + "Name")
	op.Handle(t, o, func(ctx context.Context, in *I) (*O, error) {
		tags := TagsOf(in)
		if err := CheckTags(tags); err != nil {
			return nil, err
		}
		k := s.Key(ctx, nameOf(in))
		if _, err := s.DB.Get(ctx, k); err == nil {
			return nil, s.worded(k, ErrExists)
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		r := Record[D, P]{Key: k, ARN: s.ARN(k), Doc: new(D)}
		wire.Project(r.Doc, in, nil)
		for _, c := range check {
			if err := c(ctx, in, &r); err != nil {
				return nil, err
			}
		}
		if err := s.Insert(ctx, &r, tags); err != nil {
			return nil, err
		}
		out := new(O)
		wire.Project(out, r.Doc, nil)
		return out, nil
	})
}

// Describe binds a Describe operation: the stored document is the answer.
// Complete may add to it what is known without being stored.
func Describe[I, D, P any](t *op.Table, o wire.Op[I, D], s *Store[D, P], complete ...func(context.Context, *Record[D, P]) error) {
	nameOf := text[I](s.Family.Noun + "Name")
	op.Handle(t, o, func(ctx context.Context, in *I) (*D, error) {
		r, err := s.Find(ctx, nameOf(in))
		if err != nil {
			return nil, err
		}
		for _, c := range complete {
			if err := c(ctx, &r); err != nil {
				return nil, err
			}
		}
		return r.Doc, nil
	})
}

// Delete binds a Delete operation of a family without a life of its own. Check
// may refuse it.
func Delete[I, O, D, P any](t *op.Table, o wire.Op[I, O], s *Store[D, P], check ...func(context.Context, Record[D, P]) error) {
	nameOf := text[I](s.Family.Noun + "Name")
	op.Handle(t, o, func(ctx context.Context, in *I) (*O, error) {
		r, err := s.Find(ctx, nameOf(in))
		if err != nil {
			return nil, err
		}
		for _, c := range check {
			if err := c(ctx, r); err != nil {
				return nil, err
			}
		}
		if err := s.Remove(ctx, r.Key); err != nil {
			return nil, s.worded(r.Key, err)
		}
		return new(O), nil
	})
}

// Stop binds an operation that asks for one move of the status, refused in the
// family's words when Life does not have it. Change may add to the record.
func Stop[I, O, D, P any](t *op.Table, o wire.Op[I, O], s *Store[D, P], to string, change ...func(*Record[D, P])) {
	nameOf := text[I](s.Family.Noun + "Name")
	op.Handle(t, o, func(ctx context.Context, in *I) (*O, error) {
		k := s.Key(ctx, nameOf(in))
		r, err := s.Edit(ctx, k, func(r *Record[D, P]) error {
			if r.Status == to || !s.Family.Life.May(r.Status, to) {
				return s.refused(r)
			}
			r.Status = to
			for _, c := range change {
				c(r)
			}
			return nil
		})
		if err != nil {
			return nil, s.worded(k, err)
		}
		out := new(O)
		wire.Project(out, r.Doc, nil)
		return out, nil
	})
}

func (s *Store[D, P]) refused(r *Record[D, P]) error {
	if s.Family.Refused != nil {
		return s.Family.Refused(r.ARN, r.Status)
	}
	return fault.Validation("The request was rejected because %s %s is in status %s.", s.Family.Noun, r.Key.Name, r.Status)
}

// text gives a reader of a string member; a message without it panics at start.
func text[I any](member string) func(*I) string {
	f, ok := reflect.TypeFor[I]().FieldByName(member)
	if !ok || f.Type.Kind() != reflect.String {
		panic(fmt.Sprintf("resource: %s has no %s", reflect.TypeFor[I](), member))
	}
	i := f.Index[0]
	return func(in *I) string { return reflect.ValueOf(in).Elem().Field(i).String() }
}

// TagsOf reads the Tags member of an input, a list of {Key, Value}.
func TagsOf(in any) []Tag {
	f := reflect.ValueOf(in).Elem().FieldByName("Tags")
	if !f.IsValid() || f.Kind() != reflect.Slice {
		return nil
	}
	tags := make([]Tag, f.Len())
	for i := range tags {
		tags[i] = Tag{Key: f.Index(i).FieldByName("Key").String(), Value: f.Index(i).FieldByName("Value").String()}
	}
	return tags
}

// CheckTags refuses keys that are reserved or given twice. How many tags there
// may be is in the model.
func CheckTags(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case ReservedTag(t.Key):
			return fault.Validation("aws: prefixed tag key names are not allowed for external use.")
		case seen[t.Key]:
			return fault.Validation("Duplicate tag keys found: %s", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}

// ReservedTag tells whether a key is one that only the service itself may set.
func ReservedTag(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }
