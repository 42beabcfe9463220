// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// family is the repositories' in the store. They stand under no Region: the
// registry is one, and a name means the same everywhere.
const family = "ecr/repository"

// record is a user's repository.
type record struct {
	row  resource.Row
	doc  wecr.Repository
	more private
}

// private is what DescribeRepositories does not tell.
type private struct {
	Policy    string    `json:"policy,omitempty"`
	Lifecycle string    `json:"lifecycle,omitempty"`
	Evaluated time.Time `json:"evaluated,omitzero"` // when Lifecycle was last applied
}

func (s *Service) rowKey(name string) resource.Key {
	return resource.Key{Account: s.account, Family: family, Name: name}
}

func read(row resource.Row) (*record, error) {
	r := &record{row: row}
	if err := json.Unmarshal(row.Doc, &r.doc); err != nil {
		return nil, fmt.Errorf("read repository %q: %w", row.Name, err)
	}
	if err := json.Unmarshal(row.Private, &r.more); err != nil {
		return nil, fmt.Errorf("read private part of repository %q: %w", row.Name, err)
	}
	return r, nil
}

func (r *record) pack() (err error) {
	if r.row.Doc, err = json.Marshal(&r.doc); err == nil {
		r.row.Private, err = json.Marshal(&r.more)
	}
	if err != nil {
		return fmt.Errorf("write repository %q: %w", r.row.Name, err)
	}
	return nil
}

// edit changes a user's repository in one transaction. A missing or built-in one
// is refused.
func (s *Service) edit(ctx context.Context, name, account string, change func(*record) error) (*record, error) {
	f, err := s.own(ctx, name, account)
	if err != nil {
		return nil, err
	}
	var out *record
	err = s.db.Write(ctx, func(tx resource.Tx) error {
		row, err := tx.Get(ctx, f.own.row.Key)
		if errors.Is(err, resource.ErrNotFound) {
			return noRepository(ctx, name, account)
		}
		if err != nil {
			return err
		}
		if out, err = read(row); err != nil {
			return err
		}
		if err := change(out); err != nil {
			return err
		}
		out.row.Modified = s.now().UTC().Truncate(time.Millisecond)
		if err := out.pack(); err != nil {
			return err
		}
		return tx.Update(ctx, out.row)
	})
	return out, err
}

// found is a repository of either kind.
type found struct {
	account, name string
	own           *record     // of a user, or nil
	builtin       *repository // of ours, or nil
}

// place orders repositories and is their place in pages.
func (f found) place() string { return f.name + " " + f.account }

// find finds a repository. Without an account a user's is looked for first and
// then the built-in ones: this server is one registry under the accounts' names.
func (s *Service) find(ctx context.Context, name, account string) (found, error) {
	if s.store != nil && (account == "" || account == s.account) {
		row, err := s.db.Get(ctx, s.rowKey(name))
		if err == nil {
			r, err := read(row)
			return found{account: s.account, name: name, own: r}, err
		}
		if !errors.Is(err, resource.ErrNotFound) {
			return found{}, fmt.Errorf("find repository %q: %w", name, err)
		}
	}
	for i := range s.repositories {
		if r := &s.repositories[i]; r.Name == name && (account == "" || r.Registry == account) {
			return found{account: r.Registry, name: name, builtin: r}, nil
		}
	}
	return found{}, noRepository(ctx, name, account)
}

// own finds a user's repository, and refuses built-in ones.
func (s *Service) own(ctx context.Context, name, account string) (found, error) {
	f, err := s.find(ctx, name, account)
	if err == nil && f.own == nil {
		err = fault.New("InvalidParameterException", 400, "The repository with name '%s' in the registry with id '%s' is built in and cannot be changed", name, f.account)
	}
	return f, err
}

// all are the repositories of an account, or of all, in the order of places.
func (s *Service) all(ctx context.Context, account string) ([]found, error) {
	var out []found
	if s.store != nil && (account == "" || account == s.account) {
		f := resource.Filter{Account: s.account, Family: family, Sort: resource.SortName, Limit: 1000}
		for {
			p, err := s.db.List(ctx, f)
			if err != nil {
				return nil, fmt.Errorf("list repositories: %w", err)
			}
			for _, row := range p.Rows {
				r, err := read(row)
				if err != nil {
					return nil, err
				}
				out = append(out, found{account: s.account, name: row.Name, own: r})
			}
			if f.After = p.Next; f.After == "" {
				break
			}
		}
	}
	for i := range s.repositories {
		if r := &s.repositories[i]; account == "" || account == r.Registry {
			out = append(out, found{account: r.Registry, name: r.Name, builtin: r})
		}
	}
	return out, nil
}

// images are the images of a repository by digest.
func (s *Service) images(ctx context.Context, f found) ([]registry.Image, error) {
	if f.own != nil {
		return s.store.Images(ctx, f.name)
	}
	out := make([]registry.Image, 0, len(f.builtin.images))
	for _, im := range f.builtin.images {
		out = append(out, registry.Image{Digest: im.digest, MediaType: manifestType, Artifact: "application/vnd.oci.image.config.v1+json",
			Size: int64(len(im.manifest)), Pushed: s.since, Tags: []string{im.tag}})
	}
	return out, nil
}

// manifest is the text of an image's manifest; a missing one is
// registry.ErrNotFound.
func (s *Service) manifest(ctx context.Context, f found, digest string) (string, error) {
	if f.own != nil {
		body, _, _, err := s.store.Manifest(ctx, f.name, digest)
		return string(body), err
	}
	for _, im := range f.builtin.images {
		if im.digest == digest {
			return im.manifest, nil
		}
	}
	return "", registry.ErrNotFound
}
