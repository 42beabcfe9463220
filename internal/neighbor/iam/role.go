// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// role is a stored role. Its document holds the trust policy as it was given.
type role = entity[wiam.Role, rolePrivate]

// rolePrivate is what other operations tell of a role.
type rolePrivate struct {
	Inline   map[string]string `json:",omitempty"` // policy documents by name
	Attached []string          `json:",omitempty"` // ARNs of policies, ordered
}

// maxTrust is the quota of a trust policy, in characters.
const maxTrust = 2048

// createRole is API_CreateRole; it can answer EntityAlreadyExists,
// MalformedPolicyDocument, LimitExceeded and NoSuchEntity (of a boundary).
func (s *Service) createRole(ctx context.Context, in *wiam.CreateRoleInput) (*wiam.CreateRoleOutput, error) {
	if err := checkTrust(in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	boundary, err := s.boundary(ctx, in.PermissionsBoundary)
	if err != nil {
		return nil, err
	}
	account, now := s.here(ctx), s.now()
	r := &role{doc: wiam.Role{Path: pathOf(in.Path), RoleName: in.RoleName, RoleId: newID("AROA"), CreateDate: wire.At(now.Truncate(time.Second)),
		AssumeRolePolicyDocument: in.AssumeRolePolicyDocument, Description: in.Description,
		MaxSessionDuration: in.MaxSessionDuration, PermissionsBoundary: boundary}}
	if r.doc.MaxSessionDuration == nil {
		r.doc.MaxSessionDuration = new(int64(3600))
	}
	r.doc.Arn = "arn:aws:iam::" + account + ":role" + r.doc.Path + in.RoleName
	r.row = resource.Row{Key: key(account, roles, in.RoleName), ARN: r.doc.Arn, Created: now}
	if err := create(ctx, s.db, "role", r, tags, taken("Role with name %s already exists.", in.RoleName)); err != nil {
		return nil, err
	}
	out, err := s.shown(ctx, s.db, r)
	return &wiam.CreateRoleOutput{Role: out}, err
}

func checkTrust(text string) error {
	if _, err := parse(text, trustPolicy); err != nil {
		return err
	}
	if weight(text) > maxTrust {
		return limit("Cannot exceed quota for ACLSizePerRole: %d", maxTrust)
	}
	return nil
}

func (s *Service) boundary(ctx context.Context, arn string) (*wiam.AttachedPermissionsBoundary, error) {
	if arn == "" {
		return nil, nil
	}
	if err := s.attachable(ctx, s.db, arn); err != nil {
		return nil, noSuch("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return &wiam.AttachedPermissionsBoundary{PermissionsBoundaryType: "PermissionsBoundaryPolicy", PermissionsBoundaryArn: arn}, nil
}

// shown is a role as answers have it.
func (s *Service) shown(ctx context.Context, r resource.Reader, e *role) (*wiam.Role, error) {
	out := e.doc
	out.AssumeRolePolicyDocument = escaped(out.AssumeRolePolicyDocument)
	var err error
	out.Tags, err = tagsOut(ctx, r, out.Arn)
	return &out, err
}

// role reads a role of the caller's account.
func (s *Service) role(ctx context.Context, r resource.Reader, name string) (*role, error) {
	e, err := get[wiam.Role, rolePrivate](ctx, r, key(s.here(ctx), roles, name))
	if errors.Is(err, resource.ErrNotFound) {
		return nil, noSuch("The role with name %s cannot be found.", name)
	}
	return e, err
}

// edit changes a role in one transaction.
func (s *Service) edit(ctx context.Context, name string, change func(tx resource.Tx, r *role) error) error {
	return s.db.Write(ctx, func(tx resource.Tx) error {
		r, err := s.role(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := change(tx, r); err != nil {
			return err
		}
		r.row.Modified = s.now()
		return update(ctx, tx, r)
	})
}

// getRole is API_GetRole.
func (s *Service) getRole(ctx context.Context, in *wiam.GetRoleInput) (*wiam.GetRoleOutput, error) {
	r, err := s.role(ctx, s.db, in.RoleName)
	if err != nil {
		return nil, err
	}
	out, err := s.shown(ctx, s.db, r)
	if err != nil {
		return nil, err
	}
	out.RoleLastUsed = &wiam.RoleLastUsed{}
	return &wiam.GetRoleOutput{Role: out}, nil
}

// listRoles is API_ListRoles, in the order of names. As in the service it tells
// neither tags nor boundaries.
func (s *Service) listRoles(ctx context.Context, in *wiam.ListRolesInput) (*wiam.ListRolesOutput, error) {
	prefix := "arn:aws:iam::" + s.here(ctx) + ":role" + pathOf(in.PathPrefix)
	rows, p, err := s.list(ctx, roles, in.Marker, in.MaxItems, func(r resource.Row) bool { return strings.HasPrefix(r.ARN, prefix) })
	out := &wiam.ListRolesOutput{Roles: []wiam.Role{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, row := range rows {
		r, err := read[wiam.Role, rolePrivate](row)
		if err != nil {
			return nil, err
		}
		r.doc.AssumeRolePolicyDocument = escaped(r.doc.AssumeRolePolicyDocument)
		r.doc.PermissionsBoundary = nil
		out.Roles = append(out.Roles, r.doc)
	}
	return out, err
}

// deleteRole is API_DeleteRole; policies must have gone before. The role's
// sessions end with it.
func (s *Service) deleteRole(ctx context.Context, in *wiam.DeleteRoleInput) (*wiam.DeleteRoleOutput, error) {
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		r, err := s.role(ctx, tx, in.RoleName)
		switch {
		case err != nil:
			return err
		case len(r.private.Attached) > 0:
			return conflict("Cannot delete entity, must detach all policies first.")
		case len(r.private.Inline) > 0:
			return conflict("Cannot delete entity, must delete policies first.")
		}
		if err := end(ctx, tx, r.row.Account, r.doc.Arn); err != nil {
			return err
		}
		return tx.Delete(ctx, r.row.Key)
	})
	return &wiam.DeleteRoleOutput{}, err
}

// updateRole is API_UpdateRole.
func (s *Service) updateRole(ctx context.Context, in *wiam.UpdateRoleInput) (*wiam.UpdateRoleOutput, error) {
	err := s.edit(ctx, in.RoleName, func(_ resource.Tx, r *role) error {
		if in.Description != "" {
			r.doc.Description = in.Description
		}
		if in.MaxSessionDuration != nil {
			r.doc.MaxSessionDuration = in.MaxSessionDuration
		}
		return nil
	})
	return &wiam.UpdateRoleOutput{}, err
}

// updateAssumeRolePolicy is API_UpdateAssumeRolePolicy.
func (s *Service) updateAssumeRolePolicy(ctx context.Context, in *wiam.UpdateAssumeRolePolicyInput) (*wiam.UpdateAssumeRolePolicyOutput, error) {
	if err := checkTrust(in.PolicyDocument); err != nil {
		return nil, err
	}
	err := s.edit(ctx, in.RoleName, func(_ resource.Tx, r *role) error {
		r.doc.AssumeRolePolicyDocument = in.PolicyDocument
		return nil
	})
	return &wiam.UpdateAssumeRolePolicyOutput{}, err
}

// tagRole is API_TagRole.
func (s *Service) tagRole(ctx context.Context, in *wiam.TagRoleInput) (*wiam.TagRoleOutput, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx resource.Tx) error {
		r, err := s.role(ctx, tx, in.RoleName)
		if err != nil {
			return err
		}
		if err := tx.SetTags(ctx, r.doc.Arn, tags, nil); err != nil {
			return err
		}
		all, err := tx.Tags(ctx, r.doc.Arn)
		if len(all) > maxTags {
			return limit("Cannot exceed quota for TagsPerRole: %d", maxTags)
		}
		return err
	})
	return &wiam.TagRoleOutput{}, err
}

// untagRole is API_UntagRole; a tag that is not there is no error.
func (s *Service) untagRole(ctx context.Context, in *wiam.UntagRoleInput) (*wiam.UntagRoleOutput, error) {
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		r, err := s.role(ctx, tx, in.RoleName)
		if err != nil {
			return err
		}
		return tx.SetTags(ctx, r.doc.Arn, nil, in.TagKeys)
	})
	return &wiam.UntagRoleOutput{}, err
}

// listRoleTags is API_ListRoleTags.
func (s *Service) listRoleTags(ctx context.Context, in *wiam.ListRoleTagsInput) (*wiam.ListRoleTagsOutput, error) {
	r, err := s.role(ctx, s.db, in.RoleName)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOut(ctx, s.db, r.doc.Arn)
	if err != nil {
		return nil, err
	}
	tags, p, err := cut(tags, func(t wiam.Tag) string { return t.Key }, in.Marker, in.MaxItems)
	return &wiam.ListRoleTagsOutput{Tags: append([]wiam.Tag{}, tags...), IsTruncated: p.truncated, Marker: p.marker}, err
}

// byARN reads a role by its ARN; nil when this server has none.
func (s *Service) byARN(ctx context.Context, account, roleARN string) (*role, error) {
	a, err := arn.Parse(roleARN)
	if err != nil || a.Service != "iam" || a.Account != account || !strings.HasPrefix(a.Resource, "role/") {
		return nil, nil
	}
	r, err := get[wiam.Role, rolePrivate](ctx, s.db, key(account, roles, a.Name()))
	if errors.Is(err, resource.ErrNotFound) || err == nil && r.doc.Arn != roleARN {
		return nil, nil
	}
	return r, err
}

// Assumable tells whether SageMaker may work under a role: nil when the role is
// of the caller's account, exists and trusts sagemaker.amazonaws.com, else the
// fault that SageMaker's operations answer.
func (s *Service) Assumable(ctx context.Context, roleARN string) error {
	r, err := s.byARN(ctx, s.here(ctx), roleARN)
	if err != nil {
		return fmt.Errorf("read role %q: %w", roleARN, err)
	}
	if r != nil {
		if d, err := parse(r.doc.AssumeRolePolicyDocument, trustPolicy); err == nil && d.trusts("sagemaker.amazonaws.com") {
			return nil
		}
	}
	return fault.Validation("Could not assume role %s. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.", roleARN)
}

// RoleFor finds a role that the caller wants a session of: its ID, and how long
// a session may last. ok is false when there is none. Who may assume it is not
// evaluated: on this server every user of the account may.
func (s *Service) RoleFor(ctx context.Context, roleARN string) (id string, longest time.Duration, ok bool, err error) {
	r, err := s.byARN(ctx, auth.CallerFrom(ctx).Account, roleARN)
	if r == nil || err != nil {
		return "", 0, false, err
	}
	return r.doc.RoleId, time.Duration(*r.doc.MaxSessionDuration) * time.Second, true, nil
}
