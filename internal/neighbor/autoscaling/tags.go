// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

const maxTags = 50

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fault.New("TooManyTagsException", http.StatusBadRequest, "The request contains more than %d tags.", maxTags)
	}
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return fault.Validation("Tag keys that begin with aws: are reserved: %s", k)
		}
	}
	return nil
}

// tagged finds a target of the caller's by its ARN.
func tagged(ctx context.Context, q sqlfile.Querier, text string) (target, error) {
	c := auth.CallerFrom(ctx)
	var g target
	gone := fault.New("ResourceNotFoundException", http.StatusBadRequest, "The specified resource doesn't exist: %s", text)
	a, err := arn.Parse(text)
	if err != nil {
		return g, gone
	}
	err = g.scan(q.QueryRowContext(ctx, targetColumns+" WHERE account = ? AND region = ? AND uid = ?", c.Account, c.Region, a.Name()))
	if errors.Is(err, sql.ErrNoRows) || err == nil && g.arn() != text {
		return g, gone
	}
	return g, err
}

// editTags changes the tags of a target in one transaction.
func (s *Service) editTags(ctx context.Context, resource string, edit func(map[string]string)) error {
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := tagged(ctx, w, resource)
		if err != nil {
			return err
		}
		edit(g.tags)
		if err := checkTags(g.tags); err != nil {
			return err
		}
		text, err := json.Marshal(g.tags)
		if err != nil {
			return err
		}
		_, err = w.Exec("UPDATE target SET tags = ? WHERE id = ?", string(text), g.id)
		return err
	})
}

// tagResource is API_TagResource; it can answer ResourceNotFoundException and
// TooManyTagsException.
func (s *Service) tagResource(ctx context.Context, in *aas.TagResourceInput) (*aas.TagResourceOutput, error) {
	return &aas.TagResourceOutput{}, s.editTags(ctx, in.ResourceARN, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

// untagResource is API_UntagResource.
func (s *Service) untagResource(ctx context.Context, in *aas.UntagResourceInput) (*aas.UntagResourceOutput, error) {
	return &aas.UntagResourceOutput{}, s.editTags(ctx, in.ResourceARN, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

// listTagsForResource is API_ListTagsForResource.
func (s *Service) listTagsForResource(ctx context.Context, in *aas.ListTagsForResourceInput) (out *aas.ListTagsForResourceOutput, err error) {
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		g, err := tagged(ctx, q, in.ResourceARN)
		out = &aas.ListTagsForResourceOutput{Tags: g.tags}
		return err
	})
	return out, err
}
