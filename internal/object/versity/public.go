// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Public are buckets that belong to somebody else: everyone may read them,
// signed or not, nobody may write to them, and no list of buckets has them.
// AWS's content buckets are such.
type Public interface {
	// Has tells whether the bucket is one of them. It is asked for each object
	// that is opened.
	Has(bucket string) bool
	// Objects are the objects of a bucket that Has knows, by their keys.
	Objects(bucket string) (map[string][]byte, error)
}

// noPublic has no buckets.
type noPublic struct{}

func (noPublic) Has(string) bool                           { return false }
func (noPublic) Objects(string) (map[string][]byte, error) { return nil, nil }

// errPublic refuses to write to a public bucket.
var errPublic = errors.New("the bucket is public and can only be read")

// show sees to it that a public bucket holds its objects, as files like all
// others, so that ranges, links, copies and listings of them need nothing of
// their own. It is done when the bucket is first named, once in the life of the
// Store; objects that are there already, from an earlier process, stay, as do
// those that the bucket no longer has, since a record may name them.
func (s *Store) show(bucket string) error {
	if !s.opt.Public.Has(bucket) {
		return nil
	}
	// A pointer, since functions cannot be compared.
	once, _ := s.shown.LoadOrStore(bucket, new(sync.OnceValue(func() error { return s.fill(bucket) })))
	if err := (*once.(*func() error))(); err != nil {
		s.shown.CompareAndDelete(bucket, once) // to be tried again
		return fmt.Errorf("show public bucket %s: %w", bucket, err)
	}
	return nil
}

// ReadOnly implements object.Guarded.
func (s *Store) ReadOnly(bucket string) bool { return s.opt.Public.Has(bucket) }

// fill writes what a public bucket lacks.
func (s *Store) fill(bucket string) error {
	objects, err := s.opt.Public.Objects(bucket)
	if err != nil {
		return err
	}
	// Requests are those of no one: the bucket has to be there before its
	// objects are, and whoever comes first makes it.
	ctx := s.acting(context.Background())
	if _, err := s.root.Stat(bucket); errors.Is(err, fs.ErrNotExist) {
		acl, err := json.Marshal(vauth.ACL{Owner: s.opt.RootKey.Account})
		if err != nil {
			return err
		}
		if err := s.posix.CreateBucket(ctx, &s3.CreateBucketInput{
			Bucket:                    &bucket,
			ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
			CreateBucketConfiguration: new(types.CreateBucketConfiguration),
		}, acl); err != nil {
			return inWords(err)
		}
	} else if err != nil {
		return err
	}
	if err := s.posix.PutBucketPolicy(ctx, bucket, readPolicy(bucket)); err != nil {
		return inWords(err)
	}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		content := objects[key]
		if has, err := s.root.ReadFile(filepath.Join(bucket, filepath.FromSlash(key))); err == nil && bytes.Equal(has, content) {
			continue
		}
		size := int64(len(content))
		in := s3response.PutObjectInput{Bucket: &bucket, Key: &key, ContentLength: &size, Body: bytes.NewReader(content)}
		if _, err := s.posix.PutObject(ctx, in); err != nil {
			return fmt.Errorf("put %s: %w", key, inWords(err))
		}
	}
	return nil
}

// readPolicy lets everyone read a bucket.
func readPolicy(bucket string) []byte {
	arn := "arn:aws:s3:::" + bucket
	return fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket","s3:GetBucketLocation"],"Resource":[%q,%q]}]}`, arn, arn+"/*")
}

// admitPublic shows the public buckets that r reads, and refuses to write to
// one. What r writes elsewhere may be copied from one.
func (s *Store) admitPublic(r *http.Request) error {
	if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
		path, _, _ := strings.Cut(from, "?")
		if path, err := url.PathUnescape(path); err == nil {
			bucket, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
			if err := s.show(bucket); err != nil {
				return err
			}
		}
	}
	p := s.placeOf(r)
	switch {
	case !s.opt.Public.Has(p.bucket):
		return nil
	case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodOptions:
		err := s.show(p.bucket)
		if err != nil {
			s.log.ErrorContext(r.Context(), "public bucket cannot be shown", "bucket", p.bucket, "error", err)
		}
		return err
	case createsBucket(r, p):
		return s3err.GetBucketErr(s3err.ErrBucketAlreadyExists, p.bucket)
	}
	return s3err.GetAPIError(s3err.ErrAccessDenied)
}

// ListBuckets lists the buckets that are not public.
func (b *backend) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	out, err := b.Posix.ListBuckets(ctx, in)
	out.Buckets.Bucket = slices.DeleteFunc(out.Buckets.Bucket, func(e s3response.ListAllMyBucketsEntry) bool {
		return b.store.opt.Public.Has(e.Name)
	})
	return out, err
}
