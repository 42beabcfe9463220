// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// policy is a stored policy of the account's own. It has one version, v1.
type policy = entity[wiam.Policy, policyPrivate]

type policyPrivate struct{ Document string }

const (
	maxPolicy    = 6144 // characters of a managed policy
	firstVersion = "v1"
)

// createPolicy is API_CreatePolicy.
func (s *Service) createPolicy(ctx context.Context, in *wiam.CreatePolicyInput) (*wiam.CreatePolicyOutput, error) {
	if _, err := parse(in.PolicyDocument, permissionPolicy); err != nil {
		return nil, err
	}
	if weight(in.PolicyDocument) > maxPolicy {
		return nil, limit("Cannot exceed quota for PolicySize: %d", maxPolicy)
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	account, now := s.here(ctx), s.now()
	at := wire.At(now.Truncate(time.Second))
	p := &policy{private: policyPrivate{in.PolicyDocument}, doc: wiam.Policy{PolicyName: in.PolicyName, PolicyId: newID("ANPA"), Path: pathOf(in.Path),
		DefaultVersionId: firstVersion, AttachmentCount: new(int64), PermissionsBoundaryUsageCount: new(int64), IsAttachable: new(true),
		Description: in.Description, CreateDate: at, UpdateDate: at}}
	p.doc.Arn = "arn:aws:iam::" + account + ":policy" + p.doc.Path + in.PolicyName
	p.row = resource.Row{Key: key(account, policies, in.PolicyName), ARN: p.doc.Arn, Created: now}
	if err := create(ctx, s.db, "policy", p, tags, taken("A policy called %s already exists. Duplicate names are not allowed.", in.PolicyName)); err != nil {
		return nil, err
	}
	out := p.doc
	out.Tags, err = tagsOut(ctx, s.db, out.Arn)
	return &wiam.CreatePolicyOutput{Policy: &out}, err
}

var policyARN = regexp.MustCompile(`^arn:aws:iam::(aws|\d{12}):policy(/[!-~]*/|/)[\w+=,.@-]{1,128}$`)

// attachable tells whether a policy may be attached: one of AWS's own by its
// form, one of the account's when it exists.
func (s *Service) attachable(ctx context.Context, r resource.Reader, arn string) error {
	if !policyARN.MatchString(arn) {
		return invalid("ARN %s is not valid.", arn)
	}
	if strings.HasPrefix(arn, "arn:aws:iam::aws:") {
		return nil
	}
	_, err := s.policy(ctx, r, arn)
	if fault.Of(err) != nil {
		return noSuch("Policy %s does not exist or is not attachable.", arn)
	}
	return err
}

// policy reads a policy of the caller's account.
func (s *Service) policy(ctx context.Context, r resource.Reader, arn string) (*policy, error) {
	p, err := get[wiam.Policy, policyPrivate](ctx, r, key(s.here(ctx), policies, nameIn(arn)))
	if errors.Is(err, resource.ErrNotFound) || err == nil && p.doc.Arn != arn {
		return nil, noSuch("Policy %s was not found.", arn)
	}
	return p, err
}

// uses counts how many roles have each policy attached, and as their boundary.
func (s *Service) uses(ctx context.Context, r resource.Reader) (attached, bounds map[string]int64, err error) {
	rows, err := everything(ctx, r, s.here(ctx), roles, nil)
	if err != nil {
		return nil, nil, err
	}
	attached, bounds = map[string]int64{}, map[string]int64{}
	for _, row := range rows {
		e, err := read[wiam.Role, rolePrivate](row)
		if err != nil {
			return nil, nil, err
		}
		for _, arn := range e.private.Attached {
			attached[arn]++
		}
		if b := e.doc.PermissionsBoundary; b != nil {
			bounds[b.PermissionsBoundaryArn]++
		}
	}
	return attached, bounds, nil
}

// find reads a policy of the account's or of AWS's with its uses, and its
// document.
func (s *Service) find(ctx context.Context, arn string) (wiam.Policy, string, error) {
	if !policyARN.MatchString(arn) {
		return wiam.Policy{}, "", invalid("ARN %s is not valid.", arn)
	}
	attached, bounds, err := s.uses(ctx, s.db)
	if err != nil {
		return wiam.Policy{}, "", err
	}
	doc, text, ok := managedPolicy(arn)
	if !ok {
		p, err := s.policy(ctx, s.db, arn)
		if err != nil {
			return wiam.Policy{}, "", err
		}
		doc, text = p.doc, p.private.Document
		if doc.Tags, err = tagsOut(ctx, s.db, arn); err != nil {
			return wiam.Policy{}, "", err
		}
	}
	doc.AttachmentCount, doc.PermissionsBoundaryUsageCount = new(attached[arn]), new(bounds[arn])
	return doc, text, nil
}

// getPolicy is API_GetPolicy.
func (s *Service) getPolicy(ctx context.Context, in *wiam.GetPolicyInput) (*wiam.GetPolicyOutput, error) {
	p, _, err := s.find(ctx, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &wiam.GetPolicyOutput{Policy: &p}, nil
}

// getPolicyVersion is API_GetPolicyVersion.
func (s *Service) getPolicyVersion(ctx context.Context, in *wiam.GetPolicyVersionInput) (*wiam.GetPolicyVersionOutput, error) {
	p, text, err := s.find(ctx, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	if in.VersionId != p.DefaultVersionId {
		return nil, noSuch("Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionId)
	}
	v := version(p)
	v.Document = escaped(text)
	return &wiam.GetPolicyVersionOutput{PolicyVersion: &v}, nil
}

func version(p wiam.Policy) wiam.PolicyVersion {
	return wiam.PolicyVersion{VersionId: p.DefaultVersionId, IsDefaultVersion: new(true), CreateDate: p.UpdateDate}
}

// listPolicyVersions is API_ListPolicyVersions; there is one of each.
func (s *Service) listPolicyVersions(ctx context.Context, in *wiam.ListPolicyVersionsInput) (*wiam.ListPolicyVersionsOutput, error) {
	p, _, err := s.find(ctx, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	all, pg, err := cut([]wiam.PolicyVersion{version(p)}, func(v wiam.PolicyVersion) string { return v.VersionId }, in.Marker, in.MaxItems)
	return &wiam.ListPolicyVersionsOutput{Versions: append([]wiam.PolicyVersion{}, all...), IsTruncated: pg.truncated, Marker: pg.marker}, err
}

// listPolicies is API_ListPolicies: the account's and those of AWS's that are
// known here, in the order of ARNs.
func (s *Service) listPolicies(ctx context.Context, in *wiam.ListPoliciesInput) (*wiam.ListPoliciesOutput, error) {
	attached, bounds, err := s.uses(ctx, s.db)
	if err != nil {
		return nil, err
	}
	var all []wiam.Policy
	if in.Scope != "Local" {
		for _, m := range managed {
			doc, _, _ := managedPolicy(m.arn())
			all = append(all, doc)
		}
	}
	if in.Scope != "AWS" {
		rows, err := everything(ctx, s.db, s.here(ctx), policies, nil)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			p, err := read[wiam.Policy, policyPrivate](row)
			if err != nil {
				return nil, err
			}
			p.doc.Description = "" // as in the service, a list does not tell it
			all = append(all, p.doc)
		}
	}
	used := func(p wiam.Policy) int64 {
		switch in.PolicyUsageFilter {
		case "PermissionsPolicy":
			return attached[p.Arn]
		case "PermissionsBoundary":
			return bounds[p.Arn]
		}
		return attached[p.Arn] + bounds[p.Arn]
	}
	onlyUsed := in.PolicyUsageFilter != "" || in.OnlyAttached != nil && *in.OnlyAttached
	all = slices.DeleteFunc(all, func(p wiam.Policy) bool {
		return !strings.HasPrefix(p.Path, pathOf(in.PathPrefix)) || onlyUsed && used(p) == 0
	})
	slices.SortFunc(all, func(a, b wiam.Policy) int { return strings.Compare(a.Arn, b.Arn) })
	all, p, err := cut(all, func(p wiam.Policy) string { return p.Arn }, in.Marker, in.MaxItems)
	out := &wiam.ListPoliciesOutput{Policies: []wiam.Policy{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, doc := range all {
		doc.AttachmentCount, doc.PermissionsBoundaryUsageCount = new(attached[doc.Arn]), new(bounds[doc.Arn])
		out.Policies = append(out.Policies, doc)
	}
	return out, err
}

// deletePolicy is API_DeletePolicy.
func (s *Service) deletePolicy(ctx context.Context, in *wiam.DeletePolicyInput) (*wiam.DeletePolicyOutput, error) {
	if strings.HasPrefix(in.PolicyArn, "arn:aws:iam::aws:") {
		return nil, invalid("Cannot delete AWS managed policy %s.", in.PolicyArn)
	}
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		p, err := s.policy(ctx, tx, in.PolicyArn)
		if err != nil {
			return err
		}
		attached, bounds, err := s.uses(ctx, tx)
		if err != nil {
			return err
		}
		if attached[in.PolicyArn]+bounds[in.PolicyArn] > 0 {
			return conflict("Cannot delete a policy attached to entities.")
		}
		return tx.Delete(ctx, p.row.Key)
	})
	return &wiam.DeletePolicyOutput{}, err
}
