// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"context"
	"sync"
)

// file is one open of an object: it knows in which order it is read.
type file struct {
	cache *cache
	item  *Item

	mu     sync.Mutex
	begin  int64 // where reading in order began or may begin, in bytes
	next   int64 // up to where it has come
	window int   // blocks to fetch ahead; 0 while there is no order
}

// slack is how far apart two reads in order may come: the kernel sends several
// at a time, and they overtake each other. In bytes.
const slack = 4 << 20

// follow notes a read and tells how many blocks to fetch ahead of it; 0 when
// the reads have no order.
func (f *file) follow(offset, size int64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := offset + size
	if offset < max(f.begin, f.next-slack) || offset > f.next+slack {
		f.begin, f.next, f.window = offset, end, 0 // the next one tells
		return 0
	}
	if end > f.next {
		if f.next/blockSize != end/blockSize || f.window == 0 {
			f.window = max(1, min(2*f.window, maxWindow))
		}
		f.next = end
	}
	return f.window
}

// readAt fills p with what stands at an offset, less at the end of the file. It
// returns when it has, or when ctx is done.
func (f *file) readAt(ctx context.Context, p []byte, offset int64) (int, error) {
	if offset >= f.item.Size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), f.item.Size-offset)]
	ahead := f.follow(offset, int64(len(p)))
	if ahead == 0 {
		got, err := f.cache.read(ctx, f.item, p, offset)
		return len(got), err
	}
	blocks := (f.item.Size + blockSize - 1) / blockSize
	last := (offset + int64(len(p)) - 1) / blockSize
	want := make([]*block, 0, 2)
	for n := offset / blockSize; n <= last; n++ {
		want = append(want, f.cache.block(f, n, false))
	}
	for n := last + 1; n < min(blocks, last+1+int64(f.cache.window(ahead))); n++ {
		b := f.cache.block(f, n, true)
		if b == nil {
			break
		}
		f.cache.put(b, false)
	}
	done := 0
	var err error
	for i, b := range want {
		at := offset + int64(done)
		n := int(min(int64(len(p)-done), blockSize-at%blockSize))
		if err == nil {
			err = f.copy(ctx, b, p[done:done+n], at)
		}
		if b != nil {
			f.cache.put(b, err == nil && (i < len(want)-1 || (at+int64(n))%blockSize == 0))
		}
		done += n
	}
	return done, err
}

// copy fills p, which lies in one block. Without a block there was no memory
// for it, and just this is fetched.
func (f *file) copy(ctx context.Context, b *block, p []byte, at int64) error {
	if b == nil {
		_, err := f.cache.read(ctx, f.item, p, at)
		return err
	}
	select {
	case <-b.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.err != nil {
		return b.err
	}
	copy(p, b.data[at%blockSize:])
	return nil
}
