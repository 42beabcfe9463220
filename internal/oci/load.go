// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// source is where the parts of one repository's images come from.
type source interface {
	// manifest reads the manifest of a tag or a digest.
	manifest(ctx context.Context, ref string) ([]byte, error)
	// blob reads a configuration or a layer.
	blob(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Local is our own registry. A tag, manifest or blob that is not there is
// object.ErrNotFound.
type Local interface {
	// Manifest is the manifest of a tag or a digest, its media type and digest.
	Manifest(ctx context.Context, repository, ref string) (body []byte, mediaType, digest string, err error)
	// Blob reads a configuration or a layer, and tells its size.
	Blob(ctx context.Context, repository, digest string) (io.ReadCloser, int64, error)
}

type local struct {
	Local
	repository string
}

func (l local) manifest(ctx context.Context, ref string) ([]byte, error) {
	body, _, _, err := l.Manifest(ctx, l.repository, ref)
	if errors.Is(err, object.ErrNotFound) {
		return nil, fmt.Errorf("%w: this server's registry has no image %s:%s; \"docker push\" puts one there", runtime.ErrNoImage, l.repository, ref)
	}
	return body, err
}

func (l local) blob(ctx context.Context, digest string) (io.ReadCloser, error) {
	r, _, err := l.Blob(ctx, l.repository, digest)
	if errors.Is(err, object.ErrNotFound) {
		return nil, fmt.Errorf("%w: the registry has lost %s of %s", runtime.ErrUnprepared, digest, l.repository)
	}
	return r, err
}

// layer is one layer of an image.
type layer struct {
	digest string // of the bytes as stored; "" when only diffID is known
	diffID string // of the tar in them
	size   int64  // as stored; 0 when not known
	open   func(context.Context) (io.ReadCloser, error)
}

// manifest is what is read of a manifest or an index.
type manifest struct {
	Config    v1.Descriptor   `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Manifests []v1.Descriptor `json:"manifests"`
}

// maxDocumentBytes is the longest manifest or configuration that is read. The
// distribution specification asks for 4 MiB of manifests.
const maxDocumentBytes = 8 << 20

// load reads manifest and configuration of an image.
func load(ctx context.Context, uri string, ref Reference, src source) (Image, error) {
	body, err := src.manifest(ctx, ref.Wanted())
	if err != nil {
		return Image{}, fmt.Errorf("find image %s: %w", uri, err)
	}
	top := digest.FromBytes(body).String()
	if ref.Digest != "" && ref.Digest != top {
		return Image{}, damaged("image %s has the digest %s", uri, top)
	}
	im := Image{URI: uri, Digest: top, Resolved: ref.Host + "/" + ref.Name + "@" + top}
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return Image{}, damaged("image %s has a manifest that cannot be read: %v", uri, err)
	}
	if len(m.Manifests) > 0 {
		if im.Digest, err = choose(uri, m.Manifests); err != nil {
			return Image{}, err
		}
		if body, err = src.manifest(ctx, im.Digest); err != nil {
			return Image{}, fmt.Errorf("find image %s: %w", uri, err)
		}
		if digest.FromBytes(body).String() != im.Digest {
			return Image{}, damaged("image %s has a manifest that is not %s", uri, im.Digest)
		}
		m = manifest{}
		if err := json.Unmarshal(body, &m); err != nil {
			return Image{}, damaged("image %s has a manifest that cannot be read: %v", uri, err)
		}
	}
	config, err := readBlob(ctx, src, string(m.Config.Digest))
	if err != nil {
		return Image{}, fmt.Errorf("read configuration of image %s: %w", uri, err)
	}
	diffIDs, err := im.configure(config)
	if err != nil {
		return Image{}, err
	}
	if len(diffIDs) != len(m.Layers) {
		return Image{}, damaged("image %s has %d layers and its configuration tells of %d (it may be no container image: its configuration is %q)",
			uri, len(m.Layers), len(diffIDs), m.Config.MediaType)
	}
	for i, l := range m.Layers {
		d := l.Digest.String()
		im.Size += l.Size
		im.layers = append(im.layers, layer{digest: d, diffID: diffIDs[i], size: l.Size,
			open: func(ctx context.Context) (io.ReadCloser, error) { return src.blob(ctx, d) }})
	}
	return im, nil
}

// choose finds the image for this machine in an index.
func choose(uri string, among []v1.Descriptor) (string, error) {
	var has []string
	for _, m := range among {
		p := m.Platform
		if p == nil {
			p = &v1.Platform{OS: "linux", Architecture: goruntime.GOARCH} // an index of one, without saying more
		}
		if p.OS == "linux" && p.Architecture == goruntime.GOARCH {
			return m.Digest.String(), nil
		}
		if p.OS != "unknown" { // an attestation
			has = append(has, p.OS+"/"+p.Architecture)
		}
	}
	return "", fmt.Errorf("%w: image %s is not made for linux/%s, but for %s", runtime.ErrNoImage, uri, goruntime.GOARCH, strings.Join(has, ", "))
}

// readBlob reads a small blob and checks its digest.
func readBlob(ctx context.Context, src source, want string) ([]byte, error) {
	d, err := digest.Parse(want)
	if err != nil {
		return nil, damaged("it is named by %q, which is no digest", want)
	}
	r, err := src.blob(ctx, want)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxDocumentBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxDocumentBytes:
		return nil, damaged("it is longer than %d bytes", maxDocumentBytes)
	case d.Algorithm().FromBytes(b) != d:
		return nil, damaged("it is not what its digest %s says", want)
	}
	return b, nil
}

// configure reads the configuration of an image and answers the digests of its
// unpacked layers.
func (im *Image) configure(text []byte) (diffIDs []string, err error) {
	var c v1.Image
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&c); err != nil {
		return nil, damaged("image %s has a configuration that cannot be read: %v", im.URI, err)
	}
	if c.OS != "" && c.OS != "linux" || c.Architecture != "" && c.Architecture != goruntime.GOARCH {
		return nil, fmt.Errorf("%w: image %s is made for %s/%s and this machine is linux/%s", runtime.ErrNoImage, im.URI, c.OS, c.Architecture, goruntime.GOARCH)
	}
	im.Config = Config{Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: map[string]string{}, WorkingDir: c.Config.WorkingDir,
		User: c.Config.User, ExposedPorts: slices.Sorted(maps.Keys(c.Config.ExposedPorts)), Labels: c.Config.Labels}
	for _, kv := range c.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		im.Config.Env[k] = v
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return nil, damaged("image %s names a layer by %q: %v", im.URI, d, err)
		}
		diffIDs = append(diffIDs, d.String())
	}
	return diffIDs, nil
}

// damaged is an error for the user that wraps runtime.ErrUnprepared.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", runtime.ErrUnprepared, fmt.Sprintf(format, args...))
}
