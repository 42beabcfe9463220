// SPDX-License-Identifier: Apache-2.0

// Package mem keeps objects in memory, for tests.
package mem

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Store holds objects in memory. Its methods may be called from several
// goroutines at once.
type Store struct {
	mu      sync.RWMutex
	buckets map[string]map[string]blob
}

type blob struct {
	data     []byte // never changed
	etag     string
	modified time.Time
}

var _ object.Store = (*Store)(nil)

// New is a Store with these buckets.
func New(buckets ...string) *Store {
	s := &Store{buckets: map[string]map[string]blob{}}
	for _, b := range buckets {
		s.buckets[b] = map[string]blob{}
	}
	return s
}

// HasBucket tells whether the bucket exists.
func (s *Store) HasBucket(_ context.Context, bucket string) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.buckets[bucket]
	return ok, nil
}

// MakeBucket makes a bucket; an existing one is no error.
func (s *Store) MakeBucket(_ context.Context, bucket string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.buckets[bucket]; !ok {
		s.buckets[bucket] = map[string]blob{}
	}
	return nil
}

func (s *Store) find(u object.URI) (blob, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	objects, ok := s.buckets[u.Bucket]
	if !ok {
		return blob{}, fmt.Errorf("open %v: %w", u, object.ErrNoBucket)
	}
	b, ok := objects[u.Key]
	if !ok {
		return blob{}, fmt.Errorf("open %v: %w", u, object.ErrNotFound)
	}
	return b, nil
}

func (b blob) info(u object.URI) object.Info {
	return object.Info{URI: u, Size: int64(len(b.data)), ETag: b.etag, Modified: b.modified}
}

// Stat is the object's Info. The ETag is without quotes.
func (s *Store) Stat(_ context.Context, u object.URI) (object.Info, error) {
	b, err := s.find(u)
	if err != nil {
		return object.Info{}, err
	}
	return b.info(u), nil
}

// Open reads size bytes from offset, fewer at the end of the object.
func (s *Store) Open(_ context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	b, err := s.find(u)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("open %v at %d: negative offset", u, offset)
	}
	data := b.data[min(offset, int64(len(b.data))):]
	if size >= 0 {
		data = data[:min(size, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Put writes an object whole.
func (s *Store) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	if u.Key == "" {
		return object.Info{}, fmt.Errorf("put: %v names no object", u)
	}
	if ok, _ := s.HasBucket(ctx, u.Bucket); !ok {
		return object.Info{}, fmt.Errorf("put %v: %w", u, object.ErrNoBucket)
	}
	data, err := io.ReadAll(r)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return object.Info{}, fmt.Errorf("put %v: %w", u, err)
	}
	sum := md5.Sum(data)
	b := blob{data: data, etag: hex.EncodeToString(sum[:]), modified: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[u.Bucket][u.Key] = b
	return b.info(u), nil
}

// List gives the objects whose key begins with u.Key, in key order. max below
// 1 is 1000.
func (s *Store) List(_ context.Context, u object.URI, after string, max int) ([]object.Info, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	objects, ok := s.buckets[u.Bucket]
	if !ok {
		return nil, false, fmt.Errorf("list %v: %w", u, object.ErrNoBucket)
	}
	if max < 1 {
		max = 1000
	}
	var page []object.Info
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if key <= after || !strings.HasPrefix(key, u.Key) {
			continue
		}
		if len(page) == max {
			return page, true, nil
		}
		page = append(page, objects[key].info(object.URI{Bucket: u.Bucket, Key: key}))
	}
	return page, false, nil
}

// Delete removes an object; a missing one is no error.
func (s *Store) Delete(_ context.Context, u object.URI) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, ok := s.buckets[u.Bucket]
	if !ok {
		return fmt.Errorf("delete %v: %w", u, object.ErrNoBucket)
	}
	delete(objects, u.Key)
	return nil
}
