// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// archive is an image in a tar file: an OCI layout (which "docker save" has made
// since version 25) or the older form with a manifest.json.
type archive struct {
	file  string
	parts map[string]part // by name in the tar
}

type part struct{ at, size int64 }

// maxArchiveParts bounds how many files of an archive are looked at.
const maxArchiveParts = 10_000

// openArchive reads where the files of the tar are. Their bytes stay in it.
func openArchive(ctx context.Context, file string) (archive, error) {
	a := archive{file: file, parts: map[string]part{}}
	f, err := os.Open(file)
	if err != nil {
		return a, err
	}
	defer f.Close()
	links := map[string]string{} // a layer that an image has twice is a link to itself
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			for name, to := range links {
				if p, ok := a.parts[to]; ok {
					a.parts[name] = p
				}
			}
			return a, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return a, err
		}
		if len(a.parts)+len(links) >= maxArchiveParts {
			return a, fmt.Errorf("it has more than %d files", maxArchiveParts)
		}
		if h.Typeflag == tar.TypeSymlink {
			links[path.Clean(h.Name)] = path.Join(path.Dir(h.Name), h.Linkname)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return a, err
		}
		a.parts[path.Clean(h.Name)] = part{at, h.Size}
	}
}

// open reads a file of the archive.
func (a archive) open(name string) (io.ReadCloser, error) {
	p, ok := a.parts[path.Clean(name)]
	if !ok {
		return nil, damaged("%s has no file %q", a.file, name)
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, p.at, p.size), f}, nil
}

func (a archive) read(name string) ([]byte, error) {
	if a.parts[path.Clean(name)].size > maxDocumentBytes {
		return nil, damaged("%q in %s is longer than %d bytes", name, a.file, maxDocumentBytes)
	}
	r, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func blobName(d string) string {
	algorithm, hex, _ := strings.Cut(d, ":")
	return "blobs/" + algorithm + "/" + hex
}

func (a archive) manifest(_ context.Context, ref string) ([]byte, error) {
	return a.read(blobName(ref))
}

func (a archive) blob(_ context.Context, d string) (io.ReadCloser, error) {
	return a.open(blobName(d))
}

// findArchive tells of the one image in a tar file.
func (s *Store) findArchive(ctx context.Context, uri, file string) (Image, error) {
	if !filepath.IsAbs(file) {
		return Image{}, fmt.Errorf("%w: %s must name an absolute path, as file:///path/image.tar", runtime.ErrNoImage, uri)
	}
	a, err := openArchive(ctx, file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return Image{}, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	if err != nil {
		return Image{}, damaged("%s is not a tar file with an image: %v", file, err)
	}
	var im Image
	if _, ok := a.parts["index.json"]; ok {
		im, err = a.layout(ctx, uri)
	} else {
		im, err = a.saved(uri)
	}
	im.Resolved = ""
	return im, err
}

// layout loads the image of an OCI layout.
func (a archive) layout(ctx context.Context, uri string) (Image, error) {
	text, err := a.read("index.json")
	if err != nil {
		return Image{}, err
	}
	var index v1.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return Image{}, damaged("index.json of %s cannot be read: %v", a.file, err)
	}
	d := ""
	switch len(index.Manifests) {
	case 0:
		return Image{}, damaged("%s holds no image", a.file)
	case 1:
		d = index.Manifests[0].Digest.String()
	default:
		for _, m := range index.Manifests {
			if m.Platform == nil {
				return Image{}, damaged("%s holds %d images; which one is meant cannot be told", a.file, len(index.Manifests))
			}
		}
		if d, err = choose(uri, index.Manifests); err != nil {
			return Image{}, err
		}
	}
	if err := digest.Digest(d).Validate(); err != nil {
		return Image{}, damaged("%s names its image by %q: %v", a.file, d, err)
	}
	return load(ctx, uri, Reference{Digest: d}, a)
}

// saved loads the image of an older "docker save": the image's digest is that
// of its configuration, and layers are checked by the digests in it.
func (a archive) saved(uri string) (Image, error) {
	text, err := a.read("manifest.json")
	if err != nil {
		return Image{}, damaged("%s has neither index.json nor manifest.json: it is no saved image", a.file)
	}
	var images []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(text, &images); err != nil {
		return Image{}, damaged("manifest.json of %s cannot be read: %v", a.file, err)
	}
	if len(images) != 1 {
		return Image{}, damaged("%s holds %d images; save one alone", a.file, len(images))
	}
	config, err := a.read(images[0].Config)
	if err != nil {
		return Image{}, err
	}
	im := Image{URI: uri, Digest: digest.FromBytes(config).String()}
	diffIDs, err := im.configure(config)
	if err != nil {
		return Image{}, err
	}
	if len(diffIDs) != len(images[0].Layers) {
		return Image{}, damaged("%s has %d layers and its configuration tells of %d", a.file, len(images[0].Layers), len(diffIDs))
	}
	for i, l := range images[0].Layers {
		im.Size += a.parts[path.Clean(l)].size
		im.layers = append(im.layers, layer{diffID: diffIDs[i], size: a.parts[path.Clean(l)].size,
			open: func(context.Context) (io.ReadCloser, error) { return a.open(l) }})
	}
	return im, nil
}
