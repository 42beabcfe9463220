// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/registry"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

func policyOf(rules ...string) string { return `{"rules":[` + strings.Join(rules, ",") + `]}` }

const (
	untaggedOverOne = `{"rulePriority":1,"description":"few","selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}`
	untaggedOverDay = `{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}`
	devOverOne      = `{"rulePriority":2,"selection":{"tagStatus":"tagged","tagPrefixList":["dev"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}`
	devAndTest      = `{"rulePriority":2,"selection":{"tagStatus":"tagged","tagPrefixList":["dev","test"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}`
	rcPattern       = `{"rulePriority":3,"selection":{"tagStatus":"tagged","tagPatternList":["*-rc*"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}`
	anyOverTwo      = `{"rulePriority":9,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":2},"action":{"type":"expire"}}`
)

func TestWhatExpires(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	im := func(digest string, hours int, tags ...string) registry.Image {
		return registry.Image{Digest: digest, Pushed: now.Add(-time.Duration(hours) * time.Hour), Tags: tags}
	}
	index := im("index", 1, "both")
	index.Images = []string{"a"}
	oldIndex := im("index", 100)
	oldIndex.Images = []string{"a"}
	for _, tt := range []struct {
		name   string
		rules  []string
		images []registry.Image
		want   string
	}{
		{"the newest untagged one stays", []string{untaggedOverOne}, []registry.Image{im("a", 3), im("b", 1), im("c", 2), im("d", 9, "v1")}, "a c"},
		{"a day after its push", []string{untaggedOverDay}, []registry.Image{im("a", 24), im("b", 25), im("c", 99, "v1")}, "b"},
		{"tags of one prefix", []string{devOverOne}, []registry.Image{im("a", 1, "dev-1"), im("b", 2, "v1", "dev-2"), im("c", 3, "v0")}, "b"},
		{"several prefixes must all be there", []string{devAndTest}, []registry.Image{im("a", 50, "dev-1"), im("b", 50, "dev-2", "test-2"), im("c", 1, "dev-3", "test-3")}, "b"},
		{"a pattern", []string{rcPattern}, []registry.Image{im("a", 50, "1.0-rc1"), im("b", 50, "1.0")}, "a"},
		{"any", []string{anyOverTwo}, []registry.Image{im("a", 1), im("b", 2, "v1"), im("c", 3), im("d", 4, "v2")}, "c d"},
		{"a rule spares what one before it looks after", []string{anyOverTwo, devOverOne}, []registry.Image{im("a", 1), im("b", 2), im("c", 3, "dev-1"), im("d", 4)}, "d"},
		{"and counts it all the same", []string{anyOverTwo, untaggedOverOne}, []registry.Image{im("a", 3), im("b", 4), im("c", 5, "v1")}, "b c"},
		{"an index keeps its images", []string{untaggedOverDay}, []registry.Image{im("a", 100), index}, ""},
		{"and goes before them", []string{untaggedOverDay}, []registry.Image{im("a", 100), oldIndex}, "index a"},
		{"nothing of nothing", []string{anyOverTwo}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parsePolicy(policyOf(tt.rules...))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.expired(tt.images, now), " "); got != tt.want {
				t.Errorf("%q expire", got)
			}
		})
	}
}

func TestPoliciesAreChecked(t *testing.T) {
	change := func(old, with string) string { return policyOf(strings.Replace(devOverOne, old, with, 1)) }
	for text, want := range map[string]string{
		"x":                              "invalid character",
		"{}":                             "no rules",
		`{"rules":[],"more":1}`:          "unknown field",
		policyOf(devOverOne) + "{}":      "more than one",
		policyOf(devOverOne, devOverOne): "another's",
		policyOf(anyOverTwo, strings.Replace(devOverOne, ":2", ":10", 1)): "highest",
		change(":2", ":0"):                                          "rulePriority",
		change("expire", "transition"):                              "transition",
		change(`"tagged"`, `"some"`):                                "tagStatus",
		change(`"tagged"`, `"untagged"`):                            "are for tagStatus tagged",
		change(`"tagPrefixList":["dev"],`, ""):                      "needs one of",
		change(`["dev"]`, `[""]`):                                   "is empty",
		change(`"countNumber":1`, `"countNumber":0`):                "countNumber",
		change(`"countNumber"`, `"countUnit":"days","countNumber"`): "no countUnit",
		change("imageCountMoreThan", "sinceImagePushed"):            "needs countUnit",
		change("imageCountMoreThan", "sinceImagePulled"):            "countType",
	} {
		if _, err := parsePolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestAPolicyIsAppliedAfterAPush shows the loop at work, without waiting for its
// hour.
func TestAPolicyIsAppliedAfterAPush(t *testing.T) {
	b := freshOwn(t)
	uri := b.create(t, "mine").RepositoryUri
	get := wecr.GetLifecyclePolicyInput{RepositoryName: "mine"}
	refused(t, b.bench, wecr.GetLifecyclePolicy, get, "LifecyclePolicyNotFoundException", "'mine'")
	refused(t, b.bench, wecr.PutLifecyclePolicy, wecr.PutLifecyclePolicyInput{RepositoryName: "mine", LifecyclePolicyText: strings.Repeat(" ", 100)},
		"InvalidParameterException", "Lifecycle policy validation failure")
	text := policyOf(strings.Replace(devOverOne, ":2", ":1", 1))
	call(t, b.bench, wecr.PutLifecyclePolicy, wecr.PutLifecyclePolicyInput{RepositoryName: "mine", LifecyclePolicyText: text})
	if got := call(t, b.bench, wecr.GetLifecyclePolicy, get); got.LifecyclePolicyText != text || !got.LastEvaluatedAt.IsZero() {
		t.Errorf("got %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.push(t, uri+":dev-1", image1(t))
	b.push(t, uri+":v1", image1(t))
	b.push(t, uri+":dev-2", image1(t))
	var tags []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		tags = nil
		for _, id := range call(t, b.bench, wecr.ListImages, wecr.ListImagesInput{RepositoryName: "mine"}).ImageIds {
			tags = append(tags, id.ImageTag)
		}
		slices.Sort(tags)
		if slices.Equal(tags, []string{"dev-2", "v1"}) {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !slices.Equal(tags, []string{"dev-2", "v1"}) {
		t.Errorf("left %q", tags)
	}
	if got := call(t, b.bench, wecr.DeleteLifecyclePolicy, wecr.DeleteLifecyclePolicyInput{RepositoryName: "mine"}); got.LifecyclePolicyText != text || got.LastEvaluatedAt.IsZero() {
		t.Errorf("got %+v", got)
	}
	refused(t, b.bench, wecr.DeleteLifecyclePolicy, wecr.DeleteLifecyclePolicyInput{RepositoryName: "mine"}, "LifecyclePolicyNotFoundException", "'mine'")
	if n, err := b.applyLifecycle(t.Context(), "mine"); n != 0 || err != nil {
		t.Errorf("without a policy %d images go, %v", n, err)
	}
	if n, err := b.applyLifecycle(t.Context(), "none"); n != 0 || err != nil {
		t.Errorf("without a repository %d images go, %v", n, err)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(policyOf(untaggedOverOne, devAndTest, anyOverTwo))
	f.Add(`{"rules":[{"rulePriority":1}]}`)
	images := []registry.Image{{Digest: "a"}, {Digest: "b", Tags: []string{"dev-1"}}, {Digest: "c", Images: []string{"a"}}}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy(text)
		if err != nil {
			return
		}
		gone := p.expired(images, time.Now())
		if slices.Contains(gone, "a") && !slices.Contains(gone, "c") {
			t.Errorf("an image goes before its index: %q", gone)
		}
	})
}
