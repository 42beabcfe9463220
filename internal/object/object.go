// SPDX-License-Identifier: Apache-2.0

// Package object reaches blobs by their s3:// URI, from inside the process and
// without HTTP. The S3 door that clients use shows the same objects.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrNotFound is a missing object or bucket.
var ErrNotFound = errors.New("object not found")

// ErrNoBucket is a missing bucket; errors.Is(ErrNoBucket, ErrNotFound) holds.
var ErrNoBucket = fmt.Errorf("bucket does not exist: %w", ErrNotFound)

// URI is s3://bucket/key. The key may be empty or a prefix.
type URI struct{ Bucket, Key string }

// ParseURI reads s3://bucket[/key].
func ParseURI(s string) (URI, error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return URI{}, fmt.Errorf("%q is not an s3:// URI", s)
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return URI{}, fmt.Errorf("%q names no bucket", s)
	}
	return URI{Bucket: bucket, Key: key}, nil
}

func (u URI) String() string { return "s3://" + u.Bucket + "/" + u.Key }

// Join is u with parts appended to its key, one slash between.
func (u URI) Join(parts ...string) URI {
	key := u.Key
	for _, p := range parts {
		if key != "" && !strings.HasSuffix(key, "/") {
			key += "/"
		}
		key += strings.TrimPrefix(p, "/")
	}
	return URI{Bucket: u.Bucket, Key: key}
}

// Info is what is known of an object without reading it.
type Info struct {
	URI      URI
	Size     int64 // bytes
	ETag     string
	Modified time.Time
}

// Store holds objects.
type Store interface {
	// HasBucket tells whether the bucket exists.
	HasBucket(ctx context.Context, bucket string) (bool, error)
	// MakeBucket makes a bucket; an existing one is no error.
	MakeBucket(ctx context.Context, bucket string) error
	// Stat is the object's Info, or ErrNotFound.
	Stat(ctx context.Context, u URI) (Info, error)
	// Open reads size bytes from offset; size < 0 reads to the end.
	Open(ctx context.Context, u URI, offset, size int64) (io.ReadCloser, error)
	// Put writes an object whole; readers see the old or the new one.
	Put(ctx context.Context, u URI, r io.Reader) (Info, error)
	// List gives the objects whose key begins with u.Key, in key order, after
	// the key `after`, at most max. more says that there are others.
	List(ctx context.Context, u URI, after string, max int) (page []Info, more bool, err error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, u URI) error
}

// Typed is a Store that remembers of what MIME type an object is: clients see it
// as its Content-Type.
type Typed interface {
	// PutTyped is Put of an object of a type; "" is that of Put.
	PutTyped(ctx context.Context, u URI, contentType string, r io.Reader) (Info, error)
}

// PutTyped writes an object of a MIME type, in a store that has such; in any
// other it is Put.
func PutTyped(ctx context.Context, s Store, u URI, contentType string, r io.Reader) (Info, error) {
	if t, ok := s.(Typed); ok && contentType != "" {
		return t.PutTyped(ctx, u, contentType, r)
	}
	return s.Put(ctx, u, r)
}

// Guarded is a Store with buckets that can only be read: Put and Delete fail.
type Guarded interface {
	// ReadOnly tells whether the bucket is one of them.
	ReadOnly(bucket string) bool
}

// Local is a Store whose objects are files of this machine.
type Local interface {
	// Path is the file that holds the object's bytes. It must not be written to.
	Path(ctx context.Context, u URI) (string, error)
}

// All walks every object under u in key order.
func All(ctx context.Context, s Store, u URI, visit func(Info) error) error {
	after := ""
	for {
		page, more, err := s.List(ctx, u, after, 1000)
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := visit(o); err != nil {
				return err
			}
			after = o.URI.Key
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}
