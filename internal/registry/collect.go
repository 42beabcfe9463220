// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Collect removes the blobs that no image of any repository names and that have
// not been touched since a time, and the links to them. It tells how many blobs
// and bytes that were. No manifest is put meanwhile; one that comes later and
// names a removed blob is refused, and its client pushes the blob again.
func (r *Registry) Collect(ctx context.Context, before time.Time) (n int, bytes int64, err error) {
	err = r.alone(ctx, func() error {
		used, links, err := r.used(ctx, before)
		if err != nil {
			return fmt.Errorf("find what is used: %w", err)
		}
		for digest, uris := range links {
			for _, u := range uris {
				if used[digest] {
					break
				}
				if err := r.objects.Delete(ctx, u); err != nil {
					return err
				}
			}
		}
		return object.All(ctx, r.objects, object.URI{Bucket: r.bucket, Key: blobsKey}, func(o object.Info) error {
			p := strings.Split(o.URI.Key[len(blobsKey):], "/") // "ab/abcd…/data"
			if len(p) != 3 || used["sha256:"+p[1]] || o.Modified.After(before) {
				return nil
			}
			if err := r.objects.Delete(ctx, o.URI); err != nil {
				return err
			}
			n, bytes = n+1, bytes+o.Size
			return nil
		})
	})
	if errors.Is(err, object.ErrNotFound) {
		err = nil // nothing was ever pushed
	}
	return n, bytes, err
}

// used are the digests that manifests name, manifests themselves, and those
// linked since a time, as a push in work has; links are the old links to layers
// by digest.
func (r *Registry) used(ctx context.Context, before time.Time) (used map[string]bool, links map[string][]object.URI, err error) {
	used, links = map[string]bool{}, map[string][]object.URI{}
	err = object.All(ctx, r.objects, object.URI{Bucket: r.bucket, Key: repositoriesKey}, func(o object.Info) error {
		_, p, ok := cutLast(o.URI.Key, "/_manifests/revisions/sha256/")
		layer := false
		if !ok {
			_, p, layer = cutLast(o.URI.Key, "/_layers/sha256/")
		}
		hex, file, _ := strings.Cut(p, "/")
		digest := "sha256:" + hex
		switch {
		case file != "link":
			return nil
		case layer && o.Modified.After(before):
			used[digest] = true
			return nil
		case layer:
			links[digest] = append(links[digest], o.URI)
			return nil
		}
		used[digest] = true
		body, err := r.read(ctx, blobKey(digest))
		if errors.Is(err, ErrNotFound) {
			return nil // damaged from outside; nothing hangs on it
		}
		if err != nil {
			return err
		}
		m, err := parseManifest(body)
		if err != nil {
			return fmt.Errorf("%s: %w", digest, err)
		}
		if m.Config != nil {
			used[string(m.Config.Digest)] = true
		}
		for _, d := range append(m.Layers, m.Manifests...) {
			used[string(d.Digest)] = true
		}
		return nil
	})
	return used, links, err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
