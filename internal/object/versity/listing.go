// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	gateway "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// listing gathers one page as S3 shows it: objects, and common prefixes in
// place of the keys that they stand for. The S3 server's own reads a folder
// anew for each page, so that a large flat one costs the square of its size.
type listing struct {
	store    *Store
	bucket   string
	max      int
	toObject gateway.GetObjFunc // the server's, so that objects look the same

	objects   []s3response.Object
	prefixes  []types.CommonPrefix
	last      string // key or prefix
	truncated bool
}

// list gives the page of the keys of bucket after marker.
func (s *Store) list(ctx context.Context, bucket, prefix, delimiter, marker string, max int32, owner bool) (*listing, error) {
	if ok, err := s.HasBucket(ctx, bucket); err != nil {
		return nil, err
	} else if !ok {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucket, bucket)
	}
	l := &listing{store: s, bucket: bucket, max: int(max), toObject: s.posix.FileToObj(bucket, owner)}
	if max == 0 {
		return l, nil
	}
	w := walk{ctx: ctx, store: s, bucket: bucket, prefix: prefix, after: marker, delimiter: delimiter,
		file: l.file, folder: l.folder, common: l.common}
	if err := w.run(); err != nil && !errors.Is(err, errFull) {
		return nil, fmt.Errorf("list s3://%s/%s: %w", bucket, prefix, err)
	}
	return l, nil
}

// next is where the following page begins; nil when there is none.
func (l *listing) next() *string {
	if !l.truncated {
		return nil
	}
	return &l.last
}

// full tells, and notes, that there is more than the page can hold.
func (l *listing) full() bool {
	l.truncated = len(l.objects)+len(l.prefixes) == l.max
	return l.truncated
}

func (l *listing) common(prefix string) error {
	if l.full() {
		return errFull
	}
	l.prefixes, l.last = append(l.prefixes, types.CommonPrefix{Prefix: &prefix}), prefix
	return nil
}

func (l *listing) file(key string) error { return l.object(key, 0) }

func (l *listing) folder(key string) error { return l.object(key, fs.ModeDir) }

// object adds what is at key, if it is an object.
func (l *listing) object(key string, kind fs.FileMode) error {
	o, err := l.toObject(key, entry{path: l.store.path(l.bucket, key), kind: kind})
	if errors.Is(err, gateway.ErrSkipObj) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.full() {
		return errFull
	}
	l.objects, l.last = append(l.objects, o), key
	return nil
}

// entry is a file or folder of a folder that was read.
type entry struct {
	path string
	kind fs.FileMode
}

var _ fs.DirEntry = entry{}

// Name is the last part of the path.
func (e entry) Name() string { return path.Base(e.path) }

// IsDir tells a folder.
func (e entry) IsDir() bool { return e.kind.IsDir() }

// Type is 0 for a file, fs.ModeDir for a folder.
func (e entry) Type() fs.FileMode { return e.kind }

// Info is what the file is now.
func (e entry) Info() (fs.FileInfo, error) { return os.Lstat(e.path) }

// ListObjects gives a page of a bucket.
func (b *backend) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	l, err := b.store.list(ctx, *in.Bucket, value(in.Prefix), value(in.Delimiter), value(in.Marker), value(in.MaxKeys), true)
	if err != nil {
		return s3response.ListObjectsResult{}, err
	}
	b.settlePage(*in.Bucket, l.objects)
	return s3response.ListObjectsResult{
		Name:           in.Bucket,
		Prefix:         gateway.GetPtrFromString(value(in.Prefix)),
		Delimiter:      gateway.GetPtrFromString(value(in.Delimiter)),
		Marker:         gateway.GetPtrFromString(value(in.Marker)),
		MaxKeys:        new(value(in.MaxKeys)),
		Contents:       l.objects,
		CommonPrefixes: l.prefixes,
		IsTruncated:    &l.truncated,
		NextMarker:     l.next(),
	}, nil
}

// ListObjectsV2 gives a page of a bucket. A continuation token is the last key,
// or the last common prefix, of the page before.
func (b *backend) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	marker := max(value(in.StartAfter), value(in.ContinuationToken))
	l, err := b.store.list(ctx, *in.Bucket, value(in.Prefix), value(in.Delimiter), marker, value(in.MaxKeys), value(in.FetchOwner))
	if err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	b.settlePage(*in.Bucket, l.objects)
	return s3response.ListObjectsV2Result{
		Name:                  in.Bucket,
		Prefix:                gateway.GetPtrFromString(value(in.Prefix)),
		Delimiter:             gateway.GetPtrFromString(value(in.Delimiter)),
		StartAfter:            gateway.GetPtrFromString(value(in.StartAfter)),
		ContinuationToken:     gateway.GetPtrFromString(value(in.ContinuationToken)),
		MaxKeys:               new(value(in.MaxKeys)),
		KeyCount:              new(int32(len(l.objects) + len(l.prefixes))),
		Contents:              l.objects,
		CommonPrefixes:        l.prefixes,
		IsTruncated:           &l.truncated,
		NextContinuationToken: l.next(),
	}, nil
}

// value is what p points to, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
