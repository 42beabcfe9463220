// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// The families of records.
const (
	roles      = "iam/role"
	policies   = "iam/policy"
	users      = "iam/user"
	accessKeys = "iam/access-key"
	sessions   = "sts/session"
)

// entity is a record: D is what clients see and P what they do not, or see by
// other operations.
type entity[D, P any] struct {
	row     resource.Row
	doc     D
	private P
}

func key(account, family, name string) resource.Key {
	if family != accessKeys && family != sessions {
		name = strings.ToLower(name)
	}
	return resource.Key{Account: account, Family: family, Name: name}
}

// get reads an entity, or answers resource.ErrNotFound.
func get[D, P any](ctx context.Context, r resource.Reader, k resource.Key) (*entity[D, P], error) {
	row, err := r.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	return read[D, P](row)
}

func read[D, P any](row resource.Row) (*entity[D, P], error) {
	e := &entity[D, P]{row: row}
	if err := json.Unmarshal(row.Doc, &e.doc); err != nil {
		return nil, fmt.Errorf("read %s %q: %w", row.Family, row.Name, err)
	}
	if len(row.Private) > 0 {
		if err := json.Unmarshal(row.Private, &e.private); err != nil {
			return nil, fmt.Errorf("read private part of %s %q: %w", row.Family, row.Name, err)
		}
	}
	return e, nil
}

// pack writes the two parts into the row.
func (e *entity[D, P]) pack() (err error) {
	if e.row.Doc, err = json.Marshal(&e.doc); err != nil {
		return fmt.Errorf("write %s %q: %w", e.row.Family, e.row.Name, err)
	}
	if e.row.Private, err = json.Marshal(&e.private); err != nil {
		return fmt.Errorf("write private part of %s %q: %w", e.row.Family, e.row.Name, err)
	}
	return nil
}

// insert stores a new entity; a taken name is resource.ErrExists.
func insert[D, P any](ctx context.Context, tx resource.Tx, e *entity[D, P]) error {
	e.row.Settled, e.row.Modified = true, e.row.Created // no loop works on these
	if err := e.pack(); err != nil {
		return err
	}
	return tx.Insert(ctx, e.row)
}

// create stores a new named entity with its tags, or none of it. A taken name is
// refused in the words of inUse; what says what is stored.
func create[D, P any](ctx context.Context, db resource.DB, what string, e *entity[D, P], tags []resource.Tag, inUse error) error {
	err := db.Write(ctx, func(tx resource.Tx) error {
		if err := insert(ctx, tx, e); err != nil {
			return err
		}
		return tx.SetTags(ctx, e.row.ARN, tags, nil)
	})
	switch {
	case errors.Is(err, resource.ErrExists):
		return inUse
	case err != nil:
		return fmt.Errorf("store %s: %w", what, err)
	}
	return nil
}

// update changes an entity in the transaction it was read in.
func update[D, P any](ctx context.Context, tx resource.Tx, e *entity[D, P]) error {
	if err := e.pack(); err != nil {
		return err
	}
	return tx.Update(ctx, e.row)
}

// newID is an identifier as IAM gives them: a prefix that tells the kind, and
// 17 random characters.
func newID(prefix string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var b [17]byte
	rand.Read(b[:])
	for i, c := range b {
		b[i] = letters[c&31]
	}
	return prefix + string(b[:])
}

func pathOf(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// maxTags is how many tags an entity may have.
const maxTags = 50

func tagsIn(tags []wiam.Tag) ([]resource.Tag, error) {
	seen := map[string]bool{}
	out := make([]resource.Tag, len(tags))
	for i, t := range tags {
		folded := strings.ToLower(t.Key)
		switch {
		case strings.HasPrefix(folded, "aws:"):
			return nil, invalid("System tags cannot be added/updated/deleted by requester: %s", t.Key)
		case seen[folded]:
			return nil, invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded] = true
		out[i] = resource.Tag{Key: t.Key, Value: t.Value}
	}
	return out, nil
}

func tagsOut(ctx context.Context, r resource.Reader, arn string) ([]wiam.Tag, error) {
	tags, err := r.Tags(ctx, arn)
	if err != nil {
		return nil, fmt.Errorf("read tags of %q: %w", arn, err)
	}
	var out []wiam.Tag
	for _, t := range tags {
		out = append(out, wiam.Tag{Key: t.Key, Value: t.Value})
	}
	return out, nil
}

// page is one page of a list: what to answer beside the entries.
type page struct {
	truncated *bool
	marker    string
}

const defaultItems = 100

func items(asked *int64) int {
	if asked == nil {
		return defaultItems
	}
	return int(*asked)
}

func errMarker() error { return invalid("Invalid Marker.") }

// list reads one page of a family's rows by name, those that match.
func (s *Service) list(ctx context.Context, family, marker string, asked *int64, match func(resource.Row) bool) ([]resource.Row, page, error) {
	p, err := s.db.List(ctx, resource.Filter{Account: s.here(ctx), Family: family, Sort: resource.SortName, Limit: items(asked), After: marker, Match: match})
	if errors.Is(err, resource.ErrBadToken) {
		return nil, page{}, errMarker()
	}
	if err != nil {
		return nil, page{}, fmt.Errorf("list %s: %w", family, err)
	}
	return p.Rows, page{new(p.Next != ""), p.Next}, nil
}

// cut is list for entries that are at hand already, ordered by name.
func cut[T any](all []T, name func(T) string, marker string, asked *int64) ([]T, page, error) {
	if marker != "" {
		b, err := base64.RawURLEncoding.DecodeString(marker)
		if err != nil {
			return nil, page{}, errMarker()
		}
		i, found := slices.BinarySearchFunc(all, string(b), func(e T, n string) int { return strings.Compare(name(e), n) })
		if found {
			i++
		}
		all = all[i:]
	}
	n := items(asked)
	if len(all) <= n {
		return all, page{new(false), ""}, nil
	}
	return all[:n], page{new(true), base64.RawURLEncoding.EncodeToString([]byte(name(all[n-1])))}, nil
}

// everything reads all rows of a family that match.
func everything(ctx context.Context, r resource.Reader, account, family string, match func(resource.Row) bool) ([]resource.Row, error) {
	f := resource.Filter{Account: account, Family: family, Sort: resource.SortName, Limit: 1000, Match: match}
	var out []resource.Row
	for {
		p, err := r.List(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", family, err)
		}
		out = append(out, p.Rows...)
		if f.After = p.Next; f.After == "" {
			return out, nil
		}
	}
}
