// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// The quotas of a role's policies.
const (
	maxInline   = 10240 // characters of all inline policies together
	maxAttached = 25    // managed policies: as far as AWS lets the quota of 10 be raised, since the SDK's own roles have 11
)

// putRolePolicy is API_PutRolePolicy: it adds or replaces an inline policy.
func (s *Service) putRolePolicy(ctx context.Context, in *wiam.PutRolePolicyInput) (*wiam.PutRolePolicyOutput, error) {
	if _, err := parse(in.PolicyDocument, permissionPolicy); err != nil {
		return nil, err
	}
	err := s.edit(ctx, in.RoleName, func(_ resource.Tx, r *role) error {
		if r.private.Inline == nil {
			r.private.Inline = map[string]string{}
		}
		r.private.Inline[in.PolicyName] = in.PolicyDocument
		size := 0
		for _, text := range r.private.Inline {
			size += weight(text)
		}
		if size > maxInline {
			return limit("Maximum policy size of %d bytes exceeded for role %s", maxInline, in.RoleName)
		}
		return nil
	})
	return &wiam.PutRolePolicyOutput{}, err
}

func noRolePolicy(name string) error {
	return noSuch("The role policy with name %s cannot be found.", name)
}

// getRolePolicy is API_GetRolePolicy.
func (s *Service) getRolePolicy(ctx context.Context, in *wiam.GetRolePolicyInput) (*wiam.GetRolePolicyOutput, error) {
	r, err := s.role(ctx, s.db, in.RoleName)
	if err != nil {
		return nil, err
	}
	text, ok := r.private.Inline[in.PolicyName]
	if !ok {
		return nil, noRolePolicy(in.PolicyName)
	}
	return &wiam.GetRolePolicyOutput{RoleName: r.doc.RoleName, PolicyName: in.PolicyName, PolicyDocument: escaped(text)}, nil
}

// deleteRolePolicy is API_DeleteRolePolicy.
func (s *Service) deleteRolePolicy(ctx context.Context, in *wiam.DeleteRolePolicyInput) (*wiam.DeleteRolePolicyOutput, error) {
	err := s.edit(ctx, in.RoleName, func(_ resource.Tx, r *role) error {
		if _, ok := r.private.Inline[in.PolicyName]; !ok {
			return noRolePolicy(in.PolicyName)
		}
		delete(r.private.Inline, in.PolicyName)
		return nil
	})
	return &wiam.DeleteRolePolicyOutput{}, err
}

// listRolePolicies is API_ListRolePolicies: the names of inline policies.
func (s *Service) listRolePolicies(ctx context.Context, in *wiam.ListRolePoliciesInput) (*wiam.ListRolePoliciesOutput, error) {
	r, err := s.role(ctx, s.db, in.RoleName)
	if err != nil {
		return nil, err
	}
	names, p, err := cut(slices.Sorted(maps.Keys(r.private.Inline)), func(n string) string { return n }, in.Marker, in.MaxItems)
	return &wiam.ListRolePoliciesOutput{PolicyNames: append([]string{}, names...), IsTruncated: p.truncated, Marker: p.marker}, err
}

// attachRolePolicy is API_AttachRolePolicy; a policy that is attached already
// is no error. Any policy of AWS's own is taken by its name, known or not.
func (s *Service) attachRolePolicy(ctx context.Context, in *wiam.AttachRolePolicyInput) (*wiam.AttachRolePolicyOutput, error) {
	err := s.edit(ctx, in.RoleName, func(tx resource.Tx, r *role) error {
		if err := s.attachable(ctx, tx, in.PolicyArn); err != nil {
			return err
		}
		i, ok := slices.BinarySearch(r.private.Attached, in.PolicyArn)
		if ok {
			return nil
		}
		if len(r.private.Attached) == maxAttached {
			return limit("Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
		}
		r.private.Attached = slices.Insert(r.private.Attached, i, in.PolicyArn)
		return nil
	})
	return &wiam.AttachRolePolicyOutput{}, err
}

// detachRolePolicy is API_DetachRolePolicy.
func (s *Service) detachRolePolicy(ctx context.Context, in *wiam.DetachRolePolicyInput) (*wiam.DetachRolePolicyOutput, error) {
	err := s.edit(ctx, in.RoleName, func(_ resource.Tx, r *role) error {
		i, ok := slices.BinarySearch(r.private.Attached, in.PolicyArn)
		if !ok {
			return noSuch("Policy %s was not found.", in.PolicyArn)
		}
		r.private.Attached = slices.Delete(r.private.Attached, i, i+1)
		return nil
	})
	return &wiam.DetachRolePolicyOutput{}, err
}

// listAttachedRolePolicies is API_ListAttachedRolePolicies.
func (s *Service) listAttachedRolePolicies(ctx context.Context, in *wiam.ListAttachedRolePoliciesInput) (*wiam.ListAttachedRolePoliciesOutput, error) {
	r, err := s.role(ctx, s.db, in.RoleName)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(slices.Clone(r.private.Attached), func(arn string) bool {
		_, path, _ := strings.Cut(arn, ":policy")
		return !strings.HasPrefix(path, pathOf(in.PathPrefix))
	})
	arns, p, err := cut(all, func(arn string) string { return arn }, in.Marker, in.MaxItems)
	out := &wiam.ListAttachedRolePoliciesOutput{AttachedPolicies: []wiam.AttachedPolicy{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, arn := range arns {
		out.AttachedPolicies = append(out.AttachedPolicies, wiam.AttachedPolicy{PolicyName: nameIn(arn), PolicyArn: arn})
	}
	return out, err
}

// nameIn is what stands after the last slash of an ARN.
func nameIn(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
