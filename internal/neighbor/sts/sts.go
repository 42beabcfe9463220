// SPDX-License-Identifier: Apache-2.0

// Package sts is the Security Token Service: who am I, and keys for a while.
package sts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wsts "github.com/sagebrush-ml/sagebrush/internal/wire/sts"
)

// Directory is what the service asks of IAM.
type Directory interface {
	auth.Keys
	// RoleFor finds a role that the caller in ctx wants a session of: its ID and
	// how long a session may last. ok is false when there is none.
	RoleFor(ctx context.Context, roleARN string) (id string, longest time.Duration, ok bool, err error)
	// Open stores the key of a session; owner is the ARN of the role or user.
	Open(ctx context.Context, k auth.Key, owner string) error
}

// Options of a Service. Directory is required.
type Options struct {
	Directory Directory
	Now       func() time.Time // nil: time.Now
}

// Service answers STS's operations. It is safe for concurrent use.
type Service struct{ Options }

// New makes a Service. It starts nothing.
func New(o Options) (*Service, error) {
	if o.Directory == nil {
		return nil, errors.New("sts: options lack the directory")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o}, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wsts.GetCallerIdentity, s.getCallerIdentity)
	op.Handle(t, wsts.AssumeRole, s.assumeRole)
	op.Handle(t, wsts.GetSessionToken, s.getSessionToken)
	op.Handle(t, wsts.GetAccessKeyInfo, s.getAccessKeyInfo)
}

func invalid(format string, args ...any) error {
	return fault.New("ValidationError", http.StatusBadRequest, format, args...)
}

func denied(format string, args ...any) error {
	return fault.New("AccessDenied", http.StatusForbidden, format, args...)
}

// getCallerIdentity is API_GetCallerIdentity.
func (s *Service) getCallerIdentity(ctx context.Context, _ *wsts.GetCallerIdentityInput) (*wsts.GetCallerIdentityOutput, error) {
	c := auth.CallerFrom(ctx)
	return &wsts.GetCallerIdentityOutput{Account: c.Account, Arn: c.Principal, UserId: c.UserID}, nil
}

const (
	roleDefault  = time.Hour
	chainedMost  = time.Hour // a role's session that opens another one
	tokenDefault = 12 * time.Hour
	rootMost     = time.Hour // GetSessionToken of the account's own key
)

// assumeRole is API_AssumeRole; it can answer AccessDenied (also for a role
// that does not exist, so that names cannot be guessed), ValidationError and
// MalformedPolicyDocument. A session policy is checked for its form. Unlike the
// service it serves the account's root too, whose key is the default here.
func (s *Service) assumeRole(ctx context.Context, in *wsts.AssumeRoleInput) (*wsts.AssumeRoleOutput, error) {
	c := auth.CallerFrom(ctx)
	a, err := arn.Parse(in.RoleArn)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
		return nil, invalid("%s is invalid", in.RoleArn)
	}
	if in.Policy != "" && !isObject(in.Policy) {
		return nil, fault.New("MalformedPolicyDocument", http.StatusBadRequest, "This policy contains invalid Json")
	}
	id, longest, ok, err := s.Directory.RoleFor(ctx, in.RoleArn)
	if err != nil {
		return nil, fmt.Errorf("find role %q: %w", in.RoleArn, err)
	}
	if !ok {
		return nil, denied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.Principal, in.RoleArn)
	}
	lasts := min(roleDefault, longest)
	if in.DurationSeconds != nil {
		lasts = time.Duration(*in.DurationSeconds) * time.Second
	}
	switch {
	case lasts > longest:
		return nil, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case lasts > chainedMost && strings.Contains(c.Principal, ":assumed-role/"):
		return nil, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	user := wsts.AssumedRoleUser{AssumedRoleId: id + ":" + in.RoleSessionName,
		Arn: "arn:aws:sts::" + a.Account + ":assumed-role/" + a.Name() + "/" + in.RoleSessionName}
	cred, err := s.open(ctx, auth.Key{Account: a.Account, Principal: user.Arn, UserID: user.AssumedRoleId}, lasts, in.RoleArn)
	if err != nil {
		return nil, err
	}
	out := &wsts.AssumeRoleOutput{Credentials: cred, AssumedRoleUser: &user, SourceIdentity: in.SourceIdentity}
	if in.Policy != "" {
		out.PackedPolicySize = new(int64(len(in.Policy) * 100 / 2048))
	}
	return out, nil
}

// isObject tells whether text is a JSON object.
func isObject(text string) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &m) == nil && m != nil
}

// open makes the key of a session and stores it.
func (s *Service) open(ctx context.Context, k auth.Key, lasts time.Duration, owner string) (*wsts.Credentials, error) {
	k, err := s.issue(ctx, k, lasts, owner)
	if err != nil {
		return nil, err
	}
	return &wsts.Credentials{AccessKeyId: k.ID, SecretAccessKey: k.Secret, SessionToken: k.SessionToken, Expiration: wire.At(k.Expires)}, nil
}

func (s *Service) issue(ctx context.Context, k auth.Key, lasts time.Duration, owner string) (auth.Key, error) {
	k.ID, k.Secret, k.SessionToken = auth.NewKeyID(auth.Session), auth.NewSecret(), auth.NewSessionToken()
	k.Expires = s.Now().Add(lasts).UTC().Truncate(time.Second)
	if err := s.Directory.Open(ctx, k, owner); err != nil {
		return auth.Key{}, fmt.Errorf("store session: %w", err)
	}
	return k, nil
}

// Session opens a session of a role for a container of this server, which works
// in the role's name. name is what the session is called; it lasts as long as
// the container may. It may be longer than a caller could ask for: nobody
// renews it. Errors are the store's, and that the role does not exist.
func (s *Service) Session(ctx context.Context, roleARN, name string, lasts time.Duration) (auth.Key, error) {
	a, err := arn.Parse(roleARN)
	if err != nil {
		return auth.Key{}, fmt.Errorf("session of %q: %w", roleARN, err)
	}
	// There is no caller here: the server itself asks, for the role's account.
	id, _, ok, err := s.Directory.RoleFor(auth.WithCaller(ctx, auth.Caller{Account: a.Account}), roleARN)
	if err == nil && !ok {
		err = errors.New("there is no such role")
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("session of %q: %w", roleARN, err)
	}
	k := auth.Key{Account: a.Account, UserID: id + ":" + name, Principal: "arn:aws:sts::" + a.Account + ":assumed-role/" + a.Name() + "/" + name}
	return s.issue(ctx, k, lasts, roleARN)
}

// getSessionToken is API_GetSessionToken: a session of the caller's own, who
// must not be in one already.
func (s *Service) getSessionToken(ctx context.Context, in *wsts.GetSessionTokenInput) (*wsts.GetSessionTokenOutput, error) {
	c := auth.CallerFrom(ctx)
	if strings.HasPrefix(c.AccessKey, auth.Session) || strings.Contains(c.Principal, ":assumed-role/") {
		return nil, denied("Cannot call GetSessionToken with session credentials")
	}
	lasts := tokenDefault
	if in.DurationSeconds != nil {
		lasts = time.Duration(*in.DurationSeconds) * time.Second
	}
	if strings.HasSuffix(c.Principal, ":root") {
		lasts = min(lasts, rootMost) // as in the service, without a word
	}
	cred, err := s.open(ctx, auth.Key{Account: c.Account, Principal: c.Principal, UserID: c.UserID}, lasts, c.Principal)
	if err != nil {
		return nil, err
	}
	return &wsts.GetSessionTokenOutput{Credentials: cred}, nil
}

// getAccessKeyInfo is API_GetAccessKeyInfo: whose account a key is of.
func (s *Service) getAccessKeyInfo(ctx context.Context, in *wsts.GetAccessKeyInfoInput) (*wsts.GetAccessKeyInfoOutput, error) {
	k, ok, err := s.Directory.Lookup(ctx, in.AccessKeyId)
	if err != nil {
		return nil, fmt.Errorf("look up access key: %w", err)
	}
	if !ok {
		return nil, invalid("Invalid AccessKeyId: %s", in.AccessKeyId)
	}
	return &wsts.GetAccessKeyInfoOutput{Account: k.Account}, nil
}
