// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"context"
	"errors"
)

// ErrNoImage says that an image URI stands for nothing here. Errors that wrap
// it tell the user what is known instead.
var ErrNoImage = errors.New("image not found")

// Image tells how to run what an image URI names.
type Image struct {
	URI      string            // as asked for
	Resolved string            // the digest form that Describe shows, "…@sha256:…"
	Train    []string          // argv of a training task; nil when the image cannot train
	Serve    []string          // argv of a serving task; nil when it cannot serve
	Env      map[string]string // what the image itself sets
	Metrics  []ImageMetric     // what a built-in algorithm's log reports
}

// ImageMetric is a metric definition that a built-in image brings along.
type ImageMetric struct{ Name, Regex string }

// Images finds images by URI.
type Images interface {
	Image(ctx context.Context, uri string) (Image, error)
}
