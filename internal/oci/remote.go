// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// other is a repository of another registry.
type other struct {
	puller     *remote.Puller
	repository name.Repository
	insecure   []name.Option
}

// remote is the source of an image of another registry. Private registries of
// AWS are asked only by who has signed in to them.
func (s *Store) remote(ref Reference) (source, error) {
	var how []name.Option
	if slices.Contains(s.opt.Insecure, ref.Host) {
		how = append(how, name.Insecure)
	}
	repository, err := name.NewRepository(ref.Host+"/"+ref.Name, how...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	if _, aws := Account(ref.Host); aws {
		a, err := s.opt.Keychain.Resolve(repository)
		if err != nil || a == authn.Anonymous {
			return nil, fmt.Errorf("%w: %s is in a registry of AWS, and this server has no credentials for it; "+
				"name an image or environment that stands for it in the image map, or sign in to %s with \"docker login\"", runtime.ErrNoImage, ref, ref.Host)
		}
	}
	return other{s.puller, repository, how}, nil
}

func (o other) manifest(ctx context.Context, ref string) ([]byte, error) {
	var r name.Reference = o.repository.Tag(ref)
	if _, err := name.NewDigest(o.repository.Name() + "@" + ref); err == nil {
		r = o.repository.Digest(ref)
	}
	d, err := o.puller.Get(ctx, r)
	if err != nil {
		return nil, o.explain(r, err)
	}
	if len(d.Manifest) > maxDocumentBytes {
		return nil, damaged("the manifest is longer than %d bytes", maxDocumentBytes)
	}
	return d.Manifest, nil
}

func (o other) blob(ctx context.Context, digest string) (io.ReadCloser, error) {
	l, err := o.puller.Layer(ctx, o.repository.Digest(digest))
	if err != nil {
		return nil, o.explain(o.repository.Digest(digest), err)
	}
	r, err := l.Compressed()
	if err != nil {
		return nil, o.explain(o.repository.Digest(digest), err)
	}
	return r, nil
}

// explain tells what is not there, or not for us, from what may pass.
func (o other) explain(r name.Reference, err error) error {
	t, answered := errors.AsType[*transport.Error](err)
	_, dial := errors.AsType[*net.OpError](err)
	switch {
	case answered && t.StatusCode == http.StatusNotFound:
		return answer{fmt.Errorf("%w: %s has no %s", runtime.ErrNoImage, o.repository.RegistryStr(), r.Name())}
	case answered && (t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden):
		return answer{fmt.Errorf("%w: %s does not give %s to this server: %w; it does not exist there, or \"docker login\" is needed",
			runtime.ErrNoImage, o.repository.RegistryStr(), r.Name(), err)}
	case dial:
		return fmt.Errorf("%w: %s cannot be reached: %w", runtime.ErrNoImage, o.repository.RegistryStr(), err)
	}
	return fmt.Errorf("ask %s for %s: %w", o.repository.RegistryStr(), r.Name(), err)
}

// answer is an error that the registry itself has told: the image is not there,
// and was not merely out of reach.
type answer struct{ error }

// Unwrap gives the error that was told.
func (a answer) Unwrap() error { return a.error }

func isAnswer(err error) bool {
	_, ok := errors.AsType[answer](err)
	return ok
}
