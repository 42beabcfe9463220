// SPDX-License-Identifier: Apache-2.0

package ecr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
)

// tagForm is a tag. Source: the OCI distribution specification, "Pulling
// manifests".
var tagForm = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// putImage is API_PutImage: a manifest whose layers the repository has. It is
// how an image gets another tag without a push.
func (s *Service) putImage(ctx context.Context, in *wecr.PutImageInput) (*wecr.PutImageOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	if in.ImageTag != "" && !tagForm.MatchString(in.ImageTag) {
		return nil, invalid("Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '%s''", tagForm)
	}
	d := digest.FromString(in.ImageManifest).String()
	if in.ImageDigest != "" && in.ImageDigest != d {
		return nil, fault.New("ImageDigestDoesNotMatchException", http.StatusBadRequest, "The image digest '%s' does not match the digest '%s' of the manifest", in.ImageDigest, d)
	}
	images, err := s.images(ctx, f)
	if err != nil {
		return nil, err
	}
	if _, why := pick(images, wecr.ImageIdentifier{ImageDigest: d, ImageTag: in.ImageTag}); why == nil {
		return nil, fault.New("ImageAlreadyExistsException", http.StatusBadRequest,
			"Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", d, orNull(in.ImageTag), f.name, f.account)
	}
	_, err = s.store.Put(ctx, f.name, in.ImageTag, in.ImageManifestMediaType, []byte(in.ImageManifest), f.own.immutable(in.ImageTag))
	refuse := func(code, format string, args ...any) error {
		return fault.New(code, http.StatusBadRequest, format, args...)
	}
	switch {
	case errors.Is(err, registry.ErrTagTaken):
		return nil, refuse("ImageTagAlreadyExistsException",
			"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", in.ImageTag, f.name)
	case errors.Is(err, registry.ErrNoLayer):
		return nil, refuse("LayersNotFoundException", "The layers of the manifest are not in the repository with name '%s' in the registry with id '%s': %v", f.name, f.account, err)
	case errors.Is(err, registry.ErrNoReference):
		return nil, refuse("ReferencedImagesNotFoundException", "The images of the manifest are not in the repository with name '%s' in the registry with id '%s': %v", f.name, f.account, err)
	case errors.Is(err, registry.ErrInvalid):
		return nil, invalid("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax or manifest: %v'", err)
	case err != nil:
		return nil, fmt.Errorf("put image %s into %s: %w", d, f.name, err)
	}
	s.Pushed(f.name)
	_, mediaType, _, err := s.store.Manifest(ctx, f.name, d)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s of %s: %w", d, f.name, err)
	}
	return &wecr.PutImageOutput{Image: &wecr.Image{RegistryId: f.account, RepositoryName: f.name,
		ImageId: &wecr.ImageIdentifier{ImageDigest: d, ImageTag: in.ImageTag}, ImageManifest: in.ImageManifest, ImageManifestMediaType: mediaType}}, nil
}

// batchDeleteImage is API_BatchDeleteImage. A tag alone is taken away, and the
// image with its last tag; a digest removes the image with all its tags.
func (s *Service) batchDeleteImage(ctx context.Context, in *wecr.BatchDeleteImageInput) (*wecr.BatchDeleteImageOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.BatchDeleteImageOutput{ImageIds: []wecr.ImageIdentifier{}, Failures: []wecr.ImageFailure{}}
	for _, id := range in.ImageIds {
		gone, why, err := s.deleteImage(ctx, f, id)
		if err != nil {
			return nil, err
		}
		if why != nil {
			out.Failures = append(out.Failures, wecr.ImageFailure{ImageId: &id, FailureCode: why.code, FailureReason: why.reason})
		}
		out.ImageIds = append(out.ImageIds, gone...)
	}
	return out, nil
}

func (s *Service) deleteImage(ctx context.Context, f found, id wecr.ImageIdentifier) ([]wecr.ImageIdentifier, *failure, error) {
	images, err := s.images(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	im, why := pick(images, id)
	if why != nil {
		return nil, why, nil
	}
	if id.ImageTag != "" && id.ImageDigest == "" && len(im.Tags) > 1 {
		err = s.store.Untag(ctx, f.name, id.ImageTag)
		if errors.Is(err, registry.ErrNotFound) {
			err = nil // by another, just now
		}
		return []wecr.ImageIdentifier{{ImageDigest: im.Digest, ImageTag: id.ImageTag}}, nil, err
	}
	var of []string
	for _, other := range images {
		if slices.Contains(other.Images, im.Digest) {
			of = append(of, other.Digest)
		}
	}
	if len(of) > 0 {
		return nil, &failure{"ImageReferencedByManifestList", "Requested image referenced by manifest list: [" + strings.Join(of, ", ") + "]"}, nil
	}
	if err := s.store.Remove(ctx, f.name, im.Digest, nil); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, nil, err
	}
	gone := []wecr.ImageIdentifier{}
	for _, tag := range im.Tags {
		gone = append(gone, wecr.ImageIdentifier{ImageDigest: im.Digest, ImageTag: tag})
	}
	if len(gone) == 0 {
		gone = append(gone, wecr.ImageIdentifier{ImageDigest: im.Digest})
	}
	return gone, nil, nil
}

// batchCheckLayerAvailability is API_BatchCheckLayerAvailability.
func (s *Service) batchCheckLayerAvailability(ctx context.Context, in *wecr.BatchCheckLayerAvailabilityInput) (*wecr.BatchCheckLayerAvailabilityOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	out := &wecr.BatchCheckLayerAvailabilityOutput{Layers: []wecr.Layer{}, Failures: []wecr.LayerFailure{}}
	for _, d := range in.LayerDigests {
		if d == "" {
			out.Failures = append(out.Failures, wecr.LayerFailure{LayerDigest: d, FailureCode: "MissingLayerDigest", FailureReason: "Invalid request parameters: layer digest cannot be null"})
			continue
		}
		if digest.Digest(d).Validate() != nil {
			out.Failures = append(out.Failures, wecr.LayerFailure{LayerDigest: d, FailureCode: "InvalidLayerDigest",
				FailureReason: "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"})
			continue
		}
		size, ok, err := s.store.HasBlob(ctx, f.name, d)
		if err != nil {
			return nil, err
		}
		l := wecr.Layer{LayerDigest: d, LayerAvailability: "UNAVAILABLE"}
		if ok {
			l.LayerAvailability, l.LayerSize = "AVAILABLE", &size
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}

// getDownloadUrlForLayer is API_GetDownloadUrlForLayer: a URL of this server
// that needs no signing in, for an hour.
func (s *Service) getDownloadUrlForLayer(ctx context.Context, in *wecr.GetDownloadUrlForLayerInput) (*wecr.GetDownloadUrlForLayerOutput, error) {
	f, err := s.own(ctx, in.RepositoryName, in.RegistryId)
	if err != nil {
		return nil, err
	}
	_, ok, err := s.store.HasBlob(ctx, f.name, in.LayerDigest)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New("LayersNotFoundException", http.StatusBadRequest,
			"The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", in.LayerDigest, f.name, f.account)
	}
	path := "/v2/" + f.name + "/blobs/" + in.LayerDigest
	token := s.password("GET "+path, s.now().Add(urlLasts))
	return &wecr.GetDownloadUrlForLayerOutput{DownloadUrl: strings.TrimSuffix(s.endpoint, "/") + path + "?token=" + url.QueryEscape(token), LayerDigest: in.LayerDigest}, nil
}
