// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

var (
	start  = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	caller = auth.WithCaller(context.Background(), auth.Caller{Account: "123456789012", Region: "us-west-2"})
)

type bench struct {
	*Service
	table *op.Table
	clock time.Time
}

func fresh(t *testing.T) *bench {
	t.Helper()
	b := &bench{table: op.New(), clock: start}
	s, err := New(Options{Endpoint: "http://127.0.0.1:8080", Now: func() time.Time { return b.clock }, Repositories: []Repository{
		{"246618743249", "sagemaker-xgboost", []string{"1.7-1", "1.5-1"}}, {"174872318107", "kmeans", []string{"1"}}, {"999999999999", "kmeans", []string{"1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Install(b.table)
	b.Service = s
	return b
}

func call[I, O any](t *testing.T, b *bench, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(caller, b.table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused[I, O any](t *testing.T, b *bench, o wire.Op[I, O], in I, code, text string) {
	t.Helper()
	_, err := op.Call(caller, b.table, o, &in)
	if f := fault.Of(err); f == nil || f.Code != code || f.Status != 400 || !strings.Contains(f.Message, text) {
		t.Errorf("%s answers %v, want %s with %q", o, err, code, text)
	}
}

func TestTokens(t *testing.T) {
	b := fresh(t)
	out := call(t, b, wecr.GetAuthorizationToken, wecr.GetAuthorizationTokenInput{RegistryIds: []string{"246618743249", "174872318107"}})
	a := out.AuthorizationData[0]
	raw, err := base64.StdEncoding.DecodeString(a.AuthorizationToken)
	user, password, _ := strings.Cut(string(raw), ":")
	if err != nil || user != "AWS" || len(out.AuthorizationData) != 2 || a.ProxyEndpoint != "http://127.0.0.1:8080" || !a.ExpiresAt.Equal(start.Add(12*time.Hour)) {
		t.Errorf("got %+v, %q", a, raw)
	}
	for _, tt := range []struct {
		name, user, password string
		after                time.Duration
		want                 bool
	}{
		{"at once", user, password, 0, true},
		{"to its end", user, password, 12*time.Hour - time.Second, true},
		{"not beyond", user, password, 12 * time.Hour, false},
		{"not to another user", "root", password, 0, false},
		{"not when it is changed", user, password[:len(password)-4] + "AAAA", 0, false},
		{"not when it is none", user, "x", 0, false},
	} {
		b.clock = start.Add(tt.after)
		if got := b.Admits(tt.user, tt.password); got != tt.want {
			t.Errorf("it admits %s: %v", tt.name, got)
		}
	}
	b.clock = start
	if fresh(t).Admits(user, password) {
		t.Error("another server's token is admitted")
	}
	refused(t, b, wecr.GetAuthorizationToken, wecr.GetAuthorizationTokenInput{RegistryIds: make([]string, 11)}, "ValidationException", "length")
}

func TestRepositories(t *testing.T) {
	b := fresh(t)
	describe := wecr.DescribeRepositories
	for _, tt := range []struct {
		name string
		in   wecr.DescribeRepositoriesInput
		want string
	}{
		{"all", wecr.DescribeRepositoriesInput{}, "174872318107/kmeans 999999999999/kmeans 246618743249/sagemaker-xgboost"},
		{"one to a page", wecr.DescribeRepositoriesInput{MaxResults: new(int64(1))}, "174872318107/kmeans 999999999999/kmeans 246618743249/sagemaker-xgboost"},
		{"of a registry", wecr.DescribeRepositoriesInput{RegistryId: "246618743249"}, "246618743249/sagemaker-xgboost"},
		{"of a registry that has none", wecr.DescribeRepositoriesInput{RegistryId: "123456789012"}, ""},
		{"by name", wecr.DescribeRepositoriesInput{RegistryId: "999999999999", RepositoryNames: []string{"kmeans"}}, "999999999999/kmeans"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for {
				out := call(t, b, describe, tt.in)
				for _, r := range out.Repositories {
					got = append(got, r.RegistryId+"/"+r.RepositoryName)
				}
				if tt.in.NextToken = out.NextToken; out.NextToken == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
	r := call(t, b, describe, wecr.DescribeRepositoriesInput{RepositoryNames: []string{"sagemaker-xgboost"}}).Repositories[0]
	if r.RepositoryUri != "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost" || r.RepositoryArn != "arn:aws:ecr:us-west-2:246618743249:repository/sagemaker-xgboost" {
		t.Errorf("got %+v", r)
	}
	refused(t, b, describe, wecr.DescribeRepositoriesInput{RepositoryNames: []string{"none"}}, "RepositoryNotFoundException", "The repository with name 'none' does not exist in the registry with id '123456789012'")
	refused(t, b, describe, wecr.DescribeRepositoriesInput{RegistryId: "123456789012", RepositoryNames: []string{"kmeans"}}, "RepositoryNotFoundException", "'kmeans'")
	refused(t, b, describe, wecr.DescribeRepositoriesInput{NextToken: "!"}, "InvalidParameterException", "nextToken")
	refused(t, b, describe, wecr.DescribeRepositoriesInput{RepositoryNames: []string{"kmeans"}, MaxResults: new(int64(1))}, "InvalidParameterException", "repositoryNames")
}

func TestImages(t *testing.T) {
	b := fresh(t)
	const repo = "sagemaker-xgboost"
	want := Digest("246618743249", repo, "1.7-1")
	d := call(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, ImageIds: []wecr.ImageIdentifier{{ImageTag: "1.7-1"}}}).ImageDetails[0]
	if d.ImageDigest != want || d.ImageTags[0] != "1.7-1" || d.RegistryId != "246618743249" || !d.ImagePushedAt.Equal(start) {
		t.Errorf("got %+v", d)
	}
	tags := map[string]bool{}
	in := wecr.DescribeImagesInput{RepositoryName: repo, MaxResults: new(int64(1))}
	for {
		out := call(t, b, wecr.DescribeImages, in)
		for _, d := range out.ImageDetails {
			tags[d.ImageTags[0]] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	if len(tags) != 2 {
		t.Errorf("pages have %v", tags)
	}
	if out := call(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, Filter: &wecr.DescribeImagesFilter{TagStatus: "UNTAGGED"}}); len(out.ImageDetails) != 0 {
		t.Errorf("untagged images: %+v", out)
	}
	out := call(t, b, wecr.BatchGetImage, wecr.BatchGetImageInput{RepositoryName: repo, ImageIds: []wecr.ImageIdentifier{{ImageDigest: want}, {ImageTag: "none"}, {}, {ImageDigest: want, ImageTag: "1.5-1"}}})
	if len(out.Images) != 1 || digest.FromString(out.Images[0].ImageManifest).String() != want || out.Images[0].ImageId.ImageTag != "1.7-1" ||
		len(out.Failures) != 3 || out.Failures[0].FailureCode != "ImageNotFound" || out.Failures[0].ImageId.ImageTag != "none" || out.Failures[1].FailureCode != "MissingDigestAndTag" {
		t.Errorf("got %+v", out)
	}
	refused(t, b, wecr.BatchGetImage, wecr.BatchGetImageInput{RepositoryName: "none", ImageIds: []wecr.ImageIdentifier{{ImageTag: "x"}}}, "RepositoryNotFoundException", "'none'")
	refused(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: "none"}, "RepositoryNotFoundException", "'none'")
	refused(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, ImageIds: []wecr.ImageIdentifier{{ImageTag: "x"}}}, "ImageNotFoundException", "imageTag:'x'")
	refused(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, ImageIds: []wecr.ImageIdentifier{{}}}, "InvalidParameterException", "both tag and digest")
	refused(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, ImageIds: []wecr.ImageIdentifier{{ImageTag: "x"}}, MaxResults: new(int64(1))}, "InvalidParameterException", "imageIds")
	refused(t, b, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: repo, NextToken: "!"}, "InvalidParameterException", "nextToken")
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no endpoint is taken")
	}
	if _, err := New(Options{Endpoint: "x", Repositories: []Repository{{Name: "a"}, {Name: "a"}}}); err == nil {
		t.Error("a repository twice is taken")
	}
}
