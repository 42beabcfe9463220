// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object/versity"
)

type noKeys struct{ auth.Keys }

// BenchmarkPush pushes four layers of 64 MB over HTTP into objects that are
// files, four at a time as docker does, and pulls them again.
func BenchmarkPush(b *testing.B) {
	dir := b.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	objects, err := versity.New(versity.Options{Root: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Keys: noKeys{},
		RootKey: auth.Key{ID: "AKIAIOSFODNN7EXAMPLE", Account: "123456789012"}, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer objects.Close()
	r, err := New(Options{Objects: objects, Bucket: "images", Dir: filepath.Join(dir, "uploads"), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	server := httptest.NewServer(r.Handler(&rules{names: []string{"mine"}}))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/mine:v1")
	if err != nil {
		b.Fatal(err)
	}
	const layers, size = 4, 64 << 20
	var im v1.Image
	b.Run("push", func(b *testing.B) {
		b.SetBytes(layers * size)
		for b.Loop() {
			b.StopTimer()
			im = empty.Image
			for range layers {
				l, err := random.Layer(size, types.DockerLayer)
				if err != nil {
					b.Fatal(err)
				}
				if im, err = mutate.AppendLayers(im, l); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
			if err := remote.Write(ref, im, signedIn, remote.WithJobs(layers)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pull", func(b *testing.B) {
		b.SetBytes(layers * size)
		for b.Loop() {
			im, err := remote.Image(ref, signedIn)
			if err != nil {
				b.Fatal(err)
			}
			parts, err := im.Layers()
			if err != nil {
				b.Fatal(err)
			}
			for _, l := range parts {
				f, err := l.Compressed()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, f); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		}
	})
}
