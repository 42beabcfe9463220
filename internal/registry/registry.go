// SPDX-License-Identifier: Apache-2.0

// Package registry keeps container images and serves them by the OCI
// distribution protocol, so that "docker push" and its like work against the
// one port. The protocol is distribution's (github.com/distribution/distribution),
// which runs in this process over a storage driver of ours: blobs, manifests and
// tags are objects of one bucket, in distribution's own layout, and what is not
// whole yet lies in a folder outside it.
//
// Which repositories exist, who may call, and which tags must not move is asked
// of Rules, which ECR's service fills. What is told of images (Images, Manifest,
// Blob) is read from the objects each time: there is no second account of them
// that could differ.
//
// # What is global
//
// distribution logs through logrus's standard logger and knows storage drivers
// by name for the whole process. New sends that logger's lines to Options.Log
// and nothing to stderr; the Registry made last gets them all.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// ErrNotFound is a missing repository content: a manifest, a tag, a blob.
// errors.Is(ErrNotFound, object.ErrNotFound) holds.
var ErrNotFound = fmt.Errorf("no such image: %w", object.ErrNotFound)

// Options of New. Objects, Bucket and Dir are required.
type Options struct {
	Objects object.Store
	Bucket  string // made at the first push
	Dir     string // absolute folder for unfinished uploads; what is in it is removed at New
	Log     *slog.Logger
}

// Rules are what the registry asks of whoever knows users and repositories.
type Rules interface {
	// Admits tells whether a user may call, by HTTP's basic authentication. A
	// request without it that has a "token" in its query asks with the method
	// and the path ("GET /v2/mine/blobs/sha256:…") for the user.
	Admits(user, password string) bool
	// Repository tells whether a repository has been created. The account is
	// whose registry this is, for messages.
	Repository(ctx context.Context, name string) (account string, ok bool, err error)
	// Immutable tells whether the tag, once given to an image of the repository,
	// must stay with it.
	Immutable(ctx context.Context, name, tag string) (bool, error)
	// Pushed is told of each image that has come by push. It must not wait.
	Pushed(name string)
}

// Registry holds images. Its methods may be called from several goroutines at
// once.
type Registry struct {
	objects object.Store
	bucket  string
	log     *slog.Logger
	driver  *driver
	space   distribution.Namespace
	app     *handlers.App
	turn    chan struct{} // one at a time changes which manifests there are
}

// New makes a Registry and removes what unfinished uploads have left. The
// caller must Close it.
func New(o Options) (*Registry, error) {
	switch {
	case o.Objects == nil || o.Bucket == "":
		return nil, errors.New("registry: options lack the object store or the bucket")
	case !filepath.IsAbs(o.Dir):
		return nil, fmt.Errorf("registry: the folder for uploads must be absolute: %q", o.Dir)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	takeLog(o.Log)
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, fmt.Errorf("registry: remove unfinished uploads: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("registry: make the folder for uploads: %w", err)
	}
	uploads, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("registry: open the folder for uploads: %w", err)
	}
	r := &Registry{objects: o.Objects, bucket: o.Bucket, log: o.Log, turn: make(chan struct{}, 1),
		driver: &driver{objects: o.Objects, bucket: o.Bucket, uploads: uploads}}
	r.app = handlers.NewApp(context.Background(), &configuration.Configuration{
		Storage: configuration.Storage{
			driverName:    configuration.Parameters{driverParameter: r.driver},
			"delete":      configuration.Parameters{"enabled": true},
			"redirect":    configuration.Parameters{"disable": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}}, // Run does it
		},
		Catalog: configuration.Catalog{MaxEntries: 1000},
	})
	r.space, err = storage.NewRegistry(context.Background(), r.driver, storage.EnableDelete,
		storage.EnableValidateImageIndexImagesExist, storage.ManifestURLsAllowRegexp(regexp.MustCompile("^$")))
	if err != nil {
		uploads.Close()
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// Close ends the Registry. Requests must have ended.
func (r *Registry) Close() error {
	err := r.app.Shutdown()
	return errors.Join(err, r.driver.uploads.Close())
}

// Times of housekeeping.
const (
	houseEvery = time.Hour
	// uploadLasts is how long an upload may lie without a byte, and how long a
	// blob may wait for the manifest that names it. Docker pushes all layers of
	// an image before its manifest.
	uploadLasts = 24 * time.Hour
)

// Run removes, every hour, uploads that nobody goes on with and blobs that no
// image has any more, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(houseEvery):
		}
		before := time.Now().Add(-uploadLasts)
		if err := r.driver.purge(before); err != nil {
			r.log.Warn("unfinished uploads stay", "err", err)
		}
		n, bytes, err := r.Collect(ctx, before)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("blobs without an image stay", "err", err)
		}
		if n > 0 {
			r.log.Info("blobs without an image removed", "blobs", n, "bytes", bytes)
		}
	}
}

// alone runs f while nobody else changes which manifests there are.
func (r *Registry) alone(ctx context.Context, f func() error) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.turn }()
	return f()
}

// read reads an object whole. A missing one is ErrNotFound.
func (r *Registry) read(ctx context.Context, key string) ([]byte, error) {
	f, err := r.objects.Open(ctx, object.URI{Bucket: r.bucket, Key: key}, 0, -1)
	if errors.Is(err, object.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

var _ http.Handler = (*handlers.App)(nil)
