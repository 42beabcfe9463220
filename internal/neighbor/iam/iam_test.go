// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

const account = "123456789012"

var (
	start  = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: "us-east-1", Principal: "arn:aws:iam::123456789012:root"})
)

type bench struct {
	*Service
	db    resource.DB
	table *op.Table
}

func fresh(t testing.TB) *bench {
	t.Helper()
	b := &bench{db: memstore.New(), table: op.New()}
	s, err := New(Options{DB: b.db, Account: account, Root: auth.Key{ID: "AKIAROOT", Secret: "root's"}, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	s.Install(b.table)
	b.Service = s
	return b
}

func call[I, O any](t testing.TB, b *bench, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(caller, b.table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused[I, O any](t testing.TB, b *bench, o wire.Op[I, O], in I, code string, status int, text string) {
	t.Helper()
	_, err := op.Call(caller, b.table, o, &in)
	if f := fault.Of(err); f == nil || f.Code != code || f.Status != status || !strings.Contains(f.Message, text) {
		t.Errorf("%s answers %v, want %d %s with %q", o, err, status, code, text)
	}
}

const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`

func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`
}

var sageMaker = trust(`{"Service":"sagemaker.amazonaws.com"}`)

func (b *bench) role1(t testing.TB, name string) *wiam.Role {
	t.Helper()
	return call(t, b, wiam.CreateRole, wiam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: sageMaker}).Role
}

func TestRoles(t *testing.T) {
	b := fresh(t)
	in := wiam.CreateRoleInput{RoleName: "Exec", Path: "/service-role/", AssumeRolePolicyDocument: sageMaker, Description: "d", Tags: []wiam.Tag{{Key: "team", Value: "a b"}}}
	r := call(t, b, wiam.CreateRole, in).Role
	if r.Arn != "arn:aws:iam::123456789012:role/service-role/Exec" || !strings.HasPrefix(r.RoleId, "AROA") || len(r.RoleId) != 21 ||
		*r.MaxSessionDuration != 3600 || !r.CreateDate.Equal(start) || len(r.Tags) != 1 {
		t.Errorf("role is %+v", r)
	}
	if got, err := url.PathUnescape(r.AssumeRolePolicyDocument); err != nil || got != sageMaker || strings.ContainsAny(r.AssumeRolePolicyDocument, `"{ +`) {
		t.Errorf("trust policy is %q", r.AssumeRolePolicyDocument)
	}
	refused(t, b, wiam.CreateRole, in, "EntityAlreadyExists", 409, "Role with name Exec already exists.")
	in.RoleName, in.Path = "EXEC", ""
	refused(t, b, wiam.CreateRole, in, "EntityAlreadyExists", 409, "Role with name EXEC already exists.")
	in.RoleName = "Other"
	in.Tags = []wiam.Tag{{Key: "AWS:x", Value: "v"}}
	refused(t, b, wiam.CreateRole, in, "ValidationError", 400, "System tags")
	in.Tags = []wiam.Tag{{Key: "a", Value: "v"}, {Key: "A", Value: "v"}}
	refused(t, b, wiam.CreateRole, in, "ValidationError", 400, "Duplicate tag keys")
	in.Tags, in.PermissionsBoundary = nil, "arn:aws:iam::123456789012:policy/none"
	refused(t, b, wiam.CreateRole, in, "NoSuchEntity", 404, "Scope ARN: arn:aws:iam::123456789012:policy/none")
	in.PermissionsBoundary, in.AssumeRolePolicyDocument = "", allow
	refused(t, b, wiam.CreateRole, in, "MalformedPolicyDocument", 400, "Has prohibited field Resource")
	in.AssumeRolePolicyDocument = trust(`{"AWS":"` + strings.Repeat("1", maxTrust) + `"}`)
	refused(t, b, wiam.CreateRole, in, "LimitExceeded", 409, "ACLSizePerRole: 2048")
	refused(t, b, wiam.CreateRole, wiam.CreateRoleInput{RoleName: "a b", AssumeRolePolicyDocument: sageMaker}, "ValidationException", 400, "roleName")

	got := call(t, b, wiam.GetRole, wiam.GetRoleInput{RoleName: "Exec"}).Role
	if got.RoleId != r.RoleId || got.RoleLastUsed == nil || len(got.Tags) != 1 {
		t.Errorf("role is %+v", got)
	}
	refused(t, b, wiam.GetRole, wiam.GetRoleInput{RoleName: "X"}, "NoSuchEntity", 404, "The role with name X cannot be found.")

	call(t, b, wiam.UpdateRole, wiam.UpdateRoleInput{RoleName: "Exec", Description: "new", MaxSessionDuration: new(int64(7200))})
	call(t, b, wiam.UpdateAssumeRolePolicy, wiam.UpdateAssumeRolePolicyInput{RoleName: "Exec", PolicyDocument: trust(`"*"`)})
	got = call(t, b, wiam.GetRole, wiam.GetRoleInput{RoleName: "Exec"}).Role
	if got.Description != "new" || *got.MaxSessionDuration != 7200 || !strings.Contains(got.AssumeRolePolicyDocument, "%22%2A%22") {
		t.Errorf("role is %+v", got)
	}
	refused(t, b, wiam.UpdateRole, wiam.UpdateRoleInput{RoleName: "X"}, "NoSuchEntity", 404, "role with name X")
	refused(t, b, wiam.UpdateAssumeRolePolicy, wiam.UpdateAssumeRolePolicyInput{RoleName: "X", PolicyDocument: sageMaker}, "NoSuchEntity", 404, "role with name X")
	refused(t, b, wiam.UpdateAssumeRolePolicy, wiam.UpdateAssumeRolePolicyInput{RoleName: "Exec", PolicyDocument: "{"}, "MalformedPolicyDocument", 400, "This policy contains invalid Json")

	call(t, b, wiam.TagRole, wiam.TagRoleInput{RoleName: "Exec", Tags: []wiam.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}}})
	page := call(t, b, wiam.ListRoleTags, wiam.ListRoleTagsInput{RoleName: "Exec", MaxItems: new(int64(2))})
	rest := call(t, b, wiam.ListRoleTags, wiam.ListRoleTagsInput{RoleName: "Exec", Marker: page.Marker})
	if !*page.IsTruncated || page.Tags[0].Key != "a" || page.Tags[1].Key != "b" || *rest.IsTruncated || len(rest.Tags) != 1 || rest.Tags[0].Key != "team" {
		t.Errorf("tags are %+v, %+v", page, rest)
	}
	call(t, b, wiam.UntagRole, wiam.UntagRoleInput{RoleName: "Exec", TagKeys: []string{"a", "b", "none"}})
	if tags := call(t, b, wiam.ListRoleTags, wiam.ListRoleTagsInput{RoleName: "Exec"}).Tags; len(tags) != 1 {
		t.Errorf("tags are %+v", tags)
	}
	var many []wiam.Tag
	for i := range 50 {
		many = append(many, wiam.Tag{Key: fmt.Sprint(i), Value: "v"})
	}
	refused(t, b, wiam.TagRole, wiam.TagRoleInput{RoleName: "Exec", Tags: many}, "LimitExceeded", 409, "TagsPerRole: 50")
	refused(t, b, wiam.TagRole, wiam.TagRoleInput{RoleName: "X", Tags: many[:1]}, "NoSuchEntity", 404, "X")
	refused(t, b, wiam.UntagRole, wiam.UntagRoleInput{RoleName: "X", TagKeys: []string{"a"}}, "NoSuchEntity", 404, "X")
	refused(t, b, wiam.ListRoleTags, wiam.ListRoleTagsInput{RoleName: "X"}, "NoSuchEntity", 404, "X")
	refused(t, b, wiam.DeleteRole, wiam.DeleteRoleInput{RoleName: "X"}, "NoSuchEntity", 404, "X")
	call(t, b, wiam.DeleteRole, wiam.DeleteRoleInput{RoleName: "Exec"})
	refused(t, b, wiam.GetRole, wiam.GetRoleInput{RoleName: "Exec"}, "NoSuchEntity", 404, "Exec")
}

func TestListRoles(t *testing.T) {
	b := fresh(t)
	for i := range 5 {
		call(t, b, wiam.CreateRole, wiam.CreateRoleInput{RoleName: fmt.Sprint("r", i), Path: []string{"/", "/team/"}[i%2], AssumeRolePolicyDocument: sageMaker})
	}
	for _, tt := range []struct {
		name string
		in   wiam.ListRolesInput
		want string
	}{
		{"all", wiam.ListRolesInput{}, "r0 r1 r2 r3 r4"},
		{"two to a page", wiam.ListRolesInput{MaxItems: new(int64(2))}, "r0 r1 r2 r3 r4"},
		{"below a path, one to a page", wiam.ListRolesInput{PathPrefix: "/team/", MaxItems: new(int64(1))}, "r1 r3"},
		{"below no path", wiam.ListRolesInput{PathPrefix: "/x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for {
				out := call(t, b, wiam.ListRoles, tt.in)
				for _, r := range out.Roles {
					got = append(got, r.RoleName)
				}
				if *out.IsTruncated != (out.Marker != "") {
					t.Error("IsTruncated and Marker disagree")
				}
				if tt.in.Marker = out.Marker; out.Marker == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
	refused(t, b, wiam.ListRoles, wiam.ListRolesInput{Marker: "x"}, "ValidationError", 400, "Invalid Marker")
}

func TestRolePolicies(t *testing.T) {
	b := fresh(t)
	b.role1(t, "r")
	put := wiam.PutRolePolicy
	call(t, b, put, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "p1", PolicyDocument: allow})
	call(t, b, put, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "p2", PolicyDocument: allow})
	refused(t, b, put, wiam.PutRolePolicyInput{RoleName: "X", PolicyName: "p", PolicyDocument: allow}, "NoSuchEntity", 404, "role with name X")
	refused(t, b, put, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "p", PolicyDocument: "x"}, "MalformedPolicyDocument", 400, "invalid Json")
	big := strings.Replace(allow, `"*"}`, `["arn:aws:s3:::`+strings.Repeat("x", maxInline)+`"]}`, 1)
	refused(t, b, put, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "p", PolicyDocument: big}, "LimitExceeded", 409, "Maximum policy size of 10240 bytes exceeded for role r")
	out := call(t, b, wiam.GetRolePolicy, wiam.GetRolePolicyInput{RoleName: "r", PolicyName: "p1"})
	if text, err := url.PathUnescape(out.PolicyDocument); err != nil || text != allow || out.RoleName != "r" {
		t.Errorf("got %+v", out)
	}
	refused(t, b, wiam.GetRolePolicy, wiam.GetRolePolicyInput{RoleName: "r", PolicyName: "none"}, "NoSuchEntity", 404, "The role policy with name none cannot be found.")
	refused(t, b, wiam.GetRolePolicy, wiam.GetRolePolicyInput{RoleName: "X", PolicyName: "p1"}, "NoSuchEntity", 404, "role with name X")
	if l := call(t, b, wiam.ListRolePolicies, wiam.ListRolePoliciesInput{RoleName: "r", MaxItems: new(int64(1))}); !*l.IsTruncated || !slices.Equal(l.PolicyNames, []string{"p1"}) {
		t.Errorf("got %+v", l)
	}
	refused(t, b, wiam.ListRolePolicies, wiam.ListRolePoliciesInput{RoleName: "X"}, "NoSuchEntity", 404, "X")
	refused(t, b, wiam.ListRolePolicies, wiam.ListRolePoliciesInput{RoleName: "r", Marker: "!"}, "ValidationError", 400, "Invalid Marker")
	refused(t, b, wiam.DeleteRole, wiam.DeleteRoleInput{RoleName: "r"}, "DeleteConflict", 409, "must delete policies first")
	call(t, b, wiam.DeleteRolePolicy, wiam.DeleteRolePolicyInput{RoleName: "r", PolicyName: "p1"})
	call(t, b, wiam.DeleteRolePolicy, wiam.DeleteRolePolicyInput{RoleName: "r", PolicyName: "p2"})
	refused(t, b, wiam.DeleteRolePolicy, wiam.DeleteRolePolicyInput{RoleName: "r", PolicyName: "p1"}, "NoSuchEntity", 404, "p1")
	refused(t, b, wiam.DeleteRolePolicy, wiam.DeleteRolePolicyInput{RoleName: "X", PolicyName: "p1"}, "NoSuchEntity", 404, "X")

	attach := wiam.AttachRolePolicy
	const full = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
	for _, arn := range []string{full, full, "arn:aws:iam::aws:policy/service-role/SomethingNewer"} {
		call(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: arn})
	}
	refused(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "X", PolicyArn: full}, "NoSuchEntity", 404, "X")
	refused(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: "arn:aws:iam::123456789012:policy/none"}, "NoSuchEntity", 404, "does not exist or is not attachable")
	refused(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: "arn:aws:iam::123456789012:role/none"}, "ValidationError", 400, "is not valid")
	l := call(t, b, wiam.ListAttachedRolePolicies, wiam.ListAttachedRolePoliciesInput{RoleName: "r"})
	if len(l.AttachedPolicies) != 2 || l.AttachedPolicies[0] != (wiam.AttachedPolicy{PolicyName: "AmazonSageMakerFullAccess", PolicyArn: full}) {
		t.Errorf("got %+v", l)
	}
	if l := call(t, b, wiam.ListAttachedRolePolicies, wiam.ListAttachedRolePoliciesInput{RoleName: "r", PathPrefix: "/service-role/"}); len(l.AttachedPolicies) != 1 || l.AttachedPolicies[0].PolicyName != "SomethingNewer" {
		t.Errorf("got %+v", l)
	}
	refused(t, b, wiam.ListAttachedRolePolicies, wiam.ListAttachedRolePoliciesInput{RoleName: "X"}, "NoSuchEntity", 404, "X")
	refused(t, b, wiam.DeleteRole, wiam.DeleteRoleInput{RoleName: "r"}, "DeleteConflict", 409, "must detach all policies first")
	call(t, b, wiam.DetachRolePolicy, wiam.DetachRolePolicyInput{RoleName: "r", PolicyArn: full})
	refused(t, b, wiam.DetachRolePolicy, wiam.DetachRolePolicyInput{RoleName: "r", PolicyArn: full}, "NoSuchEntity", 404, "Policy "+full+" was not found.")
	for i := range maxAttached - 1 {
		call(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: fmt.Sprint("arn:aws:iam::aws:policy/p", i)})
	}
	refused(t, b, attach, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: full}, "LimitExceeded", 409, "PoliciesPerRole: 25")
}

func TestPolicies(t *testing.T) {
	b := fresh(t)
	p := call(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "mine", Path: "/team/", PolicyDocument: allow, Description: "d", Tags: []wiam.Tag{{Key: "k", Value: "v"}}}).Policy
	if p.Arn != "arn:aws:iam::123456789012:policy/team/mine" || !strings.HasPrefix(p.PolicyId, "ANPA") || p.DefaultVersionId != "v1" || !*p.IsAttachable || len(p.Tags) != 1 {
		t.Errorf("policy is %+v", p)
	}
	refused(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "mine", PolicyDocument: allow}, "EntityAlreadyExists", 409, "A policy called mine already exists. Duplicate names are not allowed.")
	refused(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "x", PolicyDocument: sageMaker}, "MalformedPolicyDocument", 400, "should not specify a principal")
	big := strings.Replace(allow, `"*"}`, `["arn:aws:s3:::`+strings.Repeat("x", maxPolicy)+`"]}`, 1)
	refused(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "x", PolicyDocument: big}, "LimitExceeded", 409, "PolicySize: 6144")
	b.role1(t, "r")
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: p.Arn})
	call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "u", PermissionsBoundary: p.Arn})
	if got := call(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: p.Arn}).Policy; *got.AttachmentCount != 1 || got.Description != "d" || len(got.Tags) != 1 {
		t.Errorf("policy is %+v", got)
	}
	const full = managedPrefix + fullAccess
	if got := call(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: full}).Policy; got.PolicyName != fullAccess || got.Arn != full || *got.AttachmentCount != 0 || len(got.PolicyId) != 21 {
		t.Errorf("policy is %+v", got)
	}
	refused(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: managedPrefix + "Unknown"}, "NoSuchEntity", 404, "was not found")
	refused(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: "arn:aws:iam::123456789012:policy/mine"}, "NoSuchEntity", 404, "was not found")
	refused(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: "arn:aws:s3:::bucket-of-mine"}, "ValidationError", 400, "is not valid")
	v := call(t, b, wiam.GetPolicyVersion, wiam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: "v1"}).PolicyVersion
	if text, _ := url.PathUnescape(v.Document); text != allow || !*v.IsDefaultVersion {
		t.Errorf("version is %+v", v)
	}
	refused(t, b, wiam.GetPolicyVersion, wiam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: "v2"}, "NoSuchEntity", 404, "v2")
	if l := call(t, b, wiam.ListPolicyVersions, wiam.ListPolicyVersionsInput{PolicyArn: p.Arn}); len(l.Versions) != 1 || l.Versions[0].Document != "" {
		t.Errorf("versions are %+v", l)
	}
	refused(t, b, wiam.ListPolicyVersions, wiam.ListPolicyVersionsInput{PolicyArn: p.Arn + "x"}, "NoSuchEntity", 404, "was not found")
	for _, tt := range []struct {
		name string
		in   wiam.ListPoliciesInput
		want int
	}{
		{"all", wiam.ListPoliciesInput{MaxItems: new(int64(4))}, len(managed) + 1},
		{"the account's own", wiam.ListPoliciesInput{Scope: "Local"}, 1},
		{"AWS's", wiam.ListPoliciesInput{Scope: "AWS"}, len(managed)},
		{"attached ones", wiam.ListPoliciesInput{OnlyAttached: new(true)}, 1},
		{"below a path", wiam.ListPoliciesInput{PathPrefix: "/team/"}, 1},
		{"boundaries", wiam.ListPoliciesInput{PolicyUsageFilter: "PermissionsBoundary"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for {
				out := call(t, b, wiam.ListPolicies, tt.in)
				n += len(out.Policies)
				if tt.in.Marker = out.Marker; out.Marker == "" {
					break
				}
			}
			if n != tt.want {
				t.Errorf("got %d, want %d", n, tt.want)
			}
		})
	}
	refused(t, b, wiam.ListPolicies, wiam.ListPoliciesInput{Marker: "!"}, "ValidationError", 400, "Invalid Marker")
	refused(t, b, wiam.DeletePolicy, wiam.DeletePolicyInput{PolicyArn: p.Arn}, "DeleteConflict", 409, "Cannot delete a policy attached to entities.")
	refused(t, b, wiam.DeletePolicy, wiam.DeletePolicyInput{PolicyArn: full}, "ValidationError", 400, "AWS managed")
	refused(t, b, wiam.DeletePolicy, wiam.DeletePolicyInput{PolicyArn: p.Arn + "x"}, "NoSuchEntity", 404, "was not found")
	call(t, b, wiam.DetachRolePolicy, wiam.DetachRolePolicyInput{RoleName: "r", PolicyArn: p.Arn})
	call(t, b, wiam.DeletePolicy, wiam.DeletePolicyInput{PolicyArn: p.Arn})
	refused(t, b, wiam.GetPolicy, wiam.GetPolicyInput{PolicyArn: p.Arn}, "NoSuchEntity", 404, "was not found")
}

func TestManagedPoliciesAreWellFormed(t *testing.T) {
	for _, m := range managed {
		_, text, ok := managedPolicy(m.arn())
		if _, err := parse(text, permissionPolicy); err != nil || !ok {
			t.Errorf("%s: %v, %v", m.name, ok, err)
		}
	}
}

func TestUsersAndKeys(t *testing.T) {
	b := fresh(t)
	u := call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "Ann", Tags: []wiam.Tag{{Key: "k", Value: "v"}}}).User
	if u.Arn != "arn:aws:iam::123456789012:user/Ann" || !strings.HasPrefix(u.UserId, "AIDA") || len(u.Tags) != 1 {
		t.Errorf("user is %+v", u)
	}
	refused(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "ann"}, "EntityAlreadyExists", 409, "User with name ann already exists.")
	refused(t, b, wiam.GetUser, wiam.GetUserInput{UserName: "bob"}, "NoSuchEntity", 404, "The user with name bob cannot be found.")
	if got := call(t, b, wiam.GetUser, wiam.GetUserInput{UserName: "Ann"}).User; got.UserId != u.UserId || len(got.Tags) != 1 {
		t.Errorf("user is %+v", got)
	}
	if got := call(t, b, wiam.GetUser, wiam.GetUserInput{}).User; got.UserId != account || got.Arn != "arn:aws:iam::123456789012:root" {
		t.Errorf("the caller is %+v", got)
	}
	call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "Bob", Path: "/team/"})
	if l := call(t, b, wiam.ListUsers, wiam.ListUsersInput{PathPrefix: "/team/"}); len(l.Users) != 1 || l.Users[0].UserName != "Bob" {
		t.Errorf("got %+v", l)
	}
	refused(t, b, wiam.ListUsers, wiam.ListUsersInput{Marker: "x"}, "ValidationError", 400, "Invalid Marker")

	k := call(t, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "Ann"}).AccessKey
	if !strings.HasPrefix(k.AccessKeyId, "AKIA") || len(k.SecretAccessKey) != 40 || k.Status != "Active" || k.UserName != "Ann" {
		t.Errorf("key is %+v", k)
	}
	found, ok, err := b.Lookup(caller, k.AccessKeyId)
	if err != nil || !ok || found.Secret != k.SecretAccessKey || found.Principal != u.Arn || found.UserID != u.UserId || found.Account != account || found.SessionToken != "" {
		t.Errorf("key is found as %+v, %v, %v", found, ok, err)
	}
	row, err := b.db.Get(caller, key(account, accessKeys, k.AccessKeyId))
	if err != nil || strings.Contains(string(row.Doc), k.SecretAccessKey) {
		t.Errorf("the public document holds the secret: %s, %v", row.Doc, err)
	}
	ann := auth.WithCaller(caller, auth.Caller{Account: account, Principal: u.Arn})
	if _, err := op.Call(ann, b.table, wiam.CreateAccessKey, &wiam.CreateAccessKeyInput{}); err != nil { // her second
		t.Error(err)
	}
	refused(t, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "Ann"}, "LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2")
	refused(t, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "none"}, "NoSuchEntity", 404, "none")
	refused(t, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{}, "ValidationError", 400, "Must specify userName")
	l := call(t, b, wiam.ListAccessKeys, wiam.ListAccessKeysInput{UserName: "Ann", MaxItems: new(int64(1))})
	rest := call(t, b, wiam.ListAccessKeys, wiam.ListAccessKeysInput{UserName: "Ann", Marker: l.Marker})
	if !*l.IsTruncated || len(l.AccessKeyMetadata) != 1 || *rest.IsTruncated || len(rest.AccessKeyMetadata) != 1 {
		t.Errorf("keys are %+v, %+v", l, rest)
	}
	refused(t, b, wiam.ListAccessKeys, wiam.ListAccessKeysInput{UserName: "none"}, "NoSuchEntity", 404, "none")

	update := wiam.UpdateAccessKey
	call(t, b, update, wiam.UpdateAccessKeyInput{UserName: "Ann", AccessKeyId: k.AccessKeyId, Status: "Inactive"})
	if _, ok, _ := b.Lookup(caller, k.AccessKeyId); ok {
		t.Error("an inactive key is found")
	}
	call(t, b, update, wiam.UpdateAccessKeyInput{UserName: "Ann", AccessKeyId: k.AccessKeyId, Status: "Active"})
	if _, ok, _ := b.Lookup(caller, k.AccessKeyId); !ok {
		t.Error("a key that is active again is not found")
	}
	refused(t, b, update, wiam.UpdateAccessKeyInput{UserName: "Ann", AccessKeyId: k.AccessKeyId, Status: "Expired"}, "ValidationError", 400, "Expired")
	refused(t, b, update, wiam.UpdateAccessKeyInput{UserName: "Bob", AccessKeyId: k.AccessKeyId, Status: "Inactive"}, "NoSuchEntity", 404, "The Access Key with id "+k.AccessKeyId)
	refused(t, b, wiam.DeleteAccessKey, wiam.DeleteAccessKeyInput{UserName: "Ann", AccessKeyId: "AKIAUNKNOWNUNKNOWN"}, "NoSuchEntity", 404, "Access Key")
	refused(t, b, wiam.DeleteUser, wiam.DeleteUserInput{UserName: "Ann"}, "DeleteConflict", 409, "must delete access keys first")
	refused(t, b, wiam.DeleteUser, wiam.DeleteUserInput{UserName: "none"}, "NoSuchEntity", 404, "none")
	for _, m := range append(l.AccessKeyMetadata, rest.AccessKeyMetadata...) {
		call(t, b, wiam.DeleteAccessKey, wiam.DeleteAccessKeyInput{UserName: "Ann", AccessKeyId: m.AccessKeyId})
	}
	if _, ok, _ := b.Lookup(caller, k.AccessKeyId); ok {
		t.Error("a deleted key is found")
	}
	call(t, b, wiam.DeleteUser, wiam.DeleteUserInput{UserName: "Ann"})

	root, ok, err := b.Lookup(caller, "AKIAROOT")
	if err != nil || !ok || root.Principal != "arn:aws:iam::123456789012:root" || root.UserID != account || root.Account != account {
		t.Errorf("root is %+v, %v, %v", root, ok, err)
	}
	if _, ok, err := b.Lookup(caller, "AKIANOBODY"); ok || err != nil {
		t.Errorf("nobody's key: %v, %v", ok, err)
	}
}

func TestKeysAreReadAtStart(t *testing.T) {
	b := fresh(t)
	call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "u"})
	k := call(t, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "u"}).AccessKey
	s, err := New(Options{DB: b.db, Account: account, Root: auth.Key{ID: "R", Secret: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if found, ok, _ := s.Lookup(caller, k.AccessKeyId); !ok || found.Secret != k.SecretAccessKey {
		t.Errorf("got %+v, %v", found, ok)
	}
	if _, err := New(Options{DB: b.db, Account: account}); err == nil {
		t.Error("a service without a root key")
	}
}

func TestEnsure(t *testing.T) {
	b := fresh(t)
	for range 2 {
		if err := b.Ensure(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for _, arn := range []string{"arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole", "arn:aws:iam::123456789012:role/SageMakerRole"} {
		if err := b.Assumable(caller, arn); err != nil {
			t.Error(err)
		}
		r := call(t, b, wiam.GetRole, wiam.GetRoleInput{RoleName: nameIn(arn)}).Role
		l := call(t, b, wiam.ListAttachedRolePolicies, wiam.ListAttachedRolePoliciesInput{RoleName: r.RoleName})
		if r.Arn != arn || len(l.AttachedPolicies) != 1 || l.AttachedPolicies[0].PolicyName != fullAccess {
			t.Errorf("%s: %+v", r.Arn, l)
		}
	}
}

func TestAssumable(t *testing.T) {
	b := fresh(t)
	both := `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":"*","Action":"sts:*"}]}`
	for _, tt := range []struct {
		name, trust string
		ok          bool
	}{
		{"the service", sageMaker, true},
		{"one of several services", trust(`{"Service":["ec2.amazonaws.com","sagemaker.amazonaws.com"]}`), true},
		{"everyone", trust(`"*"`), true},
		{"any AWS principal", trust(`{"AWS":"*"}`), true},
		{"another service", trust(`{"Service":"lambda.amazonaws.com"}`), false},
		{"the account", trust(`{"AWS":"arn:aws:iam::123456789012:root"}`), false},
		{"denied to everyone", both, false},
		{"another action", strings.Replace(sageMaker, "sts:AssumeRole", "sts:TagSession", 1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := strings.ReplaceAll(tt.name, " ", "-")
			r := call(t, b, wiam.CreateRole, wiam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: tt.trust}).Role
			err := b.Assumable(caller, r.Arn)
			if tt.ok != (err == nil) {
				t.Errorf("got %v", err)
			}
			if f := fault.Of(err); !tt.ok && (f == nil || f.Code != "ValidationException" ||
				f.Message != "Could not assume role "+r.Arn+". Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.") {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, arn := range []string{"arn:aws:iam::123456789012:role/none", "arn:aws:iam::210987654321:role/everyone", "arn:aws:iam::123456789012:role/x/everyone", "x", ""} {
		if f := fault.Of(b.Assumable(caller, arn)); f == nil || f.Code != "ValidationException" {
			t.Errorf("%q: %v", arn, f)
		}
	}
}

func TestDocuments(t *testing.T) {
	st := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	for _, tt := range []struct {
		name, text string
		kind       int
		refusal    string // "" is taken
	}{
		{"a list of statements", st(`{"Sid":"a","Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":["arn:aws:s3:::b/*"]},{"Sid":"b","Effect":"Deny","NotAction":"*","NotResource":"*"}`), permissionPolicy, ""},
		{"a condition", st(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"a":["b"]}}}`), permissionPolicy, ""},
		{"no version", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, permissionPolicy, ""},
		{"no JSON", "{", permissionPolicy, "This policy contains invalid Json"},
		{"a version of its own", `{"Version":"2020-01-01","Statement":[]}`, permissionPolicy, "version"},
		{"no statement", `{"Version":"2012-10-17"}`, permissionPolicy, "Syntax errors"},
		{"an unknown member", st(`{"Effect":"Allow","Action":"*","Resource":"*","Extra":1}`), permissionPolicy, "Syntax errors"},
		{"an effect that is none", st(`{"Effect":"Maybe","Action":"*","Resource":"*"}`), permissionPolicy, "Syntax errors"},
		{"no action", st(`{"Effect":"Allow","Resource":"*"}`), permissionPolicy, "must contain actions"},
		{"an action without a vendor", st(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`), permissionPolicy, "prefaced by a vendor"},
		{"no resource", st(`{"Effect":"Allow","Action":"s3:*"}`), permissionPolicy, "must contain resources"},
		{"a resource that is no ARN", st(`{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}`), permissionPolicy, "ARN format"},
		{"a statement ID twice", st(`{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}`), permissionPolicy, "must be unique"},
		{"a trust without a principal", st(`{"Effect":"Allow","Action":"sts:AssumeRole"}`), trustPolicy, "Missing required field Principal"},
		{"a trust in nobody", trust("{}"), trustPolicy, "Missing required field Principal"},
		{"a trust of another service's actions", strings.Replace(sageMaker, "sts:AssumeRole", "s3:GetObject", 1), trustPolicy, "STS AssumeRole actions"},
		{"a principal of no kind", trust(`{"Who":"x"}`), trustPolicy, "Invalid principal"},
		{"a principal that is a text", trust(`"root"`), trustPolicy, "Syntax errors"},
		{"a null", "null", permissionPolicy, "Syntax errors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.text, tt.kind)
			f := fault.Of(err)
			if tt.refusal == "" && err != nil || tt.refusal != "" && (f == nil || f.Code != "MalformedPolicyDocument" || f.Status != 400 || !strings.Contains(f.Message, tt.refusal)) {
				t.Errorf("got %v, want %q", err, tt.refusal)
			}
		})
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(sageMaker)
	f.Add(allow)
	f.Add(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["a",null]},"Action":[],"Condition":null}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []int{trustPolicy, permissionPolicy} {
			d, err := parse(text, kind)
			if err != nil && fault.Of(err) == nil {
				t.Errorf("%q: %v is no fault", text, err)
			}
			d.trusts("sagemaker.amazonaws.com")
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	s := fresh(b)
	call(b, s, wiam.CreateUser, wiam.CreateUserInput{UserName: "u"})
	k := call(b, s, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "u"}).AccessKey
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, ok, _ := s.Lookup(caller, k.AccessKeyId); !ok {
				b.Error("not found")
			}
		}
	})
}
