// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/ecr"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// images knows the images of the built-in algorithms: their entry point is our
// own binary.
type images struct{ self string }

var _ runtime.Images = images{}

// Image implements runtime.Images. What is not found says what is known.
func (i images) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	ref, err := builtin.Resolve(uri)
	if err != nil {
		return runtime.Image{}, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	if ref.Algorithm == "" {
		if name, ok := builtin.Known(uri); ok {
			return runtime.Image{}, fmt.Errorf("%w: the built-in algorithm %s is not built in Sagebrush yet; built are %s",
				runtime.ErrNoImage, name, strings.Join(builtin.Names(), ", "))
		}
		return runtime.Image{}, fmt.Errorf("%w: Sagebrush runs the built-in algorithms (%s); other images are not supported yet",
			runtime.ErrNoImage, strings.Join(builtin.Names(), ", "))
	}
	a, ok := builtin.Lookup(ref.Algorithm)
	if !ok {
		return runtime.Image{}, fmt.Errorf("%w: %s", runtime.ErrNoImage, ref.Algorithm)
	}
	img := runtime.Image{URI: uri, Resolved: resolved(uri),
		Train: []string{i.self, "algo", "train", ref.Algorithm},
		Serve: []string{i.self, "algo", "serve", ref.Algorithm},
	}
	for _, m := range a.Spec().Metrics {
		img.Metrics = append(img.Metrics, runtime.ImageMetric{Name: m.Name, Regex: m.Regex})
	}
	return img, nil
}

// Prepare implements runtime.Images: our own binary is always ready.
func (i images) Prepare(ctx context.Context, uri string, n runtime.Needs, _ io.Writer) (runtime.Image, error) {
	return i.Image(ctx, uri, n)
}

// resolved is the digest form of a built-in image's URI, as ECR here tells it.
func resolved(uri string) string {
	host, rest, _ := strings.Cut(uri, "/")
	account, _, _ := strings.Cut(host, ".")
	name, tag, _ := strings.Cut(rest, ":")
	return host + "/" + name + "@" + ecr.Digest(account, name, tag)
}
