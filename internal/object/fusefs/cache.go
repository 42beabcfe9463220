// SPDX-License-Identifier: Apache-2.0

package fusefs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

const (
	// blockSize is how much of a file is fetched at a time, in bytes.
	blockSize = 1 << 20
	// maxWindow is how many blocks are fetched ahead of a reader at most.
	maxWindow = 16
	// maxFetches is how many requests are made to the store at a time.
	maxFetches = 16
)

// cache fetches blocks of objects and holds some, those before all that are
// about to be read. Its methods may be called from several goroutines.
type cache struct {
	store Opener
	log   *slog.Logger
	max   int // blocks

	ctx     context.Context // of fetches: of the mount, for a block may have several readers
	cancel  context.CancelFunc
	running sync.WaitGroup
	slots   chan struct{} // one for each fetch under way

	mu      sync.Mutex
	blocks  map[blockKey]*block
	used    *list.List // of *block, the one used last in front
	free    [][]byte
	handles int // files that are open
}

type blockKey struct {
	item *Item
	n    int64 // number of the block in the file
}

type block struct {
	key   blockKey
	at    *list.Element
	owner *file // that it was fetched for

	users int  // guarded by cache.mu, as is
	read  bool // that a reader has come to its end

	ready chan struct{} // closed when data and err stand
	data  []byte
	err   error
}

func newCache(store Opener, log *slog.Logger, bytes int64) *cache {
	ctx, cancel := context.WithCancel(context.Background())
	return &cache{store: store, log: log, max: int(max(bytes/blockSize, 2)), ctx: ctx, cancel: cancel,
		slots: make(chan struct{}, maxFetches), blocks: map[blockKey]*block{}, used: list.New()}
}

// close ends all fetches and waits for them.
func (c *cache) close() {
	c.cancel()
	c.running.Wait()
}

// open counts a file that shares the memory.
func (c *cache) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles++
}

// release takes a file from the count, and what it has not read of what was
// fetched for it. With the last one all memory goes.
func (c *cache) release(f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles--
	for _, b := range c.blocks {
		if b.users == 0 && (c.handles == 0 || b.owner == f && !b.read) {
			c.drop(b)
		}
	}
	if c.handles == 0 {
		c.free = nil
	}
}

// window is how many blocks ahead a reader may fetch, of the n that it wants.
func (c *cache) window(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(1, min(n, maxWindow, c.max/max(c.handles, 1)-1))
}

// block is a block that is there or being fetched; nil when there is no room.
// Who gets one must give it back by put. One that is fetched ahead takes no room
// from what others wait to read.
func (c *cache) block(f *file, n int64, ahead bool) *block {
	key := blockKey{f.item, n}
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.blocks[key]; ok {
		b.users++
		c.used.MoveToFront(b.at)
		return b
	}
	buf := c.room(ahead)
	if buf == nil {
		return nil
	}
	b := &block{key: key, owner: f, users: 2, ready: make(chan struct{}), data: buf[:0]} // one is the fetch
	b.at = c.used.PushFront(b)
	c.blocks[key] = b
	c.running.Add(1)
	go c.fetch(b)
	return b
}

// room is the memory for one more block. The caller holds c.mu.
func (c *cache) room(ahead bool) []byte {
	if len(c.blocks) >= c.max {
		b := c.oldest(true)
		if b == nil && !ahead {
			b = c.oldest(false)
		}
		if b == nil {
			return nil
		}
		c.drop(b)
	}
	if n := len(c.free); n > 0 {
		buf := c.free[n-1]
		c.free = c.free[:n-1]
		return buf
	}
	return make([]byte, blockSize)
}

// oldest is the block used longest ago of those that nobody is using and, if so
// asked, somebody has read to the end. The caller holds c.mu.
func (c *cache) oldest(read bool) *block {
	for e := c.used.Back(); e != nil; e = e.Prev() {
		if b := e.Value.(*block); b.users == 0 && (b.read || !read) {
			return b
		}
	}
	return nil
}

// drop forgets a block without users. The caller holds c.mu.
func (c *cache) drop(b *block) {
	if c.blocks[b.key] == b {
		delete(c.blocks, b.key)
		c.used.Remove(b.at)
	}
	if b.users == 0 && cap(b.data) > 0 {
		c.free = append(c.free, b.data[:cap(b.data)])
		b.data = nil
	}
}

// put gives a block back. done says that its reader has come to its end: it is
// in the kernel's cache then, and the first to go when room is needed. It does
// not go at once, as reads overtake each other.
func (c *cache) put(b *block, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	b.read = b.read || done
	switch here := c.blocks[b.key] == b; {
	case b.users == 0 && !here:
		c.drop(b)
	case done && here:
		c.used.MoveToBack(b.at)
	}
}

// fetch fills a block.
func (c *cache) fetch(b *block) {
	defer c.running.Done()
	select {
	case c.slots <- struct{}{}:
		begin := b.key.n * blockSize
		b.data, b.err = c.read(c.ctx, b.key.item, b.data[:min(blockSize, b.key.item.Size-begin)], begin)
		<-c.slots
	case <-c.ctx.Done():
		b.err = c.ctx.Err()
	}
	if b.err != nil {
		// The next reader tries again.
		c.mu.Lock()
		if c.blocks[b.key] == b {
			delete(c.blocks, b.key)
			c.used.Remove(b.at)
		}
		c.mu.Unlock()
	}
	close(b.ready)
	c.put(b, false)
}

// read fills p from the object, at an offset. An object that has become
// shorter is an error.
func (c *cache) read(ctx context.Context, it *Item, p []byte, offset int64) ([]byte, error) {
	r, err := c.store.Open(ctx, it.URI, offset, int64(len(p)))
	if err == nil {
		_, err = io.ReadFull(r, p)
		r.Close()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("it ends before byte %d: %w", offset+int64(len(p)), io.ErrUnexpectedEOF)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Error("object not read", "uri", it.URI.String(), "offset", offset, "bytes", len(p), "err", err)
	}
	return p, err
}
