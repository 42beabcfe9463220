// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fusefs

import (
	"context"
	"encoding/binary"
	"io"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// pattern is a store of one object of any size that takes no room: each eight
// bytes of it say where they stand.
type pattern struct {
	object.Store
	size    int64
	delay   time.Duration // before the first byte, as over a network
	opened  atomic.Int64
	fetched atomic.Int64 // bytes
	under   atomic.Int64 // requests under way
	most    atomic.Int64
}

func (p *pattern) Open(ctx context.Context, _ object.URI, offset, size int64) (io.ReadCloser, error) {
	p.opened.Add(1)
	n := p.under.Add(1)
	for m := p.most.Load(); n > m && !p.most.CompareAndSwap(m, n); m = p.most.Load() {
	}
	if p.delay > 0 {
		select {
		case <-time.After(p.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if size < 0 || size > p.size-offset {
		size = p.size - offset
	}
	return &patternReader{p, offset, offset + size}, nil
}

type patternReader struct {
	p       *pattern
	at, end int64
}

func (r *patternReader) Read(b []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.end-r.at)]
	fill(b, r.at)
	r.at += int64(len(b))
	r.p.fetched.Add(int64(len(b)))
	return len(b), nil
}

func (r *patternReader) Close() error {
	r.p.under.Add(-1)
	return nil
}

func fill(b []byte, at int64) {
	var word [8]byte
	for i := 0; i < len(b); {
		if in := int(at & 7); in != 0 || len(b)-i < 8 {
			binary.LittleEndian.PutUint64(word[:], uint64(at>>3))
			n := copy(b[i:], word[in:])
			i, at = i+n, at+int64(n)
			continue
		}
		binary.LittleEndian.PutUint64(b[i:], uint64(at>>3))
		i, at = i+8, at+8
	}
}
