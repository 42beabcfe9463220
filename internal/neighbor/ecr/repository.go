// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/oci"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// Service answers what the registry asks.
var _ registry.Rules = (*Service)(nil)

// Repository tells the registry whether there is a repository to push to.
func (s *Service) Repository(ctx context.Context, name string) (account string, ok bool, err error) {
	_, err = s.db.Get(ctx, s.rowKey(name))
	if errors.Is(err, resource.ErrNotFound) {
		return s.account, false, nil
	}
	return s.account, err == nil, err
}

// Immutable tells the registry whether a tag must stay where it is.
func (s *Service) Immutable(ctx context.Context, name, tag string) (bool, error) {
	row, err := s.db.Get(ctx, s.rowKey(name))
	if errors.Is(err, resource.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := read(row)
	return err == nil && r.immutable(tag), err
}

func (r *record) immutable(tag string) bool {
	excluded := false
	for _, f := range r.doc.ImageTagMutabilityExclusionFilters {
		excluded = excluded || wildcard(f.Filter, tag)
	}
	switch r.doc.ImageTagMutability {
	case "IMMUTABLE":
		return true
	case "IMMUTABLE_WITH_EXCLUSION":
		return !excluded
	case "MUTABLE_WITH_EXCLUSION":
		return excluded
	}
	return false
}

// wildcard matches tags by "*" for any characters. Tags have no slash and the
// patterns none of path.Match's other signs.
func wildcard(pattern, tag string) bool {
	ok, err := path.Match(pattern, tag)
	return err == nil && ok
}

// Own tells whether images of a host are of this registry: the endpoint by any
// name of this machine, or the account's registry at AWS, in any Region.
func (s *Service) Own(host string) bool {
	if account, ok := oci.Account(host); ok {
		return account == s.account
	}
	if host == s.host {
		return true
	}
	name, port, _ := strings.Cut(host, ":")
	mine, at, _ := strings.Cut(s.host, ":")
	return port == at && loopback(name) && (loopback(mine) || mine == "0.0.0.0")
}

func loopback(name string) bool { return name == "localhost" || strings.HasPrefix(name, "127.") }

func (s *Service) describeRegistry(context.Context, *wecr.DescribeRegistryInput) (*wecr.DescribeRegistryOutput, error) {
	return &wecr.DescribeRegistryOutput{RegistryId: s.account, ReplicationConfiguration: &wecr.ReplicationConfiguration{Rules: []wecr.ReplicationRule{}}}, nil
}

// checkMutability refuses filters where there can be none, and none where there
// must be.
func checkMutability(kind string, filters []wecr.ImageTagMutabilityExclusionFilter) error {
	with := strings.HasSuffix(kind, "_WITH_EXCLUSION")
	if with != (len(filters) > 0) {
		return invalid("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'must be given with IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION, and with these only'")
	}
	return nil
}

// createRepository is API_CreateRepository. The repository's URI is of this
// server, so that "docker push" to it goes here.
func (s *Service) createRepository(ctx context.Context, in *wecr.CreateRepositoryInput) (*wecr.CreateRepositoryOutput, error) {
	if in.RegistryId != "" && in.RegistryId != s.account {
		return nil, invalid("Invalid parameter at 'registryId' failed to satisfy constraint: 'must be %s, the account of this server'", s.account)
	}
	if in.ImageTagMutability == "" {
		in.ImageTagMutability = "MUTABLE"
	}
	if err := checkMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	at := arn.ARN{Service: "ecr", Region: auth.CallerFrom(ctx).Region, Account: s.account, Resource: "repository/" + in.RepositoryName}.String()
	r := &record{row: resource.Row{Key: s.rowKey(in.RepositoryName), ARN: at, Settled: true, Created: now, Modified: now}, doc: wecr.Repository{
		RepositoryArn: at, RegistryId: s.account, RepositoryName: in.RepositoryName, CreatedAt: wire.At(now),
		ImageTagMutability: in.ImageTagMutability, ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
		ImageScanningConfiguration: in.ImageScanningConfiguration, EncryptionConfiguration: in.EncryptionConfiguration}}
	if r.doc.ImageScanningConfiguration == nil {
		r.doc.ImageScanningConfiguration = &wecr.ImageScanningConfiguration{ScanOnPush: new(false)}
	}
	if r.doc.EncryptionConfiguration == nil {
		r.doc.EncryptionConfiguration = &wecr.EncryptionConfiguration{EncryptionType: "AES256"}
	}
	if err := r.pack(); err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx resource.Tx) error {
		if err := tx.Insert(ctx, r.row); err != nil {
			return err
		}
		return tx.SetTags(ctx, at, tags, nil)
	})
	if errors.Is(err, resource.ErrExists) {
		return nil, fault.New("RepositoryAlreadyExistsException", http.StatusBadRequest,
			"The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, s.account)
	}
	if err != nil {
		return nil, fmt.Errorf("store repository %q: %w", in.RepositoryName, err)
	}
	shown := s.shown(ctx, found{account: s.account, name: in.RepositoryName, own: r})
	return &wecr.CreateRepositoryOutput{Repository: &shown}, nil
}

// deleteRepository is API_DeleteRepository. The record goes first: from then on
// nothing can be pushed, and what is left of a broken delete is found by none.
func (s *Service) deleteRepository(ctx context.Context, in *wecr.DeleteRepositoryInput) (*wecr.DeleteRepositoryOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	if in.Force == nil || !*in.Force {
		images, err := s.images(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(images) > 0 {
			return nil, fault.New("RepositoryNotEmptyException", http.StatusBadRequest,
				"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", f.name, f.account)
		}
	}
	err = s.db.Write(ctx, func(tx resource.Tx) error { return tx.Delete(ctx, f.own.row.Key) })
	if errors.Is(err, resource.ErrNotFound) {
		return nil, noRepository(ctx, f.name, f.account)
	}
	if err != nil {
		return nil, fmt.Errorf("delete repository %q: %w", f.name, err)
	}
	if err := s.store.Drop(ctx, f.name); err != nil {
		return nil, err
	}
	shown := s.shown(ctx, f)
	return &wecr.DeleteRepositoryOutput{Repository: &shown}, nil
}

// putImageTagMutability is API_PutImageTagMutability.
func (s *Service) putImageTagMutability(ctx context.Context, in *wecr.PutImageTagMutabilityInput) (*wecr.PutImageTagMutabilityOutput, error) {
	if err := checkMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	r, err := s.edit(ctx, in.RepositoryName, in.RegistryId, func(r *record) error {
		r.doc.ImageTagMutability, r.doc.ImageTagMutabilityExclusionFilters = in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wecr.PutImageTagMutabilityOutput{RegistryId: s.account, RepositoryName: in.RepositoryName,
		ImageTagMutability: r.doc.ImageTagMutability, ImageTagMutabilityExclusionFilters: r.doc.ImageTagMutabilityExclusionFilters}, nil
}

// setRepositoryPolicy is API_SetRepositoryPolicy: the policy is kept, and keeps
// nobody from anything.
func (s *Service) setRepositoryPolicy(ctx context.Context, in *wecr.SetRepositoryPolicyInput) (*wecr.SetRepositoryPolicyOutput, error) {
	var doc struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(in.PolicyText), &doc); err != nil || doc.Statement == nil {
		return nil, invalid("Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'")
	}
	_, err := s.edit(ctx, in.RepositoryName, in.RegistryId, func(r *record) error {
		r.more.Policy = in.PolicyText
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wecr.SetRepositoryPolicyOutput{RegistryId: s.account, RepositoryName: in.RepositoryName, PolicyText: in.PolicyText}, nil
}

func (s *Service) noPolicy(name string) error {
	return fault.New("RepositoryPolicyNotFoundException", http.StatusBadRequest,
		"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", name, s.account)
}

// getRepositoryPolicy is API_GetRepositoryPolicy.
func (s *Service) getRepositoryPolicy(ctx context.Context, in *wecr.GetRepositoryPolicyInput) (*wecr.GetRepositoryPolicyOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	if f.own.more.Policy == "" {
		return nil, s.noPolicy(f.name)
	}
	return &wecr.GetRepositoryPolicyOutput{RegistryId: s.account, RepositoryName: f.name, PolicyText: f.own.more.Policy}, nil
}

// deleteRepositoryPolicy is API_DeleteRepositoryPolicy; it answers what there was.
func (s *Service) deleteRepositoryPolicy(ctx context.Context, in *wecr.DeleteRepositoryPolicyInput) (*wecr.DeleteRepositoryPolicyOutput, error) {
	out := &wecr.DeleteRepositoryPolicyOutput{RegistryId: s.account, RepositoryName: in.RepositoryName}
	_, err := s.edit(ctx, in.RepositoryName, in.RegistryId, func(r *record) error {
		if r.more.Policy == "" {
			return s.noPolicy(in.RepositoryName)
		}
		out.PolicyText, r.more.Policy = r.more.Policy, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
