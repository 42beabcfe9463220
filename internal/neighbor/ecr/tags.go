// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// maxTags is how many tags a repository may have.
const maxTags = 50

func tagsIn(tags []wecr.Tag) ([]resource.Tag, error) {
	out := make([]resource.Tag, len(tags))
	for i, t := range tags {
		if resource.ReservedTag(t.Key) {
			return nil, fault.New("InvalidTagParameterException", http.StatusBadRequest, "aws: prefixed tag key names are not allowed for external use.")
		}
		if slices.ContainsFunc(out[:i], func(o resource.Tag) bool { return o.Key == t.Key }) {
			return nil, fault.New("InvalidTagParameterException", http.StatusBadRequest, "Duplicate tag keys found: %s", t.Key)
		}
		out[i] = resource.Tag{Key: t.Key, Value: t.Value}
	}
	if len(out) > maxTags {
		return nil, tooMany(len(out))
	}
	return out, nil
}

func tooMany(n int) error {
	return fault.New("TooManyTagsException", http.StatusBadRequest, "The number of tags on the repository would be %d, which exceeds the limit of %d.", n, maxTags)
}

// tagged finds the repository of an ARN, which may name any Region, and answers
// the ARN that its tags are under.
func (s *Service) tagged(ctx context.Context, r resource.Reader, text string) (string, error) {
	a, err := arn.Parse(text)
	name, ok := strings.CutPrefix(a.Resource, "repository/")
	if err != nil || a.Service != "ecr" || !ok {
		return "", invalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	row, err := r.Get(ctx, s.rowKey(name))
	if errors.Is(err, resource.ErrNotFound) || err == nil && a.Account != s.account {
		return "", noRepository(ctx, name, a.Account)
	}
	return row.ARN, err
}

// tagResource is API_TagResource.
func (s *Service) tagResource(ctx context.Context, in *wecr.TagResourceInput) (*wecr.TagResourceOutput, error) {
	add, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx resource.Tx) error {
		at, err := s.tagged(ctx, tx, in.ResourceArn)
		if err != nil {
			return err
		}
		if err := tx.SetTags(ctx, at, add, nil); err != nil {
			return fmt.Errorf("set tags of %q: %w", at, err)
		}
		now, err := tx.Tags(ctx, at)
		if err != nil {
			return fmt.Errorf("read tags of %q: %w", at, err)
		}
		if len(now) > maxTags {
			return tooMany(len(now))
		}
		return nil
	})
	return &wecr.TagResourceOutput{}, err
}

// untagResource is API_UntagResource; a key that is not there is no error.
func (s *Service) untagResource(ctx context.Context, in *wecr.UntagResourceInput) (*wecr.UntagResourceOutput, error) {
	err := s.db.Write(ctx, func(tx resource.Tx) error {
		at, err := s.tagged(ctx, tx, in.ResourceArn)
		if err != nil {
			return err
		}
		return tx.SetTags(ctx, at, nil, in.TagKeys)
	})
	return &wecr.UntagResourceOutput{}, err
}

// listTagsForResource is API_ListTagsForResource.
func (s *Service) listTagsForResource(ctx context.Context, in *wecr.ListTagsForResourceInput) (*wecr.ListTagsForResourceOutput, error) {
	at, err := s.tagged(ctx, s.db, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := s.db.Tags(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read tags of %q: %w", at, err)
	}
	out := &wecr.ListTagsForResourceOutput{Tags: []wecr.Tag{}}
	for _, t := range tags {
		out.Tags = append(out.Tags, wecr.Tag{Key: t.Key, Value: t.Value})
	}
	return out, nil
}
