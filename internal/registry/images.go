// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	// The kinds of manifests that can be put; each registers itself.
	_ "github.com/distribution/distribution/v3/manifest/manifestlist"
	_ "github.com/distribution/distribution/v3/manifest/ocischema"
	_ "github.com/distribution/distribution/v3/manifest/schema2"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Keys of distribution's layout. See its package registry/storage.
const (
	blobsKey        = "docker/registry/v2/blobs/sha256/"
	repositoriesKey = "docker/registry/v2/repositories/"
)

func blobKey(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return blobsKey + hex[:min(2, len(hex))] + "/" + hex + "/data"
}

func revisionKey(repository, digest string) string {
	return repositoriesKey + repository + "/_manifests/revisions/sha256/" + strings.TrimPrefix(digest, "sha256:") + "/link"
}

func tagKey(repository, tag string) string {
	return repositoriesKey + repository + "/_manifests/tags/" + tag
}

// Image is an image of a repository, or an index of images.
type Image struct {
	Digest    string // "sha256:…" of the manifest
	MediaType string // of the manifest
	Artifact  string // media type of what the manifest is of; "" of an index
	Size      int64  // bytes of configuration and layers as stored; of an index, of its largest image
	Pushed    time.Time
	Tags      []string // sorted
	Subject   string   // digest that the image refers to, "" for none
	Images    []string // digests of the images of an index
}

// manifest is what is read of a manifest of any kind.
type manifest struct {
	Schema       int             `json:"schemaVersion"`
	MediaType    string          `json:"mediaType"`
	ArtifactType string          `json:"artifactType"`
	Config       *v1.Descriptor  `json:"config"`
	Layers       []v1.Descriptor `json:"layers"`
	Manifests    []v1.Descriptor `json:"manifests"`
	Subject      *v1.Descriptor  `json:"subject"`
}

func parseManifest(body []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if m.MediaType == "" { // as the OCI's specification allows
		m.MediaType = v1.MediaTypeImageManifest
		if m.Manifests != nil {
			m.MediaType = v1.MediaTypeImageIndex
		}
	}
	return m, nil
}

func (m manifest) size() int64 {
	var n int64
	if m.Config != nil {
		n = m.Config.Size
	}
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// Images are the images of a repository, in the order of their digests; none if
// nothing was pushed. It is a view of one moment: no image is shown without the
// tag that it is just getting or losing.
func (r *Registry) Images(ctx context.Context, repository string) (images []Image, err error) {
	err = r.alone(ctx, func() error {
		images, err = r.images(ctx, repository)
		return err
	})
	return images, err
}

func (r *Registry) images(ctx context.Context, repository string) ([]Image, error) {
	found := map[string]*Image{}
	tags := map[string]string{}
	prefix := repositoriesKey + repository + "/_manifests/"
	err := object.All(ctx, r.objects, object.URI{Bucket: r.bucket, Key: prefix}, func(o object.Info) error {
		p := strings.Split(o.URI.Key[len(prefix):], "/")
		switch {
		case len(p) == 4 && p[0] == "revisions":
			d := p[1] + ":" + p[2]
			found[d] = &Image{Digest: d, Pushed: o.Modified}
		case len(p) == 4 && p[0] == "tags" && p[2] == "current":
			d, err := r.read(ctx, o.URI.Key)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			tags[p[1]] = string(d)
		}
		return nil
	})
	if err != nil && !errors.Is(err, object.ErrNotFound) {
		return nil, fmt.Errorf("list images of %s: %w", repository, err)
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		if im, ok := found[tags[tag]]; ok {
			im.Tags = append(im.Tags, tag)
		}
	}
	sizes := map[string]int64{}
	for d, im := range found {
		body, err := r.read(ctx, blobKey(d))
		if errors.Is(err, ErrNotFound) { // removed meanwhile
			delete(found, d)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("describe image %s of %s: %w", d, repository, err)
		}
		m, err := parseManifest(body)
		if err != nil {
			return nil, fmt.Errorf("describe image %s of %s: %w", d, repository, err)
		}
		im.MediaType, im.Size, im.Artifact = m.MediaType, m.size(), m.ArtifactType
		if m.Config != nil && im.Artifact == "" {
			im.Artifact = m.Config.MediaType
		}
		if m.Subject != nil {
			im.Subject = string(m.Subject.Digest)
		}
		for _, part := range m.Manifests {
			im.Images = append(im.Images, string(part.Digest))
		}
		sizes[d] = im.Size
	}
	out := make([]Image, 0, len(found))
	for _, d := range slices.Sorted(maps.Keys(found)) {
		im := *found[d]
		for _, part := range im.Images {
			im.Size = max(im.Size, sizes[part])
		}
		out = append(out, im)
	}
	return out, nil
}

// resolve is the digest of a tag or of a digest, if the repository has the
// image.
func (r *Registry) resolve(ctx context.Context, repository, ref string) (string, error) {
	if !strings.HasPrefix(ref, "sha256:") {
		d, err := r.read(ctx, tagKey(repository, ref)+"/current/link")
		if err != nil {
			return "", err
		}
		ref = string(d)
	}
	key := revisionKey(repository, ref)
	d, err := r.read(ctx, key)
	if err != nil {
		return "", err
	}
	if _, err := digest.Parse(string(d)); err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return string(d), nil
}

// Manifest is the manifest that a tag or a digest ("sha256:…") names in a
// repository, byte for byte as it was pushed. Errors: ErrNotFound.
func (r *Registry) Manifest(ctx context.Context, repository, ref string) (body []byte, mediaType, dgst string, err error) {
	if dgst, err = r.resolve(ctx, repository, ref); err != nil {
		return nil, "", "", err
	}
	if body, err = r.read(ctx, blobKey(dgst)); err != nil {
		return nil, "", "", err
	}
	m, err := parseManifest(body)
	return body, m.MediaType, dgst, err
}

// HasBlob tells whether a repository has a configuration or a layer, and its
// size in bytes.
func (r *Registry) HasBlob(ctx context.Context, repository, dgst string) (size int64, ok bool, err error) {
	if _, err := digest.Parse(dgst); err != nil {
		return 0, false, nil
	}
	// The link tells that the repository has the blob, the size comes from the blob.
	link := repositoriesKey + repository + "/_layers/sha256/" + strings.TrimPrefix(dgst, "sha256:") + "/link"
	var info object.Info
	for _, key := range []string{link, blobKey(dgst)} {
		if info, err = r.objects.Stat(ctx, object.URI{Bucket: r.bucket, Key: key}); errors.Is(err, object.ErrNotFound) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, fmt.Errorf("look for %s in %s: %w", dgst, repository, err)
		}
	}
	return info.Size, true, nil
}

// Blob reads a configuration or a layer of a repository, and tells its size in
// bytes. Errors: ErrNotFound.
func (r *Registry) Blob(ctx context.Context, repository, dgst string) (io.ReadCloser, int64, error) {
	size, ok, err := r.HasBlob(ctx, repository, dgst)
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, ErrNotFound
	}
	f, err := r.objects.Open(ctx, object.URI{Bucket: r.bucket, Key: blobKey(dgst)}, 0, -1)
	if errors.Is(err, object.ErrNotFound) {
		err = ErrNotFound
	}
	return f, size, err
}

// moves tells whether putting the digest at ref would take a tag from another
// image.
func (r *Registry) moves(ctx context.Context, repository, ref, dgst string) (bool, error) {
	if ref == "" || strings.HasPrefix(ref, "sha256:") {
		return false, nil
	}
	now, err := r.resolve(ctx, repository, ref)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && now != dgst, err
}

// Refusals of Put.
var (
	ErrInvalid     = errors.New("manifest is invalid")
	ErrTagTaken    = errors.New("tag belongs to another image")
	ErrNoLayer     = errors.New("layers are missing")
	ErrNoReference = errors.New("images of the index are missing")
)

// Put stores a manifest whose configuration and layers are there, and gives it
// the tag, if there is one. Fixed says that a tag must not be taken from another
// image. Errors: ErrInvalid, ErrTagTaken, ErrNoLayer, ErrNoReference.
func (r *Registry) Put(ctx context.Context, repository, tag, mediaType string, body []byte, fixed bool) (dgst string, err error) {
	read, err := parseManifest(body)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	case read.Schema != 2:
		return "", fmt.Errorf("%w: it is of schema version %d, and only 2 is taken", ErrInvalid, read.Schema)
	case mediaType == "":
		mediaType = read.MediaType
	}
	m, desc, err := distribution.UnmarshalManifest(mediaType, body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	name, err := reference.WithName(repository)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	err = r.alone(ctx, func() error {
		if moves, err := r.moves(ctx, repository, tag, string(desc.Digest)); err != nil || moves && fixed {
			return errors.Join(err, ErrTagTaken)
		}
		space, err := r.space.Repository(ctx, name)
		if err != nil {
			return err
		}
		manifests, err := space.Manifests(ctx)
		if err != nil {
			return err
		}
		if _, err := manifests.Put(ctx, m); err != nil {
			return putRefusal(err, read.Manifests != nil)
		}
		if tag == "" {
			return nil
		}
		return space.Tags(ctx).Tag(ctx, tag, desc)
	})
	return string(desc.Digest), err
}

func putRefusal(err error, index bool) error {
	v, ok := errors.AsType[distribution.ErrManifestVerification](err)
	if !ok {
		return err
	}
	for _, one := range v {
		if _, ok := errors.AsType[distribution.ErrManifestBlobUnknown](one); ok && index {
			return fmt.Errorf("%w: %w", ErrNoReference, err)
		} else if ok {
			return fmt.Errorf("%w: %w", ErrNoLayer, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// Untag takes a tag away; the image stays. Errors: ErrNotFound.
func (r *Registry) Untag(ctx context.Context, repository, tag string) error {
	return r.alone(ctx, func() error { return r.untag(ctx, repository, tag) })
}

func (r *Registry) untag(ctx context.Context, repository, tag string) error {
	// The current link first: without it the tag is gone for everyone.
	link := object.URI{Bucket: r.bucket, Key: tagKey(repository, tag) + "/current/link"}
	if _, err := r.objects.Stat(ctx, link); errors.Is(err, object.ErrNotFound) {
		return ErrNotFound
	} else if err != nil {
		return err
	}
	if err := r.objects.Delete(ctx, link); err != nil {
		return fmt.Errorf("untag %s:%s: %w", repository, tag, err)
	}
	return r.clear(ctx, tagKey(repository, tag)+"/")
}

// Remove removes an image and its tags. Its blobs stay until Collect. Still, if
// not nil, is asked about the image as it is at that moment, and keeps it by
// answering false. Errors: ErrNotFound.
func (r *Registry) Remove(ctx context.Context, repository, dgst string, still func(Image) bool) error {
	return r.alone(ctx, func() error {
		images, err := r.images(ctx, repository)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(images, func(im Image) bool { return im.Digest == dgst })
		if i < 0 {
			return ErrNotFound
		}
		if still != nil && !still(images[i]) {
			return nil
		}
		// The image first: a tag of nothing is no tag, while an image without its
		// tags would be seen by those who look meanwhile.
		if err := r.objects.Delete(ctx, object.URI{Bucket: r.bucket, Key: revisionKey(repository, dgst)}); err != nil {
			return fmt.Errorf("remove image %s of %s: %w", dgst, repository, err)
		}
		for _, tag := range images[i].Tags {
			if err := r.untag(ctx, repository, tag); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// Drop removes all images of a repository, and no other's: "a" holds none of
// "a/b".
func (r *Registry) Drop(ctx context.Context, repository string) error {
	return r.alone(ctx, func() error {
		for _, part := range []string{"/_manifests/", "/_layers/"} {
			if err := r.clear(ctx, repositoriesKey+repository+part); err != nil {
				return fmt.Errorf("remove the images of %s: %w", repository, err)
			}
		}
		return nil
	})
}

// clear removes all objects whose keys begin so.
func (r *Registry) clear(ctx context.Context, prefix string) error {
	err := object.All(ctx, r.objects, object.URI{Bucket: r.bucket, Key: prefix}, func(o object.Info) error {
		return r.objects.Delete(ctx, o.URI)
	})
	if errors.Is(err, object.ErrNotFound) {
		return nil
	}
	return err
}
