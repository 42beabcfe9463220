// SPDX-License-Identifier: Apache-2.0

// Package iam is Identity and Access Management as far as SageMaker's clients
// use it: roles, policies, users, access keys. It is also where the server
// finds the key of whoever signs a request.
//
// Records stand in the one store of all records, under no Region, since IAM has
// none. Names are unique, and found, without regard to case, as the service has
// it. Documents are checked for their form. What they allow is told to who asks
// (SimulatePrincipalPolicy) and keeps nobody from anything; only the trust of a
// role in SageMaker is insisted on.
package iam

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// Options of a Service. DB, Account and Root are required.
type Options struct {
	DB      resource.DB
	Account string           // twelve digits; the account that Root opens and whose keys are found
	Root    auth.Key         // ID and Secret of the account's own key
	Now     func() time.Time // nil: time.Now
}

// Service answers IAM's operations and finds keys. It is safe for concurrent
// use.
type Service struct {
	db      resource.DB
	account string
	now     func() time.Time
	ring    *keyring
}

// New reads the keys that are stored. It must be called before the first write
// to the store, whose changes it watches. It starts nothing.
func New(o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.DB == nil || len(o.Account) != 12 || o.Root.ID == "" || o.Root.Secret == "" {
		return nil, errors.New("iam: options lack the store, the account or the root key")
	}
	root := o.Root
	root.Account, root.UserID = o.Account, o.Account
	root.Principal = "arn:aws:iam::" + o.Account + ":root"
	s := &Service{db: o.DB, account: o.Account, now: o.Now, ring: newKeyring(root)}
	o.DB.Watch(s.ring.changed)
	if err := s.ring.load(context.Background(), o.DB, o.Account); err != nil {
		return nil, fmt.Errorf("read access keys: %w", err)
	}
	return s, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wiam.CreateRole, s.createRole)
	op.Handle(t, wiam.GetRole, s.getRole)
	op.Handle(t, wiam.ListRoles, s.listRoles)
	op.Handle(t, wiam.DeleteRole, s.deleteRole)
	op.Handle(t, wiam.UpdateRole, s.updateRole)
	op.Handle(t, wiam.UpdateAssumeRolePolicy, s.updateAssumeRolePolicy)
	op.Handle(t, wiam.TagRole, s.tagRole)
	op.Handle(t, wiam.UntagRole, s.untagRole)
	op.Handle(t, wiam.ListRoleTags, s.listRoleTags)
	op.Handle(t, wiam.PutRolePolicy, s.putRolePolicy)
	op.Handle(t, wiam.GetRolePolicy, s.getRolePolicy)
	op.Handle(t, wiam.DeleteRolePolicy, s.deleteRolePolicy)
	op.Handle(t, wiam.ListRolePolicies, s.listRolePolicies)
	op.Handle(t, wiam.AttachRolePolicy, s.attachRolePolicy)
	op.Handle(t, wiam.DetachRolePolicy, s.detachRolePolicy)
	op.Handle(t, wiam.ListAttachedRolePolicies, s.listAttachedRolePolicies)
	op.Handle(t, wiam.CreatePolicy, s.createPolicy)
	op.Handle(t, wiam.GetPolicy, s.getPolicy)
	op.Handle(t, wiam.GetPolicyVersion, s.getPolicyVersion)
	op.Handle(t, wiam.ListPolicies, s.listPolicies)
	op.Handle(t, wiam.ListPolicyVersions, s.listPolicyVersions)
	op.Handle(t, wiam.DeletePolicy, s.deletePolicy)
	op.Handle(t, wiam.SimulatePrincipalPolicy, s.simulatePrincipalPolicy)
	op.Handle(t, wiam.CreateUser, s.createUser)
	op.Handle(t, wiam.GetUser, s.getUser)
	op.Handle(t, wiam.ListUsers, s.listUsers)
	op.Handle(t, wiam.DeleteUser, s.deleteUser)
	op.Handle(t, wiam.CreateAccessKey, s.createAccessKey)
	op.Handle(t, wiam.ListAccessKeys, s.listAccessKeys)
	op.Handle(t, wiam.DeleteAccessKey, s.deleteAccessKey)
	op.Handle(t, wiam.UpdateAccessKey, s.updateAccessKey)
}

// The roles that Ensure makes.
const (
	DefaultRole  = "AmazonSageMaker-ExecutionRole" // with path /service-role/
	TutorialRole = "SageMakerRole"                 // the name that tutorials use
)

const (
	// Feature processors have their role trusted by the scheduler too.
	sageMakerTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["sagemaker.amazonaws.com","scheduler.amazonaws.com"]},"Action":"sts:AssumeRole"}]}`

	// AmazonSageMakerFullAccess reaches no bucket whose name lacks "sagemaker".
	// In AWS the console's choice "any S3 bucket" adds what does; beside it
	// stands what clients look for before they make features or evaluations.
	executionPolicy         = "AmazonSageMaker-ExecutionPolicy"
	executionPolicyDocument = `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "AnyBucket", "Effect": "Allow", "Action": ["s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"], "Resource": "*"},
    {"Sid": "Catalog", "Effect": "Allow", "Action": ["glue:GetDatabase*", "glue:GetPartition*", "glue:GetTable*"], "Resource": "*"},
    {"Sid": "Evaluation", "Effect": "Allow", "Action": ["bedrock:CreateEvaluationJob", "bedrock:GetEvaluationJob"], "Resource": "*"},
    {"Sid": "Keys", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"], "Resource": "*"},
    {"Sid": "Itself", "Effect": "Allow", "Action": ["iam:GetRole", "iam:SimulatePrincipalPolicy"], "Resource": "*"}
  ]
}`
)

// Ensure makes the roles that let a first job run without any IAM work:
// DefaultRole and TutorialRole, which SageMaker may assume. It leaves roles
// that exist as they are; call it once per start, with any context. A role that
// its owner deleted is made again at the next start.
func (s *Service) Ensure(ctx context.Context) error {
	ctx = auth.WithCaller(ctx, auth.Caller{Account: s.account, Principal: s.ring.root.Principal})
	for _, in := range []wiam.CreateRoleInput{
		{RoleName: DefaultRole, Path: "/service-role/", Description: "Default execution role of Sagebrush"},
		{RoleName: TutorialRole, Path: "/", Description: "Execution role under the name that examples use"},
	} {
		in.AssumeRolePolicyDocument = sageMakerTrust
		_, err := s.createRole(ctx, &in)
		if f := fault.Of(err); f != nil && f.Code == "EntityAlreadyExists" {
			continue
		}
		if err == nil {
			_, err = s.attachRolePolicy(ctx, &wiam.AttachRolePolicyInput{RoleName: in.RoleName, PolicyArn: managedPrefix + fullAccess})
		}
		if err == nil {
			_, err = s.putRolePolicy(ctx, &wiam.PutRolePolicyInput{RoleName: in.RoleName, PolicyName: executionPolicy, PolicyDocument: executionPolicyDocument})
		}
		if err != nil {
			return fmt.Errorf("make role %q: %w", in.RoleName, err)
		}
	}
	return nil
}

// here is the account that a request is about.
func (s *Service) here(ctx context.Context) string {
	if c := auth.CallerFrom(ctx); c.Account != "" {
		return c.Account
	}
	return s.account
}

// The service's own faults.

func noSuch(format string, args ...any) error {
	return fault.New("NoSuchEntity", http.StatusNotFound, format, args...)
}

func taken(format string, args ...any) error {
	return fault.New("EntityAlreadyExists", http.StatusConflict, format, args...)
}

func conflict(text string) error { return fault.New("DeleteConflict", http.StatusConflict, "%s", text) }

func malformed(format string, args ...any) error {
	return fault.New("MalformedPolicyDocument", http.StatusBadRequest, format, args...)
}

func invalid(format string, args ...any) error {
	return fault.New("ValidationError", http.StatusBadRequest, format, args...)
}

func limit(format string, args ...any) error {
	return fault.New("LimitExceeded", http.StatusConflict, format, args...)
}
