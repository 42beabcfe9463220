// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"net/http"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// defaultPage is the page size of both Describe operations.
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
			r, err := s.find(ctx, name, in.RegistryId)
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, s.shown(ctx, r))
		}
		return out, nil
	}
	var chosen []*repository
	var places []string
	for i := range s.repositories {
		if r := &s.repositories[i]; in.RegistryId == "" || r.Registry == in.RegistryId {
			chosen, places = append(chosen, r), append(places, r.place())
		}
	}
	from, to, next, err := page(places, in.NextToken, in.MaxResults, defaultPage)
	if err != nil {
		return nil, err
	}
	for _, r := range chosen[from:to] {
		out.Repositories = append(out.Repositories, s.shown(ctx, r))
	}
	out.NextToken = next
	return out, nil
}

func (s *Service) shown(ctx context.Context, r *repository) wecr.Repository {
	region := auth.CallerFrom(ctx).Region
	return wecr.Repository{RepositoryArn: "arn:aws:ecr:" + region + ":" + r.Registry + ":repository/" + r.Name, RegistryId: r.Registry, RepositoryName: r.Name,
		RepositoryUri: r.Registry + ".dkr.ecr." + region + ".amazonaws.com/" + r.Name, CreatedAt: wire.At(s.since), ImageTagMutability: "IMMUTABLE",
		ImageScanningConfiguration: &wecr.ImageScanningConfiguration{ScanOnPush: new(false)},
		EncryptionConfiguration:    &wecr.EncryptionConfiguration{EncryptionType: "AES256"}}
}

// pick finds an image by digest, tag or both; code and reason say why not, in
// BatchGetImage's words.
func (r *repository) pick(id wecr.ImageIdentifier) (im *image, code, reason string) {
	if id.ImageDigest == "" && id.ImageTag == "" {
		return nil, "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
	}
	i := slices.IndexFunc(r.images, func(im image) bool {
		return (id.ImageDigest == "" || im.digest == id.ImageDigest) && (id.ImageTag == "" || im.tag == id.ImageTag)
	})
	if i < 0 {
		return nil, "ImageNotFound", "Requested image not found"
	}
	return &r.images[i], "", ""
}

// describeImages is API_DescribeImages.
func (s *Service) describeImages(ctx context.Context, in *wecr.DescribeImagesInput) (*wecr.DescribeImagesOutput, error) {
	r, err := s.find(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.DescribeImagesOutput{ImageDetails: []wecr.ImageDetail{}}
	if len(in.ImageIds) > 0 {
		if in.NextToken != "" || in.MaxResults != nil {
			return nil, invalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'must not be given with nextToken or maxResults'")
		}
		for _, id := range in.ImageIds {
			im, code, reason := r.pick(id)
			if code == "MissingDigestAndTag" {
				return nil, invalid("%s", reason)
			}
			if im == nil {
				return nil, fault.New("ImageNotFoundException", http.StatusBadRequest,
					"The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
					orNull(id.ImageDigest), orNull(id.ImageTag), r.Name, r.Registry)
			}
			out.ImageDetails = append(out.ImageDetails, s.detail(r, im))
		}
		return out, nil
	}
	images := r.images
	if f := in.Filter; f != nil && (f.TagStatus == "UNTAGGED" || f.ImageStatus == "ARCHIVED" || f.ImageStatus == "ACTIVATING") {
		images = nil // all images here have a tag and are active
	}
	places := make([]string, len(images))
	for i := range images {
		places[i] = images[i].digest
	}
	from, to, next, err := page(places, in.NextToken, in.MaxResults, defaultPage)
	if err != nil {
		return nil, err
	}
	for i := range images[from:to] {
		out.ImageDetails = append(out.ImageDetails, s.detail(r, &images[from+i]))
	}
	out.NextToken = next
	return out, nil
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

func (s *Service) detail(r *repository, im *image) wecr.ImageDetail {
	return wecr.ImageDetail{RegistryId: r.Registry, RepositoryName: r.Name, ImageDigest: im.digest, ImageTags: []string{im.tag},
		ImageSizeInBytes: new(int64(len(im.manifest))), ImagePushedAt: wire.At(s.since), ImageManifestMediaType: manifestType,
		ArtifactMediaType: "application/vnd.oci.image.config.v1+json", ImageStatus: "ACTIVE"}
}

// batchGetImage is API_BatchGetImage. Images that are not there are told among
// the failures.
func (s *Service) batchGetImage(ctx context.Context, in *wecr.BatchGetImageInput) (*wecr.BatchGetImageOutput, error) {
	r, err := s.find(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.BatchGetImageOutput{Images: []wecr.Image{}, Failures: []wecr.ImageFailure{}}
	for _, id := range in.ImageIds {
		im, code, reason := r.pick(id)
		if im == nil {
			out.Failures = append(out.Failures, wecr.ImageFailure{ImageId: &id, FailureCode: code, FailureReason: reason})
			continue
		}
		out.Images = append(out.Images, wecr.Image{RegistryId: r.Registry, RepositoryName: r.Name,
			ImageId: &wecr.ImageIdentifier{ImageDigest: im.digest, ImageTag: im.tag}, ImageManifest: im.manifest, ImageManifestMediaType: manifestType})
	}
	return out, nil
}
