// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

type user = entity[wiam.User, struct{}]

// createUser is API_CreateUser.
func (s *Service) createUser(ctx context.Context, in *wiam.CreateUserInput) (*wiam.CreateUserOutput, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	boundary, err := s.boundary(ctx, in.PermissionsBoundary)
	if err != nil {
		return nil, err
	}
	account, now := s.here(ctx), s.now()
	u := &user{doc: wiam.User{Path: pathOf(in.Path), UserName: in.UserName, UserId: newID("AIDA"),
		CreateDate: wire.At(now.Truncate(time.Second)), PermissionsBoundary: boundary}}
	u.doc.Arn = "arn:aws:iam::" + account + ":user" + u.doc.Path + in.UserName
	u.row = resource.Row{Key: key(account, users, in.UserName), ARN: u.doc.Arn, Created: now}
	if err := create(ctx, s.db, "user", u, tags, taken("User with name %s already exists.", in.UserName)); err != nil {
		return nil, err
	}
	out := u.doc
	out.Tags, err = tagsOut(ctx, s.db, out.Arn)
	return &wiam.CreateUserOutput{User: &out}, err
}

// user reads a user of the caller's account.
func (s *Service) user(ctx context.Context, r resource.Reader, name string) (*user, error) {
	u, err := get[wiam.User, struct{}](ctx, r, key(s.here(ctx), users, name))
	if errors.Is(err, resource.ErrNotFound) {
		return nil, noSuch("The user with name %s cannot be found.", name)
	}
	return u, err
}

// named is the user that a request is about: the one it names, or the caller.
func named(ctx context.Context, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	p := auth.CallerFrom(ctx).Principal
	if _, after, ok := strings.Cut(p, ":user/"); ok {
		return nameIn("/" + after), nil
	}
	return "", invalid("Must specify userName when calling with non-User credentials")
}

// getUser is API_GetUser. The root of the account has no name.
func (s *Service) getUser(ctx context.Context, in *wiam.GetUserInput) (*wiam.GetUserOutput, error) {
	c := auth.CallerFrom(ctx)
	if in.UserName == "" && strings.HasSuffix(c.Principal, ":root") {
		return &wiam.GetUserOutput{User: &wiam.User{UserId: c.Account, Arn: c.Principal, CreateDate: wire.At(managedSince)}}, nil
	}
	name, err := named(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	u, err := s.user(ctx, s.db, name)
	if err != nil {
		return nil, err
	}
	u.doc.Tags, err = tagsOut(ctx, s.db, u.doc.Arn)
	return &wiam.GetUserOutput{User: &u.doc}, err
}

// listUsers is API_ListUsers, in the order of names.
func (s *Service) listUsers(ctx context.Context, in *wiam.ListUsersInput) (*wiam.ListUsersOutput, error) {
	prefix := "arn:aws:iam::" + s.here(ctx) + ":user" + pathOf(in.PathPrefix)
	rows, p, err := s.list(ctx, users, in.Marker, in.MaxItems, func(r resource.Row) bool { return strings.HasPrefix(r.ARN, prefix) })
	out := &wiam.ListUsersOutput{Users: []wiam.User{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, row := range rows {
		u, err := read[wiam.User, struct{}](row)
		if err != nil {
			return nil, err
		}
		u.doc.PermissionsBoundary = nil
		out.Users = append(out.Users, u.doc)
	}
	return out, err
}

// deleteUser is API_DeleteUser; access keys must have gone before. The user's
// sessions end too.
func (s *Service) deleteUser(ctx context.Context, in *wiam.DeleteUserInput) (*wiam.DeleteUserOutput, error) {
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		u, err := s.user(ctx, tx, in.UserName)
		if err != nil {
			return err
		}
		keys, err := s.keysOf(ctx, tx, u)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return conflict("Cannot delete entity, must delete access keys first.")
		}
		if err := end(ctx, tx, u.row.Account, u.doc.Arn); err != nil {
			return err
		}
		return tx.Delete(ctx, u.row.Key)
	})
	return &wiam.DeleteUserOutput{}, err
}

// accessKey is a stored access key; its secret is in the private part.
type accessKey = entity[wiam.AccessKeyMetadata, secret]

const (
	active   = "Active"
	inactive = "Inactive"
	maxKeys  = 2 // of a user
)

func (s *Service) keysOf(ctx context.Context, r resource.Reader, u *user) ([]resource.Row, error) {
	p, err := r.List(ctx, resource.Filter{Account: u.row.Account, Family: accessKeys, Owner: u.doc.Arn, Sort: resource.SortName})
	if err != nil {
		return nil, fmt.Errorf("list access keys: %w", err)
	}
	return p.Rows, nil
}

// createAccessKey is API_CreateAccessKey, the only one that tells the secret.
func (s *Service) createAccessKey(ctx context.Context, in *wiam.CreateAccessKeyInput) (*wiam.CreateAccessKeyOutput, error) {
	name, err := named(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var k *accessKey
	err = s.db.Write(ctx, func(tx resource.Tx) error {
		u, err := s.user(ctx, tx, name)
		if err != nil {
			return err
		}
		have, err := s.keysOf(ctx, tx, u)
		if err != nil {
			return err
		}
		if len(have) >= maxKeys {
			return limit("Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		id := auth.NewKeyID(auth.LongLived)
		k = &accessKey{
			row:     resource.Row{Key: key(u.row.Account, accessKeys, id), Owner: u.doc.Arn, Status: active, Created: now},
			doc:     wiam.AccessKeyMetadata{UserName: u.doc.UserName, AccessKeyId: id, Status: active, CreateDate: wire.At(now.Truncate(time.Second))},
			private: secret{Secret: auth.NewSecret(), Principal: u.doc.Arn, UserID: u.doc.UserId},
		}
		return insert(ctx, tx, k)
	})
	if err != nil {
		return nil, err
	}
	return &wiam.CreateAccessKeyOutput{AccessKey: &wiam.AccessKey{UserName: k.doc.UserName, AccessKeyId: k.doc.AccessKeyId, Status: active,
		SecretAccessKey: k.private.Secret, CreateDate: k.doc.CreateDate}}, nil
}

// listAccessKeys is API_ListAccessKeys.
func (s *Service) listAccessKeys(ctx context.Context, in *wiam.ListAccessKeysInput) (*wiam.ListAccessKeysOutput, error) {
	name, err := named(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	u, err := s.user(ctx, s.db, name)
	if err != nil {
		return nil, err
	}
	rows, err := s.keysOf(ctx, s.db, u)
	if err != nil {
		return nil, err
	}
	rows, p, err := cut(rows, func(r resource.Row) string { return r.Name }, in.Marker, in.MaxItems)
	out := &wiam.ListAccessKeysOutput{AccessKeyMetadata: []wiam.AccessKeyMetadata{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, row := range rows {
		k, err := read[wiam.AccessKeyMetadata, secret](row)
		if err != nil {
			return nil, err
		}
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, k.doc)
	}
	return out, err
}

// withKey runs change on a user's key in one transaction.
func (s *Service) withKey(ctx context.Context, userName, id string, change func(resource.Tx, *accessKey) error) error {
	name, err := named(ctx, userName)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx resource.Tx) error {
		u, err := s.user(ctx, tx, name)
		if err != nil {
			return err
		}
		k, err := get[wiam.AccessKeyMetadata, secret](ctx, tx, key(u.row.Account, accessKeys, id))
		if errors.Is(err, resource.ErrNotFound) || err == nil && k.row.Owner != u.doc.Arn {
			return noSuch("The Access Key with id %s cannot be found", id)
		}
		if err != nil {
			return err
		}
		return change(tx, k)
	})
}

// updateAccessKey is API_UpdateAccessKey: an inactive key signs nothing.
func (s *Service) updateAccessKey(ctx context.Context, in *wiam.UpdateAccessKeyInput) (*wiam.UpdateAccessKeyOutput, error) {
	if in.Status != active && in.Status != inactive {
		return nil, invalid("Status %s is not valid for an access key: it is Active or Inactive.", in.Status)
	}
	err := s.withKey(ctx, in.UserName, in.AccessKeyId, func(tx resource.Tx, k *accessKey) error {
		k.row.Status, k.doc.Status, k.row.Modified = in.Status, in.Status, s.now()
		return update(ctx, tx, k)
	})
	return &wiam.UpdateAccessKeyOutput{}, err
}

// deleteAccessKey is API_DeleteAccessKey; the key signs nothing from then on.
func (s *Service) deleteAccessKey(ctx context.Context, in *wiam.DeleteAccessKeyInput) (*wiam.DeleteAccessKeyOutput, error) {
	err := s.withKey(ctx, in.UserName, in.AccessKeyId, func(tx resource.Tx, k *accessKey) error { return tx.Delete(ctx, k.row.Key) })
	return &wiam.DeleteAccessKeyOutput{}, err
}
