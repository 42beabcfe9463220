// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/iam"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sts"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
	wsts "github.com/sagebrush-ml/sagebrush/internal/wire/sts"
)

const (
	account = "123456789012"
	role    = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
)

var start = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)

type bench struct {
	*iam.Service
	table *op.Table
	clock time.Time
	close func()
}

func open(t *testing.T, path string) *bench {
	t.Helper()
	db, err := sqlstore.Open(context.Background(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{table: op.New(), clock: start, close: func() { _ = db.Close() }}
	now := func() time.Time { return b.clock }
	if b.Service, err = iam.New(iam.Options{DB: db, Account: account, Root: auth.Key{ID: "AKIAROOT", Secret: "secret"}, Now: now}); err != nil {
		t.Fatal(err)
	}
	s, err := sts.New(sts.Options{Directory: b.Service, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	s.Install(b.table)
	b.Install(b.table)
	if err := b.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

// as is a context in which the key's owner calls.
func (b *bench) as(t *testing.T, id string) context.Context {
	t.Helper()
	k, ok, err := b.Lookup(context.Background(), id)
	if err != nil || !ok {
		t.Fatalf("key %s: %v, %v", id, ok, err)
	}
	return auth.WithCaller(context.Background(), auth.Caller{Account: k.Account, Principal: k.Principal, UserID: k.UserID, AccessKey: k.ID})
}

func call[I, O any](t *testing.T, ctx context.Context, b *bench, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(ctx, b.table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused[I, O any](t *testing.T, ctx context.Context, b *bench, o wire.Op[I, O], in I, code string, status int, text string) {
	t.Helper()
	_, err := op.Call(ctx, b.table, o, &in)
	if f := fault.Of(err); f == nil || f.Code != code || f.Status != status || !strings.Contains(f.Message, text) {
		t.Errorf("%s answers %v, want %d %s with %q", o, err, status, code, text)
	}
}

func TestIdentities(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "r.db"))
	root := b.as(t, "AKIAROOT")
	if id := call(t, root, b, wsts.GetCallerIdentity, wsts.GetCallerIdentityInput{}); id.Account != account || id.UserId != account || id.Arn != "arn:aws:iam::123456789012:root" {
		t.Errorf("root is %+v", id)
	}
	u := call(t, root, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "ann", Path: "/team/"}).User
	k := call(t, root, b, wiam.CreateAccessKey, wiam.CreateAccessKeyInput{UserName: "ann"}).AccessKey
	ann := b.as(t, k.AccessKeyId)
	if id := call(t, ann, b, wsts.GetCallerIdentity, wsts.GetCallerIdentityInput{}); id.Arn != "arn:aws:iam::123456789012:user/team/ann" || id.UserId != u.UserId {
		t.Errorf("a user is %+v", id)
	}
	out := call(t, ann, b, wsts.AssumeRole, wsts.AssumeRoleInput{RoleArn: role, RoleSessionName: "me@x"})
	c := out.Credentials
	if !strings.HasPrefix(c.AccessKeyId, "ASIA") || c.SecretAccessKey == "" || c.SessionToken == "" || !c.Expiration.Equal(start.Add(time.Hour)) ||
		out.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/AmazonSageMaker-ExecutionRole/me@x" {
		t.Errorf("session is %+v %+v", out.AssumedRoleUser, c)
	}
	session := b.as(t, c.AccessKeyId)
	id := call(t, session, b, wsts.GetCallerIdentity, wsts.GetCallerIdentityInput{})
	if id.Arn != out.AssumedRoleUser.Arn || id.UserId != out.AssumedRoleUser.AssumedRoleId || !strings.HasPrefix(id.UserId, "AROA") || !strings.HasSuffix(id.UserId, ":me@x") {
		t.Errorf("a session is %+v", id)
	}
	token := call(t, ann, b, wsts.GetSessionToken, wsts.GetSessionTokenInput{}).Credentials
	if id := call(t, b.as(t, token.AccessKeyId), b, wsts.GetCallerIdentity, wsts.GetCallerIdentityInput{}); id.Arn != u.Arn || !token.Expiration.Equal(start.Add(12*time.Hour)) {
		t.Errorf("a user's session is %+v until %v", id, token.Expiration)
	}
	if e := call(t, root, b, wsts.GetSessionToken, wsts.GetSessionTokenInput{}).Credentials.Expiration; !e.Equal(start.Add(time.Hour)) {
		t.Errorf("root's session lasts until %v", e)
	}
	if out := call(t, root, b, wsts.GetAccessKeyInfo, wsts.GetAccessKeyInfoInput{AccessKeyId: k.AccessKeyId}); out.Account != account {
		t.Errorf("key is of %q", out.Account)
	}
	refused(t, root, b, wsts.GetAccessKeyInfo, wsts.GetAccessKeyInfoInput{AccessKeyId: "AKIAUNKNOWNUNKNOWN"}, "ValidationError", 400, "Invalid AccessKeyId")
	refused(t, session, b, wsts.GetSessionToken, wsts.GetSessionTokenInput{}, "AccessDenied", 403, "Cannot call GetSessionToken with session credentials")
}

func TestAssumeRoleRefusals(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "r.db"))
	root := b.as(t, "AKIAROOT")
	in := func(change func(*wsts.AssumeRoleInput)) wsts.AssumeRoleInput {
		in := wsts.AssumeRoleInput{RoleArn: role, RoleSessionName: "s1"}
		change(&in)
		return in
	}
	session := b.as(t, call(t, root, b, wsts.AssumeRole, in(func(*wsts.AssumeRoleInput) {})).Credentials.AccessKeyId)
	call(t, root, b, wiam.UpdateRole, wiam.UpdateRoleInput{RoleName: iam.DefaultRole, MaxSessionDuration: new(int64(7200))})
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		change func(*wsts.AssumeRoleInput)
		code   string
		status int
		text   string
	}{
		{"no such role", root, func(in *wsts.AssumeRoleInput) { in.RoleArn += "x" }, "AccessDenied", 403, "User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: " + role + "x"},
		{"another path", root, func(in *wsts.AssumeRoleInput) {
			in.RoleArn = "arn:aws:iam::123456789012:role/AmazonSageMaker-ExecutionRole"
		}, "AccessDenied", 403, "not authorized"},
		{"another account", root, func(in *wsts.AssumeRoleInput) { in.RoleArn = "arn:aws:iam::210987654321:role/SageMakerRole" }, "AccessDenied", 403, "not authorized"},
		{"no role at all", root, func(in *wsts.AssumeRoleInput) { in.RoleArn = "arn:aws:iam::123456789012:user/ann" }, "ValidationError", 400, "is invalid"},
		{"longer than the role allows", root, func(in *wsts.AssumeRoleInput) { in.DurationSeconds = new(int64(7201)) }, "ValidationError", 400, "MaxSessionDuration"},
		{"a chain longer than an hour", session, func(in *wsts.AssumeRoleInput) { in.DurationSeconds = new(int64(3601)) }, "ValidationError", 400, "role chaining"},
		{"a policy that is no JSON", root, func(in *wsts.AssumeRoleInput) { in.Policy = "[]" }, "MalformedPolicyDocument", 400, "invalid Json"},
		{"a session name of one letter", root, func(in *wsts.AssumeRoleInput) { in.RoleSessionName = "s" }, "ValidationException", 400, "roleSessionName"},
		{"a session name with a space", root, func(in *wsts.AssumeRoleInput) { in.RoleSessionName = "a b" }, "ValidationException", 400, "pattern"},
		{"shorter than a quarter of an hour", root, func(in *wsts.AssumeRoleInput) { in.DurationSeconds = new(int64(899)) }, "ValidationException", 400, "900"},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.ctx, b, wsts.AssumeRole, in(tt.change), tt.code, tt.status, tt.text) })
	}
}

func TestSessionsOutliveTheServerAndEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	b := open(t, path)
	root := b.as(t, "AKIAROOT")
	in := wsts.AssumeRoleInput{RoleArn: role, RoleSessionName: "s1", DurationSeconds: new(int64(900))}
	c := call(t, root, b, wsts.AssumeRole, in).Credentials
	b.close()
	b = open(t, path)
	k, ok, err := b.Lookup(root, c.AccessKeyId)
	if err != nil || !ok || k.Secret != c.SecretAccessKey || k.SessionToken != c.SessionToken || !k.Expires.Equal(start.Add(15*time.Minute)) {
		t.Fatalf("after the restart: %+v, %v, %v", k, ok, err)
	}
	b.clock = start.Add(time.Hour)
	if _, ok, _ := b.Lookup(root, c.AccessKeyId); !ok {
		t.Error("an ended session is unknown, so that its owner is not told that it ended")
	}
	b.clock = start.Add(25 * time.Hour)
	later := call(t, root, b, wsts.AssumeRole, in).Credentials
	if _, ok, _ := b.Lookup(root, c.AccessKeyId); ok {
		t.Error("a session that ended a day ago is still kept")
	}
	call(t, root, b, wiam.DetachRolePolicy, wiam.DetachRolePolicyInput{RoleName: iam.DefaultRole, PolicyArn: "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"})
	call(t, root, b, wiam.DeleteRolePolicy, wiam.DeleteRolePolicyInput{RoleName: iam.DefaultRole, PolicyName: "AmazonSageMaker-ExecutionPolicy"})
	call(t, root, b, wiam.DeleteRole, wiam.DeleteRoleInput{RoleName: iam.DefaultRole})
	if _, ok, _ := b.Lookup(root, later.AccessKeyId); ok {
		t.Error("a session outlives its role")
	}
}
