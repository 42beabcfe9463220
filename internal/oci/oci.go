// SPDX-License-Identifier: Apache-2.0

// Package oci finds container images and unpacks them into folders that a
// process can have as its root. An image comes from our own registry, read
// straight from its objects; from another registry, by the distribution
// protocol and with the credentials of ~/.docker/config.json; or from a file
// that "docker save" or an OCI layout has made.
//
// Nothing of an image is trusted: every manifest, configuration and layer must
// have the digest it is named by, names lead nowhere outside the folder, and
// size and number of files have limits.
package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Options of New. Dir is required.
type Options struct {
	Dir string // absolute folder for unpacked images, of this Store alone

	// Own tells whether an image of this host is one of our own registry, which
	// Local reads. nil: none is.
	Own   func(host string) bool
	Local Local

	Insecure []string       // hosts ("registry:5000") that are asked without TLS; those of this machine always are
	Keychain authn.Keychain // credentials of other registries; nil is authn.DefaultKeychain

	MaxBytes   int64 // of one image, unpacked; 0 is 64 GiB
	MaxEntries int64 // files, folders and links of one image, counted per layer; 0 is 2,000,000

	Log *slog.Logger // nil is slog.Default()
}

const (
	defaultMaxBytes   = 64 << 30
	defaultMaxEntries = 2_000_000
)

// Store finds and unpacks images. Its methods may be called from several
// goroutines at once.
type Store struct {
	opt    Options
	puller *remote.Puller

	mu   sync.Mutex
	busy map[string]chan struct{} // by digest: closed when its unpacking has ended
}

// tempPrefix begins the names of folders that are being built.
const tempPrefix = ".unpack-"

// New makes a Store and removes what interrupted unpacking has left.
func New(o Options) (*Store, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("open images: the folder must be absolute: %q", o.Dir)
	}
	if o.Own != nil && o.Local == nil {
		return nil, errors.New("open images: hosts of our own, and nothing to read them from")
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultMaxEntries
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(o.Dir, tempPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	for _, dir := range left {
		if err := removeTree(dir); err != nil {
			return nil, fmt.Errorf("open images: remove what was left: %w", err)
		}
	}
	p, err := remote.NewPuller(remote.WithAuthFromKeychain(o.Keychain), remote.WithUserAgent("sagebrush"))
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	return &Store{opt: o, puller: p, busy: map[string]chan struct{}{}}, nil
}

// Image is what is known of an image without its layers.
type Image struct {
	URI      string // as asked for
	Digest   string // "sha256:…" of the manifest for this machine
	Resolved string // "host/name@sha256:…", of the index if there is one; "" of a file
	Size     int64  // bytes of the layers as stored; 0 when not known
	Config   Config

	layers []layer
}

// Config is how an image wants to be run.
type Config struct {
	Entrypoint, Cmd []string
	Env             map[string]string
	WorkingDir      string
	User            string
	ExposedPorts    []string // "8080/tcp", sorted
	Labels          map[string]string
}

// Find tells of an image. It reads manifest and configuration, no layer, so for
// an image of our own registry it is quick.
//
// The URI is an image reference ("host/name:tag", "name@sha256:…") or
// "file:///path/image.tar". When another registry cannot be reached, an image
// that was unpacked under the same URI is told of as it was then.
//
// Errors: runtime.ErrNoImage, with what was asked for and why it is not there;
// runtime.ErrUnprepared for one that is damaged or not a container image.
func (s *Store) Find(ctx context.Context, uri string) (Image, error) {
	if path, ok := strings.CutPrefix(uri, "file://"); ok {
		return s.findArchive(ctx, uri, path)
	}
	ref, err := Parse(uri)
	if err != nil {
		return Image{}, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	if s.opt.Own != nil && s.opt.Own(ref.Host) {
		return load(ctx, uri, ref, local{s.opt.Local, ref.Name})
	}
	src, err := s.remote(ref)
	if err != nil {
		return Image{}, err
	}
	im, err := load(ctx, uri, ref, src)
	if err != nil && !errors.Is(err, runtime.ErrUnprepared) && !isAnswer(err) && ctx.Err() == nil {
		if was, ok := s.recall(uri); ok {
			s.opt.Log.Warn("registry not reached, image used as it was", "image", uri, "err", err)
			return was, nil
		}
	}
	return im, err
}
