// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// defaultPage is the page size of the listing operations.
const defaultPage = 100

// describeRepositories is API_DescribeRepositories, in the order of names.
// Without a registry it answers those of all, so that a user sees what this
// server can run.
func (s *Service) describeRepositories(ctx context.Context, in *wecr.DescribeRepositoriesInput) (*wecr.DescribeRepositoriesOutput, error) {
	out := &wecr.DescribeRepositoriesOutput{Repositories: []wecr.Repository{}}
	if len(in.RepositoryNames) > 0 {
		if in.NextToken != "" || in.MaxResults != nil {
			return nil, invalid("Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'must not be given with nextToken or maxResults'")
		}
		for _, name := range in.RepositoryNames {
			f, err := s.find(ctx, name, in.RegistryId)
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, s.shown(ctx, f))
		}
		return out, nil
	}
	chosen, err := s.all(ctx, in.RegistryId)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(chosen, func(a, b found) int { return strings.Compare(a.place(), b.place()) })
	places := make([]string, len(chosen))
	for i, f := range chosen {
		places[i] = f.place()
	}
	from, to, next, err := page(places, in.NextToken, in.MaxResults, defaultPage)
	if err != nil {
		return nil, err
	}
	for _, f := range chosen[from:to] {
		out.Repositories = append(out.Repositories, s.shown(ctx, f))
	}
	out.NextToken = next
	return out, nil
}

// shown is a repository as DescribeRepositories tells it. The URI of a user's is
// made anew each time: the server may listen elsewhere than when it was created.
func (s *Service) shown(ctx context.Context, f found) wecr.Repository {
	if f.own != nil {
		doc := f.own.doc
		doc.RepositoryUri = s.host + "/" + f.name
		return doc
	}
	region := auth.CallerFrom(ctx).Region
	return wecr.Repository{RepositoryArn: "arn:aws:ecr:" + region + ":" + f.account + ":repository/" + f.name, RegistryId: f.account, RepositoryName: f.name,
		RepositoryUri: f.account + ".dkr.ecr." + region + ".amazonaws.com/" + f.name, CreatedAt: wire.At(s.since), ImageTagMutability: "IMMUTABLE",
		ImageScanningConfiguration: &wecr.ImageScanningConfiguration{ScanOnPush: new(false)},
		EncryptionConfiguration:    &wecr.EncryptionConfiguration{EncryptionType: "AES256"}}
}

// failure says why an image is not found, in BatchGetImage's words.
type failure struct{ code, reason string }

// pick finds an image by digest, tag or both.
func pick(images []registry.Image, id wecr.ImageIdentifier) (*registry.Image, *failure) {
	if id.ImageDigest == "" && id.ImageTag == "" {
		return nil, &failure{"MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"}
	}
	if id.ImageDigest != "" && digest.Digest(id.ImageDigest).Validate() != nil {
		return nil, &failure{"InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"}
	}
	for i := range images {
		im := &images[i]
		tagged := slices.Contains(im.Tags, id.ImageTag)
		switch {
		case (id.ImageDigest == "" || im.Digest == id.ImageDigest) && (id.ImageTag == "" || tagged):
			return im, nil
		case id.ImageDigest != "" && tagged:
			return nil, &failure{"ImageTagDoesNotMatchDigest", "Requested image tag does not match the image digest"}
		}
	}
	return nil, &failure{"ImageNotFound", "Requested image not found"}
}

// described are the images that a listing filter lets through.
func described(images []registry.Image, tagStatus, imageStatus string) []registry.Image {
	return slices.DeleteFunc(images, func(im registry.Image) bool {
		return tagStatus == "TAGGED" && len(im.Tags) == 0 || tagStatus == "UNTAGGED" && len(im.Tags) > 0 ||
			imageStatus == "ARCHIVED" || imageStatus == "ACTIVATING" // all images here are active
	})
}

// describeImages is API_DescribeImages.
func (s *Service) describeImages(ctx context.Context, in *wecr.DescribeImagesInput) (*wecr.DescribeImagesOutput, error) {
	f, images, err := s.look(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.DescribeImagesOutput{ImageDetails: []wecr.ImageDetail{}}
	if len(in.ImageIds) > 0 {
		if in.NextToken != "" || in.MaxResults != nil {
			return nil, invalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'must not be given with nextToken or maxResults'")
		}
		for _, id := range in.ImageIds {
			im, why := pick(images, id)
			if why != nil && (why.code == "MissingDigestAndTag" || why.code == "InvalidImageDigest") {
				return nil, invalid("%s", why.reason)
			}
			if why != nil {
				return nil, fault.New("ImageNotFoundException", http.StatusBadRequest,
					"The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
					orNull(id.ImageDigest), orNull(id.ImageTag), f.name, f.account)
			}
			out.ImageDetails = append(out.ImageDetails, detail(f, im))
		}
		return out, nil
	}
	if in.Filter != nil {
		images = described(images, in.Filter.TagStatus, in.Filter.ImageStatus)
	}
	places := make([]string, len(images))
	for i := range images {
		places[i] = images[i].Digest
	}
	from, to, next, err := page(places, in.NextToken, in.MaxResults, defaultPage)
	if err != nil {
		return nil, err
	}
	for i := range images[from:to] {
		out.ImageDetails = append(out.ImageDetails, detail(f, &images[from+i]))
	}
	out.NextToken = next
	return out, nil
}

// look finds a repository and its images.
func (s *Service) look(ctx context.Context, name, account string) (found, []registry.Image, error) {
	f, err := s.find(ctx, name, account)
	if err != nil {
		return f, nil, err
	}
	images, err := s.images(ctx, f)
	return f, images, err
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

func detail(f found, im *registry.Image) wecr.ImageDetail {
	return wecr.ImageDetail{RegistryId: f.account, RepositoryName: f.name, ImageDigest: im.Digest, ImageTags: im.Tags,
		ImageSizeInBytes: new(im.Size), ImagePushedAt: wire.At(im.Pushed), ImageManifestMediaType: im.MediaType,
		ArtifactMediaType: im.Artifact, SubjectManifestDigest: im.Subject, ImageStatus: "ACTIVE"}
}

// listImages is API_ListImages: one entry per tag, and one for an image without.
func (s *Service) listImages(ctx context.Context, in *wecr.ListImagesInput) (*wecr.ListImagesOutput, error) {
	_, images, err := s.look(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	if in.Filter != nil {
		images = described(images, in.Filter.TagStatus, in.Filter.ImageStatus)
	}
	var ids []wecr.ImageIdentifier
	var places []string
	for _, im := range images {
		for _, tag := range im.Tags {
			ids, places = append(ids, wecr.ImageIdentifier{ImageDigest: im.Digest, ImageTag: tag}), append(places, im.Digest+" "+tag)
		}
		if len(im.Tags) == 0 {
			ids, places = append(ids, wecr.ImageIdentifier{ImageDigest: im.Digest}), append(places, im.Digest)
		}
	}
	from, to, next, err := page(places, in.NextToken, in.MaxResults, defaultPage)
	if err != nil {
		return nil, err
	}
	return &wecr.ListImagesOutput{ImageIds: append([]wecr.ImageIdentifier{}, ids[from:to]...), NextToken: next}, nil
}

// batchGetImage is API_BatchGetImage. Images that are not there are told among
// the failures.
func (s *Service) batchGetImage(ctx context.Context, in *wecr.BatchGetImageInput) (*wecr.BatchGetImageOutput, error) {
	f, images, err := s.look(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.BatchGetImageOutput{Images: []wecr.Image{}, Failures: []wecr.ImageFailure{}}
	for _, id := range in.ImageIds {
		im, why := pick(images, id)
		if why == nil && len(in.AcceptedMediaTypes) > 0 && !slices.Contains(in.AcceptedMediaTypes, im.MediaType) {
			why = &failure{"ImageNotFound", "Requested image is of media type " + im.MediaType + ", which is not accepted"}
		}
		text := ""
		if why == nil {
			text, err = s.manifest(ctx, f, im.Digest)
			if errors.Is(err, registry.ErrNotFound) { // removed meanwhile
				why = &failure{"ImageNotFound", "Requested image not found"}
			} else if err != nil {
				return nil, fmt.Errorf("read manifest %s of %s: %w", im.Digest, f.name, err)
			}
		}
		if why != nil {
			out.Failures = append(out.Failures, wecr.ImageFailure{ImageId: &id, FailureCode: why.code, FailureReason: why.reason})
			continue
		}
		shown := wecr.ImageIdentifier{ImageDigest: im.Digest, ImageTag: id.ImageTag}
		if f.own == nil {
			shown.ImageTag = im.Tags[0] // a built-in image has the one
		}
		out.Images = append(out.Images, wecr.Image{RegistryId: f.account, RepositoryName: f.name,
			ImageId: &shown, ImageManifest: text, ImageManifestMediaType: im.MediaType})
	}
	return out, nil
}
