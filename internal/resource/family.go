// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Family describes one kind of resource. D is the Describe output, which is
// the stored record; P is a struct of ours for what must be remembered and
// Describe does not tell.
type Family[D, P any] struct {
	Noun string // prefixes ModelName, ModelArn, TrainingJobStatus
	Path string // arn:aws:sagemaker:region:account:<path>/name; also the family's name in the store
	Life Life

	// NotFound and Exists are the service's own wording; each gets the ARN.
	NotFound func(arn string) error
	Exists   func(arn string) error
	// Refused answers a Stop or Delete that the status forbids.
	Refused func(arn, status string) error
}

// None is the private part of a family that needs none.
type None struct{}

// Plain is a family without a private part.
type Plain[D any] = Family[D, None]

// Record is one resource: the document that Describe answers, and ours.
type Record[D, P any] struct {
	Key      Key
	ARN      string
	Owner    string
	Status   string
	Created  time.Time
	Modified time.Time
	Version  int64
	Doc      *D
	Private  P
}

// Store keeps the records of one family.
type Store[D, P any] struct {
	DB     DB
	Family Family[D, P]

	name, arn, status, created, modified int // fields of D; -1 when absent
	now                                  func() time.Time
}

// New checks that the document has the members that the family's noun
// promises, and panics when not: the first start would show it.
func New[D, P any](db DB, f Family[D, P]) *Store[D, P] {
	t := reflect.TypeFor[D]()
	find := func(names ...string) int {
		for _, n := range names {
			if sf, ok := t.FieldByName(n); ok {
				return sf.Index[0]
			}
		}
		return -1
	}
	if f.Life.Has() && f.Life.Field == "" {
		f.Life.Field = f.Noun + "Status"
	}
	s := &Store[D, P]{DB: db, Family: f, now: time.Now,
		name: find(f.Noun + "Name"), arn: find(f.Noun + "Arn"), created: find("CreationTime"),
		modified: find("LastModifiedTime"), status: -1}
	if s.name < 0 || s.arn < 0 {
		panic(fmt.Sprintf("resource: %s has no %sName or %sArn", t, f.Noun, f.Noun))
	}
	if f.Life.Has() {
		if s.status = find(f.Life.Field); s.status < 0 {
			panic(fmt.Sprintf("resource: %s has no %s", t, f.Life.Field))
		}
	}
	return s
}

// Key is the key of a name in the caller's account and Region.
func (s *Store[D, P]) Key(ctx context.Context, name string) Key {
	c := auth.CallerFrom(ctx)
	return Key{Account: c.Account, Region: c.Region, Family: s.Family.Path, Name: name}
}

// ARN is the ARN that a record of the key has.
func (s *Store[D, P]) ARN(k Key) string {
	return arn.SageMaker(k.Region, k.Account, s.Family.Path, k.Name)
}

// Get reads a record, or answers ErrNotFound.
func (s *Store[D, P]) Get(ctx context.Context, k Key) (Record[D, P], error) {
	row, err := s.DB.Get(ctx, k)
	if err != nil {
		return Record[D, P]{}, err
	}
	return s.record(row)
}

// Find reads a record of the caller's, or answers in the service's words that
// it is not there.
func (s *Store[D, P]) Find(ctx context.Context, name string) (Record[D, P], error) {
	k := s.Key(ctx, name)
	r, err := s.Get(ctx, k)
	return r, s.worded(k, err)
}

func (s *Store[D, P]) worded(k Key, err error) error {
	switch {
	case errors.Is(err, ErrNotFound) && s.Family.NotFound != nil:
		return s.Family.NotFound(s.ARN(k))
	case errors.Is(err, ErrExists) && s.Family.Exists != nil:
		return s.Family.Exists(s.ARN(k))
	case errors.Is(err, ErrNotFound):
		return fault.NotFound("%s %s does not exist.", s.Family.Noun, k.Name)
	case errors.Is(err, ErrExists):
		return fault.InUse("%s %s already exists.", s.Family.Noun, s.ARN(k))
	}
	return err
}

// Insert stores a new record, with the tags, in one transaction. It stamps ARN,
// times and first status. An existing name answers in the service's words.
func (s *Store[D, P]) Insert(ctx context.Context, r *Record[D, P], tags []Tag) error {
	now := s.now().UTC().Truncate(time.Millisecond)
	r.ARN, r.Created, r.Modified = s.ARN(r.Key), now, now
	if r.Status == "" {
		r.Status = s.Family.Life.Start
	}
	row, err := s.row(r)
	if err != nil {
		return err
	}
	err = s.DB.Write(ctx, func(tx Tx) error {
		if err := tx.Insert(ctx, row); err != nil {
			return err
		}
		return tx.SetTags(ctx, row.ARN, tags, nil)
	})
	r.Version = 1
	return s.worded(r.Key, err)
}

// Edit changes a record in one short transaction. Change must not wait for
// anything; a status that Life does not allow is refused with ErrMove. The time
// of modification moves on when the change does anything.
func (s *Store[D, P]) Edit(ctx context.Context, k Key, change func(*Record[D, P]) error) (Record[D, P], error) {
	var out Record[D, P]
	err := s.DB.Write(ctx, func(tx Tx) error {
		row, err := tx.Get(ctx, k)
		if err != nil {
			return err
		}
		r, err := s.record(row)
		if err != nil {
			return err
		}
		from := r.Status
		if err := change(&r); err != nil {
			return err
		}
		if s.Family.Life.Has() && !s.Family.Life.May(from, r.Status) {
			return fmt.Errorf("%w: %s %s from %s to %s", ErrMove, s.Family.Noun, k.Name, from, r.Status)
		}
		r.Modified = s.now().UTC().Truncate(time.Millisecond)
		next, err := s.row(&r)
		if err != nil {
			return err
		}
		if err := tx.Update(ctx, next); err != nil {
			return err
		}
		r.Version++
		out = r
		return nil
	})
	return out, err
}

// Revise changes the record that was looked at. One that has changed since, or
// was made anew, is refused with ErrStale.
func (s *Store[D, P]) Revise(ctx context.Context, seen Record[D, P], change func(*Record[D, P])) (Record[D, P], error) {
	return s.Edit(ctx, seen.Key, func(now *Record[D, P]) error {
		if now.Version != seen.Version || !now.Created.Equal(seen.Created) {
			return ErrStale
		}
		change(now)
		return nil
	})
}

// ErrMove is a change of status that the family's Life does not allow.
var ErrMove = errors.New("resource: status change is not allowed")

// Remove deletes a record and its tags. A missing one is ErrNotFound.
func (s *Store[D, P]) Remove(ctx context.Context, k Key) error {
	return s.DB.Write(ctx, func(tx Tx) error { return tx.Delete(ctx, k) })
}

// Unsettled are the keys that the family's loop must look at after a start.
func (s *Store[D, P]) Unsettled(ctx context.Context) ([]Key, error) {
	return s.DB.Unsettled(ctx, s.Family.Path)
}

type private[P any] struct {
	P P `json:"p"`
}

func (s *Store[D, P]) record(row Row) (Record[D, P], error) {
	r := Record[D, P]{Key: row.Key, ARN: row.ARN, Owner: row.Owner, Status: row.Status,
		Created: row.Created, Modified: row.Modified, Version: row.Version, Doc: new(D)}
	if err := json.Unmarshal(row.Doc, r.Doc); err != nil {
		return r, fmt.Errorf("read %s %s: %w", s.Family.Noun, row.Name, err)
	}
	if len(row.Private) > 0 {
		var p private[P]
		if err := json.Unmarshal(row.Private, &p); err != nil {
			return r, fmt.Errorf("read %s %s: %w", s.Family.Noun, row.Name, err)
		}
		r.Private = p.P
	}
	return r, nil
}

// row stamps the envelope into the document and writes both as JSON.
func (s *Store[D, P]) row(r *Record[D, P]) (Row, error) {
	d := reflect.ValueOf(r.Doc).Elem()
	d.Field(s.name).SetString(r.Key.Name)
	d.Field(s.arn).SetString(r.ARN)
	if s.status >= 0 {
		d.Field(s.status).SetString(r.Status)
	}
	if s.created >= 0 {
		d.Field(s.created).Set(reflect.ValueOf(wire.At(r.Created)))
	}
	if s.modified >= 0 {
		d.Field(s.modified).Set(reflect.ValueOf(wire.At(r.Modified)))
	}
	doc, err := json.Marshal(r.Doc)
	if err != nil {
		return Row{}, fmt.Errorf("write %s %s: %w", s.Family.Noun, r.Key.Name, err)
	}
	priv, err := json.Marshal(private[P]{r.Private})
	if err != nil {
		return Row{}, fmt.Errorf("write %s %s: %w", s.Family.Noun, r.Key.Name, err)
	}
	return Row{Key: r.Key, ARN: r.ARN, Owner: r.Owner, Status: r.Status, Settled: s.Family.Life.Settled(r.Status),
		Created: r.Created, Modified: r.Modified, Version: r.Version, Doc: doc, Private: priv}, nil
}
