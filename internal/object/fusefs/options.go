// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"context"
	"io"
	"log/slog"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Opener is what is asked of a store: object.Store's Open.
type Opener interface {
	Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error)
}

// Options say what to show where.
type Options struct {
	Store Opener
	Items []Item // see List; the mount keeps them
	Dir   string // an empty folder, absolute

	// MemoryBytes is how much may be held for readers, 0 for 128 MiB; at least
	// 2 MiB are.
	MemoryBytes int64
	Log         *slog.Logger // nil for none
}

func (o Options) withDefaults() Options {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 128 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
