// SPDX-License-Identifier: Apache-2.0

// Package tag answers SageMaker's AddTags, ListTags and DeleteTags, for every
// family of resources at once: tags stand beside the records, under their ARNs.
//
// # What is not there
//
// The three operations declare no errors. Like the Describe operation of the
// resource's own family they answer ValidationException for the families of
// before about 2019 and ResourceNotFound for the rest; both texts hold "could
// not find" in some case, which clients look for.
package tag

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Options of a Service. DB is required.
type Options struct {
	DB resource.DB
}

// Service answers the tag operations. It is safe for concurrent use.
type Service struct{ db resource.DB }

// New makes a Service. It starts nothing.
func New(o Options) (*Service, error) {
	if o.DB == nil {
		return nil, errors.New("tag: options lack the store")
	}
	return &Service{o.DB}, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, sm.AddTags, s.addTags)
	op.Handle(t, sm.ListTags, s.listTags)
	op.Handle(t, sm.DeleteTags, s.deleteTags)
}

const (
	maxTags  = 50 // of one resource
	pageSize = 50 // of ListTags when none is asked for; the least that it takes
)

// old are the kinds of resource, as their ARNs name them, whose absence is a
// ValidationException.
var old = []string{"training-job", "processing-job", "transform-job", "labeling-job", "model", "endpoint-config", "endpoint",
	"inference-component", "model-package", "model-package-group", "notebook-instance", "notebook-instance-lifecycle-config",
	"code-repository", "project", "workteam", "workforce", "device", "device-fleet"}

// check answers nil when a record of the caller's has the ARN, which it answers
// as the record spells it.
func check(ctx context.Context, r resource.Reader, operation, text string) (string, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "sagemaker" {
		return "", fault.Validation("Invalid ARN. The ARN %s is not that of a SageMaker resource.", text)
	}
	c := auth.CallerFrom(ctx)
	if a.Account != c.Account {
		return "", fault.AccessDenied("User: %s is not authorized to perform: sagemaker:%s on resource: %s because no resource-based policy allows the sagemaker:%s action",
			c.Principal, operation, text, operation)
	}
	kind, name, _ := strings.Cut(a.Resource, "/")
	missing := func() error {
		if slices.Contains(old, kind) {
			return fault.Validation("Could not find %s %q.", kind, name)
		}
		return fault.NotFound("Could not find %s with name %s.", kind, name)
	}
	if a.Region != c.Region {
		return "", missing()
	}
	row, err := r.ByARN(ctx, text)
	if errors.Is(err, resource.ErrNotFound) {
		return "", missing()
	}
	if err != nil {
		return "", fmt.Errorf("find %q: %w", text, err)
	}
	return row.ARN, nil
}

// addTags is API_AddTags: it adds tags or gives them new values, all or none,
// and answers those that it was given.
func (s *Service) addTags(ctx context.Context, in *sm.AddTagsInput) (*sm.AddTagsOutput, error) {
	add := resource.TagsOf(in)
	if err := resource.CheckTags(add); err != nil {
		return nil, err
	}
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		at, err := check(ctx, tx, "AddTags", in.ResourceArn)
		if err != nil {
			return err
		}
		if err := tx.SetTags(ctx, at, add, nil); err != nil {
			return fmt.Errorf("set tags of %q: %w", at, err)
		}
		all, err := tx.Tags(ctx, at)
		if err != nil {
			return fmt.Errorf("read tags of %q: %w", at, err)
		}
		if n := slices.DeleteFunc(all, func(t resource.Tag) bool { return resource.ReservedTag(t.Key) }); len(n) > maxTags {
			return fault.Validation("The number of tags on the resource would be %d, which exceeds the limit of %d.", len(n), maxTags)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sm.AddTagsOutput{Tags: in.Tags}, nil
}

// deleteTags is API_DeleteTags; a key that is not there is no error.
func (s *Service) deleteTags(ctx context.Context, in *sm.DeleteTagsInput) (*sm.DeleteTagsOutput, error) {
	if slices.ContainsFunc(in.TagKeys, resource.ReservedTag) {
		return nil, fault.Validation("aws: prefixed tag key names are not allowed for external use.")
	}
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		at, err := check(ctx, tx, "DeleteTags", in.ResourceArn)
		if err != nil {
			return err
		}
		return tx.SetTags(ctx, at, nil, in.TagKeys)
	})
	return &sm.DeleteTagsOutput{}, err
}

// listTags is API_ListTags, in the order of keys.
func (s *Service) listTags(ctx context.Context, in *sm.ListTagsInput) (*sm.ListTagsOutput, error) {
	at, err := check(ctx, s.db, "ListTags", in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := s.db.Tags(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read tags of %q: %w", at, err)
	}
	if in.NextToken != "" {
		last, ok := lastKey(in.NextToken, at)
		if !ok {
			return nil, fault.Validation("Invalid NextToken: it was not answered by ListTags for this resource.")
		}
		tags = slices.DeleteFunc(tags, func(t resource.Tag) bool { return t.Key <= last })
	}
	n := pageSize
	if in.MaxResults != nil {
		n = int(*in.MaxResults)
	}
	out := &sm.ListTagsOutput{Tags: []sm.Tag{}}
	if len(tags) > n {
		tags = tags[:n]
		out.NextToken = token(tags[n-1].Key, at)
	}
	for _, t := range tags {
		out.Tags = append(out.Tags, sm.Tag{Key: t.Key, Value: t.Value})
	}
	return out, nil
}

// A token is the last key of the page and a sum of the ARN that it is for.

func token(key, at string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(sum(at) + "/" + key))
}

func sum(at string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(resource.FoldARN(at)))), 16)
}

func lastKey(token, at string) (string, bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	of, key, ok := strings.Cut(string(b), "/")
	return key, err == nil && ok && of == sum(at)
}
