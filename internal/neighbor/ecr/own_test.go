// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

const account = "123456789012"

// pushing is a bench whose registry can be pushed to.
type pushing struct {
	*bench
	host string
	auth remote.Option
}

func freshOwn(t *testing.T) *pushing {
	t.Helper()
	store, err := registry.New(registry.Options{Objects: mem.New(), Bucket: "images", Dir: filepath.Join(t.TempDir(), "uploads")})
	if err != nil {
		t.Fatal(err)
	}
	db := memstore.New()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		store.Close()
		db.Close()
	})
	b := &pushing{bench: &bench{table: op.New(), clock: time.Now()}, host: strings.TrimPrefix(server.URL, "http://")}
	b.Service, err = New(Options{Endpoint: server.URL, DB: db, Account: account, Images: store, Now: func() time.Time { return b.clock },
		Repositories: []Repository{{"246618743249", "sagemaker-xgboost", []string{"1.7-1"}}, {"174872318107", "kmeans", []string{"1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	b.Install(b.table)
	mux.Handle("/v2/", store.Handler(b.Service))
	token := call(t, b.bench, wecr.GetAuthorizationToken, wecr.GetAuthorizationTokenInput{}).AuthorizationData[0].AuthorizationToken
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(raw), ":")
	b.auth = remote.WithAuth(&authn.Basic{Username: user, Password: password})
	return b
}

func (b *pushing) create(t *testing.T, name string) *wecr.Repository {
	t.Helper()
	return call(t, b.bench, wecr.CreateRepository, wecr.CreateRepositoryInput{RepositoryName: name}).Repository
}

func (b *pushing) push(t *testing.T, uri string, im v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(uri)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, im, b.auth); err != nil {
		t.Fatal(err)
	}
	h, err := im.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func image1(t *testing.T) v1.Image {
	t.Helper()
	im, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestARepositoryFromCreateToDelete(t *testing.T) {
	b := freshOwn(t)
	r := call(t, b.bench, wecr.CreateRepository, wecr.CreateRepositoryInput{RepositoryName: "team/mine", Tags: []wecr.Tag{{Key: "for", Value: "test"}}}).Repository
	if r.RepositoryUri != b.host+"/team/mine" || r.RepositoryArn != "arn:aws:ecr:us-west-2:123456789012:repository/team/mine" ||
		r.RegistryId != account || r.ImageTagMutability != "MUTABLE" || r.EncryptionConfiguration.EncryptionType != "AES256" || r.CreatedAt.IsZero() {
		t.Errorf("created %+v", r)
	}
	refused(t, b.bench, wecr.CreateRepository, wecr.CreateRepositoryInput{RepositoryName: "team/mine"}, "RepositoryAlreadyExistsException",
		"The repository with name 'team/mine' already exists in the registry with id '123456789012'")
	refused(t, b.bench, wecr.CreateRepository, wecr.CreateRepositoryInput{RepositoryName: "other", RegistryId: "246618743249"}, "InvalidParameterException", "registryId")
	refused(t, b.bench, wecr.CreateRepository, wecr.CreateRepositoryInput{RepositoryName: "Upper"}, "ValidationException", "repositoryName")

	// One of the name of a built-in one is found before it, and only in its own registry.
	b.create(t, "kmeans")
	var names []string
	in := wecr.DescribeRepositoriesInput{MaxResults: new(int64(2))}
	for {
		out := call(t, b.bench, wecr.DescribeRepositories, in)
		for _, r := range out.Repositories {
			names = append(names, r.RegistryId+"/"+r.RepositoryName)
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "123456789012/kmeans 174872318107/kmeans 246618743249/sagemaker-xgboost 123456789012/team/mine" {
		t.Errorf("listed %s", got)
	}
	for registry, want := range map[string]string{"": account, account: account, "174872318107": "174872318107"} {
		if got := call(t, b.bench, wecr.DescribeRepositories, wecr.DescribeRepositoriesInput{RegistryId: registry, RepositoryNames: []string{"kmeans"}}).Repositories[0]; got.RegistryId != want {
			t.Errorf("kmeans of %q is %s's", registry, got.RegistryId)
		}
	}

	want := b.push(t, r.RepositoryUri+":v1", image1(t))
	d := call(t, b.bench, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: "team/mine"}).ImageDetails
	if len(d) != 1 || d[0].ImageDigest != want || !slices.Equal(d[0].ImageTags, []string{"v1"}) || *d[0].ImageSizeInBytes < 4096 || d[0].ImagePushedAt.IsZero() {
		t.Errorf("described %+v", d)
	}
	got := call(t, b.bench, wecr.BatchGetImage, wecr.BatchGetImageInput{RepositoryName: "team/mine", ImageIds: []wecr.ImageIdentifier{{ImageTag: "v1"}, {ImageTag: "none"}}})
	if len(got.Images) != 1 || digest.FromString(got.Images[0].ImageManifest).String() != want || got.Images[0].ImageId.ImageTag != "v1" || len(got.Failures) != 1 {
		t.Errorf("got %+v", got)
	}
	refused(t, b.bench, wecr.DeleteRepository, wecr.DeleteRepositoryInput{RepositoryName: "team/mine"}, "RepositoryNotEmptyException", "still contains images")
	call(t, b.bench, wecr.DeleteRepository, wecr.DeleteRepositoryInput{RepositoryName: "team/mine", Force: new(true)})
	refused(t, b.bench, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: "team/mine"}, "RepositoryNotFoundException", "'team/mine'")
	refused(t, b.bench, wecr.DeleteRepository, wecr.DeleteRepositoryInput{RepositoryName: "team/mine"}, "RepositoryNotFoundException", "'team/mine'")
	ref, err := name.ParseReference(b.host + "/team/mine:v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref, b.auth); err == nil || !strings.Contains(err.Error(), "The repository with name 'team/mine' does not exist in the registry with id '123456789012'") {
		t.Errorf("pulled: %v", err)
	}
	// A new one of the name is empty.
	b.create(t, "team/mine")
	if d := call(t, b.bench, wecr.DescribeImages, wecr.DescribeImagesInput{RepositoryName: "team/mine"}).ImageDetails; len(d) != 0 {
		t.Errorf("described %+v", d)
	}
	refused(t, b.bench, wecr.DeleteRepository, wecr.DeleteRepositoryInput{RepositoryName: "sagemaker-xgboost"}, "InvalidParameterException", "built in")
}

func TestImagesAreListedTaggedAndDeleted(t *testing.T) {
	b := freshOwn(t)
	uri := b.create(t, "mine").RepositoryUri
	one, two := image1(t), image1(t)
	d1 := b.push(t, uri+":v1", one)
	b.push(t, uri+":latest", one)
	d2 := b.push(t, uri+":v2", two)
	raw := call(t, b.bench, wecr.BatchGetImage, wecr.BatchGetImageInput{RepositoryName: "mine", ImageIds: []wecr.ImageIdentifier{{ImageTag: "v2"}}}).Images[0].ImageManifest

	put := call(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "stable", ImageManifest: raw}).Image
	if put.ImageId.ImageDigest != d2 || put.ImageId.ImageTag != "stable" || put.ImageManifestMediaType == "" {
		t.Errorf("put %+v", put)
	}
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "stable", ImageManifest: raw}, "ImageAlreadyExistsException", "Image with digest '"+d2+"' and tag 'stable'")
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "x", ImageManifest: raw, ImageDigest: d1}, "ImageDigestDoesNotMatchException", d1)
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "x", ImageManifest: "{}"}, "InvalidParameterException", "ImageManifest")
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "no tag", ImageManifest: raw}, "InvalidParameterException", "imageTag")
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "sagemaker-xgboost", ImageTag: "x", ImageManifest: raw}, "InvalidParameterException", "built in")
	foreign, err := image1(t).RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "x", ImageManifest: string(foreign)}, "LayersNotFoundException", "layers")

	list := func(status string) (out []string) {
		in := wecr.ListImagesInput{RepositoryName: "mine", MaxResults: new(int64(1)), Filter: &wecr.ListImagesFilter{TagStatus: status}}
		for {
			page := call(t, b.bench, wecr.ListImages, in)
			for _, id := range page.ImageIds {
				out = append(out, id.ImageTag)
			}
			if in.NextToken = page.NextToken; in.NextToken == "" {
				slices.Sort(out)
				return out
			}
		}
	}
	if got := list("ANY"); !slices.Equal(got, []string{"latest", "stable", "v1", "v2"}) {
		t.Errorf("listed %q", got)
	}
	if got := list("UNTAGGED"); len(got) != 0 {
		t.Errorf("untagged %q", got)
	}
	b.push(t, uri+":v1", two) // takes the tag from the first
	out := call(t, b.bench, wecr.BatchDeleteImage, wecr.BatchDeleteImageInput{RepositoryName: "mine", ImageIds: []wecr.ImageIdentifier{
		{ImageTag: "stable"}, {ImageTag: "latest"}, {ImageTag: "latest"}, {ImageDigest: "sha256:0"}, {}, {ImageTag: "v1", ImageDigest: d1}}})
	if len(out.ImageIds) != 2 || out.ImageIds[0] != (wecr.ImageIdentifier{ImageDigest: d2, ImageTag: "stable"}) || out.ImageIds[1].ImageDigest != d1 {
		t.Errorf("deleted %+v", out.ImageIds)
	}
	var codes []string
	for _, f := range out.Failures {
		codes = append(codes, f.FailureCode)
	}
	if !slices.Equal(codes, []string{"ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag", "ImageTagDoesNotMatchDigest"}) {
		t.Errorf("failures %q", codes)
	}
	out = call(t, b.bench, wecr.BatchDeleteImage, wecr.BatchDeleteImageInput{RepositoryName: "mine", ImageIds: []wecr.ImageIdentifier{{ImageDigest: d2}}})
	if len(out.ImageIds) != 2 || len(out.Failures) != 0 {
		t.Errorf("deleted %+v", out)
	}
	if got := list("ANY"); len(got) != 0 {
		t.Errorf("left %q", got)
	}

	// What an index holds is not deleted before it.
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one})
	ref, err := name.ParseReference(uri + ":both")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index, b.auth); err != nil {
		t.Fatal(err)
	}
	out = call(t, b.bench, wecr.BatchDeleteImage, wecr.BatchDeleteImageInput{RepositoryName: "mine", ImageIds: []wecr.ImageIdentifier{{ImageDigest: d1}, {ImageTag: "both"}, {ImageDigest: d1}}})
	if len(out.Failures) != 1 || out.Failures[0].FailureCode != "ImageReferencedByManifestList" || len(out.ImageIds) != 2 {
		t.Errorf("deleted %+v", out)
	}
}

func TestImmutableTags(t *testing.T) {
	b := freshOwn(t)
	uri := b.create(t, "mine").RepositoryUri
	one, two := image1(t), image1(t)
	b.push(t, uri+":v1", one)
	b.push(t, uri+":dev-1", one)
	out := call(t, b.bench, wecr.PutImageTagMutability, wecr.PutImageTagMutabilityInput{RepositoryName: "mine", ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION",
		ImageTagMutabilityExclusionFilters: []wecr.ImageTagMutabilityExclusionFilter{{FilterType: "WILDCARD", Filter: "dev*"}}})
	if out.ImageTagMutability != "IMMUTABLE_WITH_EXCLUSION" || len(out.ImageTagMutabilityExclusionFilters) != 1 {
		t.Errorf("got %+v", out)
	}
	ref, err := name.ParseReference(uri + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, two, b.auth); err == nil || !strings.Contains(err.Error(), "The image tag 'v1' already exists in the 'mine' repository and cannot be overwritten") {
		t.Errorf("pushed: %v", err)
	}
	b.push(t, uri+":dev-1", two)
	raw := call(t, b.bench, wecr.BatchGetImage, wecr.BatchGetImageInput{RepositoryName: "mine", ImageIds: []wecr.ImageIdentifier{{ImageTag: "dev-1"}}}).Images[0].ImageManifest
	refused(t, b.bench, wecr.PutImage, wecr.PutImageInput{RepositoryName: "mine", ImageTag: "v1", ImageManifest: raw}, "ImageTagAlreadyExistsException", "'v1'")
	refused(t, b.bench, wecr.PutImageTagMutability, wecr.PutImageTagMutabilityInput{RepositoryName: "mine", ImageTagMutability: "IMMUTABLE",
		ImageTagMutabilityExclusionFilters: []wecr.ImageTagMutabilityExclusionFilter{{FilterType: "WILDCARD", Filter: "dev*"}}}, "InvalidParameterException", "imageTagMutabilityExclusionFilters")
	refused(t, b.bench, wecr.PutImageTagMutability, wecr.PutImageTagMutabilityInput{RepositoryName: "none", ImageTagMutability: "IMMUTABLE"}, "RepositoryNotFoundException", "'none'")
	for _, tt := range []struct {
		kind, tag string
		want      bool
	}{{"MUTABLE", "v1", false}, {"IMMUTABLE", "dev-1", true}, {"IMMUTABLE_WITH_EXCLUSION", "dev-1", false}, {"IMMUTABLE_WITH_EXCLUSION", "v1", true},
		{"MUTABLE_WITH_EXCLUSION", "dev-1", true}, {"MUTABLE_WITH_EXCLUSION", "v1", false}} {
		r := record{doc: wecr.Repository{ImageTagMutability: tt.kind, ImageTagMutabilityExclusionFilters: []wecr.ImageTagMutabilityExclusionFilter{{Filter: "dev*"}}}}
		if got := r.immutable(tt.tag); got != tt.want {
			t.Errorf("%s in %s: %v", tt.tag, tt.kind, got)
		}
	}
}

func TestLayers(t *testing.T) {
	b := freshOwn(t)
	im := image1(t)
	b.push(t, b.create(t, "mine").RepositoryUri+":v1", im)
	layers, err := im.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	there, nowhere := h.String(), digest.FromString("nowhere").String()
	out := call(t, b.bench, wecr.BatchCheckLayerAvailability, wecr.BatchCheckLayerAvailabilityInput{RepositoryName: "mine", LayerDigests: []string{there, nowhere, "x"}})
	if len(out.Layers) != 2 || out.Layers[0].LayerAvailability != "AVAILABLE" || *out.Layers[0].LayerSize < 2048 || out.Layers[1].LayerAvailability != "UNAVAILABLE" ||
		len(out.Failures) != 1 || out.Failures[0].FailureCode != "InvalidLayerDigest" {
		t.Errorf("got %+v", out)
	}
	url := call(t, b.bench, wecr.GetDownloadUrlForLayer, wecr.GetDownloadUrlForLayerInput{RepositoryName: "mine", LayerDigest: there}).DownloadUrl
	get := func(url string) (int, string) {
		a, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, digest.FromBytes(body).String()
	}
	if code, d := get(url); code != 200 || d != there {
		t.Errorf("downloaded %d, %s", code, d)
	}
	other, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := get(strings.Replace(url, there, other.String(), 1)); code != 401 {
		t.Errorf("the URL of another layer is answered %d", code)
	}
	b.clock = b.clock.Add(time.Hour + time.Second)
	if code, _ := get(url); code != 401 {
		t.Errorf("after an hour it is answered %d", code)
	}
	refused(t, b.bench, wecr.GetDownloadUrlForLayer, wecr.GetDownloadUrlForLayerInput{RepositoryName: "mine", LayerDigest: nowhere}, "LayersNotFoundException", nowhere)
}

func TestPoliciesAndTagsAreKept(t *testing.T) {
	b := freshOwn(t)
	at := b.create(t, "mine").RepositoryArn
	repo := wecr.GetRepositoryPolicyInput{RepositoryName: "mine"}
	refused(t, b.bench, wecr.GetRepositoryPolicy, repo, "RepositoryPolicyNotFoundException", "'mine'")
	refused(t, b.bench, wecr.SetRepositoryPolicy, wecr.SetRepositoryPolicyInput{RepositoryName: "mine", PolicyText: "x"}, "InvalidParameterException", "PolicyText")
	const policy = `{"Version":"2012-10-17","Statement":[]}`
	call(t, b.bench, wecr.SetRepositoryPolicy, wecr.SetRepositoryPolicyInput{RepositoryName: "mine", PolicyText: policy})
	if got := call(t, b.bench, wecr.GetRepositoryPolicy, repo); got.PolicyText != policy || got.RegistryId != account {
		t.Errorf("got %+v", got)
	}
	if got := call(t, b.bench, wecr.DeleteRepositoryPolicy, wecr.DeleteRepositoryPolicyInput{RepositoryName: "mine"}); got.PolicyText != policy {
		t.Errorf("got %+v", got)
	}
	refused(t, b.bench, wecr.DeleteRepositoryPolicy, wecr.DeleteRepositoryPolicyInput{RepositoryName: "mine"}, "RepositoryPolicyNotFoundException", "'mine'")

	call(t, b.bench, wecr.TagResource, wecr.TagResourceInput{ResourceArn: at, Tags: []wecr.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}})
	call(t, b.bench, wecr.UntagResource, wecr.UntagResourceInput{ResourceArn: strings.Replace(at, "us-west-2", "eu-west-1", 1), TagKeys: []string{"b", "none"}})
	if got := call(t, b.bench, wecr.ListTagsForResource, wecr.ListTagsForResourceInput{ResourceArn: at}).Tags; !slices.Equal(got, []wecr.Tag{{Key: "a", Value: "1"}}) {
		t.Errorf("tags %+v", got)
	}
	refused(t, b.bench, wecr.TagResource, wecr.TagResourceInput{ResourceArn: at, Tags: []wecr.Tag{{Key: "aws:x", Value: "1"}}}, "InvalidTagParameterException", "aws:")
	refused(t, b.bench, wecr.ListTagsForResource, wecr.ListTagsForResourceInput{ResourceArn: at + "x"}, "RepositoryNotFoundException", "'minex'")
	refused(t, b.bench, wecr.ListTagsForResource, wecr.ListTagsForResourceInput{ResourceArn: "x"}, "InvalidParameterException", "resourceArn")
	many := make([]wecr.Tag, 51)
	for i := range many {
		many[i] = wecr.Tag{Key: strings.Repeat("k", i+1)}
	}
	refused(t, b.bench, wecr.TagResource, wecr.TagResourceInput{ResourceArn: at, Tags: many}, "TooManyTagsException", "51")
	if got := call(t, b.bench, wecr.DescribeRegistry, wecr.DescribeRegistryInput{}); got.RegistryId != account {
		t.Errorf("got %+v", got)
	}
}

func TestWhichHostsAreOurs(t *testing.T) {
	for endpoint, hosts := range map[string]string{
		"http://127.0.0.1:8080":   "+127.0.0.1:8080 +localhost:8080 -localhost:8081 -localhost -10.0.0.1:8080 +123456789012.dkr.ecr.us-west-2.amazonaws.com -246618743249.dkr.ecr.us-west-2.amazonaws.com -index.docker.io",
		"https://box.example:443": "+box.example:443 -127.0.0.1:443 -localhost:443",
		"http://0.0.0.0:8080":     "+localhost:8080 +0.0.0.0:8080",
	} {
		s, err := New(Options{Endpoint: endpoint, Account: account})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range strings.Fields(hosts) {
			if got := s.Own(h[1:]); got != (h[0] == '+') {
				t.Errorf("%s is ours at %s: %v", h[1:], endpoint, got)
			}
		}
	}
}
