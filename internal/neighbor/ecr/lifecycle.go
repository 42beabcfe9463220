// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// policy is a lifecycle policy. Source: the ECR user guide, "Lifecycle policy
// properties".
type policy struct {
	Rules []rule `json:"rules"`
}

type rule struct {
	Priority    int    `json:"rulePriority"`
	Description string `json:"description"`
	Selection   struct {
		TagStatus string   `json:"tagStatus"` // tagged, untagged, any
		Prefixes  []string `json:"tagPrefixList"`
		Patterns  []string `json:"tagPatternList"`
		CountType string   `json:"countType"` // imageCountMoreThan, sinceImagePushed
		CountUnit string   `json:"countUnit"` // days, with sinceImagePushed
		Count     int      `json:"countNumber"`
	} `json:"selection"`
	Action struct {
		Type string `json:"type"` // expire
	} `json:"action"`
}

// parsePolicy reads a lifecycle policy and orders its rules.
func parsePolicy(text string) (policy, error) {
	var p policy
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("there is more than one JSON value")
	}
	if len(p.Rules) == 0 {
		return p, errors.New("there are no rules")
	}
	slices.SortStableFunc(p.Rules, func(a, b rule) int { return cmp.Compare(a.Priority, b.Priority) })
	for i, r := range p.Rules {
		if err := r.check(); err != nil {
			return p, fmt.Errorf("rule %d: %w", r.Priority, err)
		}
		if i > 0 && p.Rules[i-1].Priority == r.Priority {
			return p, fmt.Errorf("rule %d: its priority is another's", r.Priority)
		}
		if r.Selection.TagStatus == "any" && i < len(p.Rules)-1 {
			return p, fmt.Errorf("rule %d: tagStatus any must have the highest priority number", r.Priority)
		}
	}
	return p, nil
}

func (r rule) check() error {
	s := r.Selection
	named := len(s.Prefixes) + len(s.Patterns)
	switch {
	case r.Priority < 1:
		return errors.New("rulePriority must be 1 or more")
	case r.Action.Type != "expire":
		return fmt.Errorf("action type %q is not expire", r.Action.Type)
	case s.TagStatus != "tagged" && s.TagStatus != "untagged" && s.TagStatus != "any":
		return fmt.Errorf("tagStatus %q is not tagged, untagged or any", s.TagStatus)
	case s.TagStatus == "tagged" && (named == 0 || len(s.Prefixes) > 0 && len(s.Patterns) > 0):
		return errors.New("tagStatus tagged needs one of tagPrefixList and tagPatternList")
	case s.TagStatus != "tagged" && named > 0:
		return errors.New("tagPrefixList and tagPatternList are for tagStatus tagged")
	case slices.Contains(append(slices.Clone(s.Prefixes), s.Patterns...), ""):
		return errors.New("a prefix or pattern of tags is empty")
	case s.Count < 1:
		return errors.New("countNumber must be 1 or more")
	case s.CountType == "imageCountMoreThan" && s.CountUnit == "", s.CountType == "sinceImagePushed" && s.CountUnit == "days":
		return nil
	case s.CountType == "imageCountMoreThan":
		return errors.New("imageCountMoreThan has no countUnit")
	case s.CountType == "sinceImagePushed":
		return errors.New("sinceImagePushed needs countUnit days")
	}
	return fmt.Errorf("countType %q is not imageCountMoreThan or sinceImagePushed", s.CountType)
}

// matches tells whether a rule is about an image: of several prefixes or
// patterns the image must have a tag for each.
func (r rule) matches(im registry.Image) bool {
	switch r.Selection.TagStatus {
	case "untagged":
		return len(im.Tags) == 0
	case "any":
		return true
	}
	for _, prefix := range r.Selection.Prefixes {
		if !slices.ContainsFunc(im.Tags, func(tag string) bool { return strings.HasPrefix(tag, prefix) }) {
			return false
		}
	}
	for _, pattern := range r.Selection.Patterns {
		if !slices.ContainsFunc(im.Tags, func(tag string) bool { return wildcard(pattern, tag) }) {
			return false
		}
	}
	return len(im.Tags) > 0
}

// expired is the whole of lifecycle policies: the digests of the images to be
// removed. A rule looks at all images that match it, and removes none that
// matches a rule before it. Images of an index that stays, stay with it.
func (p policy) expired(images []registry.Image, now time.Time) []string {
	newest := slices.SortedStableFunc(slices.Values(images), func(a, b registry.Image) int { return b.Pushed.Compare(a.Pushed) })
	taken, gone := map[string]bool{}, map[string]bool{}
	for _, r := range p.Rules {
		n := 0
		var matched []string
		for _, im := range newest {
			if !r.matches(im) {
				continue
			}
			n++
			old := n > r.Selection.Count
			if r.Selection.CountType == "sinceImagePushed" {
				old = now.Sub(im.Pushed) > time.Duration(r.Selection.Count)*24*time.Hour
			}
			if old && !taken[im.Digest] {
				gone[im.Digest] = true
			}
			matched = append(matched, im.Digest)
		}
		for _, d := range matched {
			taken[d] = true
		}
	}
	for _, im := range images {
		if !gone[im.Digest] {
			for _, part := range im.Images {
				delete(gone, part)
			}
		}
	}
	var out []string
	for _, im := range images {
		if gone[im.Digest] {
			out = append(out, im.Digest)
		}
	}
	// An index goes before the images in it.
	slices.SortStableFunc(out, func(a, b string) int {
		index := func(d string) int {
			if slices.ContainsFunc(images, func(im registry.Image) bool { return im.Digest == d && len(im.Images) > 0 }) {
				return 0
			}
			return 1
		}
		return index(a) - index(b)
	})
	return out
}

// Pushed is told of images that have come; Run then applies the repository's
// lifecycle policy. It does not wait.
func (s *Service) Pushed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushed[name] = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) takePushed() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.pushed
	s.pushed = map[string]bool{}
	return names
}

// lifecycleEvery is how often policies are applied where nothing is pushed.
const lifecycleEvery = time.Hour

// Run applies lifecycle policies after pushes and every hour, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if s.store == nil {
		<-ctx.Done()
		return nil
	}
	every := time.NewTicker(lifecycleEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			for name := range s.takePushed() {
				s.tidy(ctx, name)
			}
		case <-every.C:
			all, err := s.all(ctx, s.account)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("lifecycle policies not applied", "err", err)
			}
			for _, f := range all {
				if f.own != nil {
					s.tidy(ctx, f.name)
				}
			}
		}
	}
}

// tidy applies the lifecycle policy of a repository and logs what went wrong.
func (s *Service) tidy(ctx context.Context, name string) {
	n, err := s.applyLifecycle(ctx, name)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("lifecycle policy not applied", "name", name, "err", err)
	}
	if n > 0 {
		s.log.Info("images expired", "name", name, "images", n)
	}
}

// applyLifecycle removes the images that the repository's policy says, if there
// are repository and policy, and tells how many those were.
func (s *Service) applyLifecycle(ctx context.Context, name string) (n int, err error) {
	f, err := s.find(ctx, name, s.account)
	if fault.Of(err) != nil || err == nil && f.own.more.Lifecycle == "" {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	p, err := parsePolicy(f.own.more.Lifecycle)
	if err != nil {
		return 0, fmt.Errorf("read lifecycle policy: %w", err)
	}
	images, err := s.images(ctx, f)
	if err != nil {
		return 0, err
	}
	for _, d := range p.expired(images, s.now()) {
		seen := images[slices.IndexFunc(images, func(im registry.Image) bool { return im.Digest == d })]
		same := func(im registry.Image) bool { return slices.Equal(im.Tags, seen.Tags) } // else a push has just tagged it
		if err := s.store.Remove(ctx, name, d, same); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return n, err
		}
		n++
	}
	_, err = s.edit(ctx, name, s.account, func(r *record) error {
		r.more.Evaluated = s.now()
		return nil
	})
	return n, err
}

// putLifecyclePolicy is API_PutLifecyclePolicy; it is applied soon.
func (s *Service) putLifecyclePolicy(ctx context.Context, in *wecr.PutLifecyclePolicyInput) (*wecr.PutLifecyclePolicyOutput, error) {
	if _, err := parsePolicy(in.LifecyclePolicyText); err != nil {
		return nil, invalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: %v'", err)
	}
	_, err := s.edit(ctx, in.RepositoryName, in.RegistryId, func(r *record) error {
		r.more.Lifecycle, r.more.Evaluated = in.LifecyclePolicyText, time.Time{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.Pushed(in.RepositoryName)
	return &wecr.PutLifecyclePolicyOutput{RegistryId: s.account, RepositoryName: in.RepositoryName, LifecyclePolicyText: in.LifecyclePolicyText}, nil
}

func (s *Service) noLifecycle(name string) error {
	return fault.New("LifecyclePolicyNotFoundException", http.StatusBadRequest,
		"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", name, s.account)
}

func at(t time.Time) (w wire.Time) {
	if !t.IsZero() {
		w = wire.At(t)
	}
	return w
}

// getLifecyclePolicy is API_GetLifecyclePolicy.
func (s *Service) getLifecyclePolicy(ctx context.Context, in *wecr.GetLifecyclePolicyInput) (*wecr.GetLifecyclePolicyOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	if f.own.more.Lifecycle == "" {
		return nil, s.noLifecycle(f.name)
	}
	return &wecr.GetLifecyclePolicyOutput{RegistryId: s.account, RepositoryName: f.name,
		LifecyclePolicyText: f.own.more.Lifecycle, LastEvaluatedAt: at(f.own.more.Evaluated)}, nil
}

// deleteLifecyclePolicy is API_DeleteLifecyclePolicy; it answers what there was.
func (s *Service) deleteLifecyclePolicy(ctx context.Context, in *wecr.DeleteLifecyclePolicyInput) (*wecr.DeleteLifecyclePolicyOutput, error) {
	out := &wecr.DeleteLifecyclePolicyOutput{RegistryId: s.account, RepositoryName: in.RepositoryName}
	_, err := s.edit(ctx, in.RepositoryName, in.RegistryId, func(r *record) error {
		if r.more.Lifecycle == "" {
			return s.noLifecycle(in.RepositoryName)
		}
		out.LifecyclePolicyText, out.LastEvaluatedAt = r.more.Lifecycle, at(r.more.Evaluated)
		r.more.Lifecycle, r.more.Evaluated = "", time.Time{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
