// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// checkURI refuses what is no bucket name of S3, and keys that are no path or
// lead into the backend's own folder.
func checkURI(u object.URI) error {
	if !utils.IsValidBucketName(u.Bucket) {
		return fmt.Errorf("%q is not a bucket name", u.Bucket)
	}
	if u.Key == "" {
		return nil
	}
	segments := strings.Split(strings.TrimSuffix(u.Key, "/"), "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." || strings.ContainsRune(s, 0) {
			return fmt.Errorf("key %q has a segment that no file can have", u.Key)
		}
	}
	if segments[0] == posix.MetaTmpDir {
		return fmt.Errorf("key %q is reserved", u.Key)
	}
	return nil
}

// checkObject is checkURI for one object, which has a key.
func checkObject(u object.URI) error {
	if u.Key == "" {
		return fmt.Errorf("%v names no object", u)
	}
	return checkURI(u)
}

// HasBucket tells whether the bucket exists.
func (s *Store) HasBucket(_ context.Context, bucket string) (bool, error) {
	if err := checkURI(object.URI{Bucket: bucket}); err != nil {
		return false, nil // no bucket has such a name
	}
	if err := s.show(bucket); err != nil {
		return false, err
	}
	info, err := s.root.Stat(bucket)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for bucket %s: %w", bucket, err)
	}
	return info.IsDir(), nil
}

// MakeBucket makes a bucket that the account of Options.RootKey owns.
func (s *Store) MakeBucket(ctx context.Context, bucket string) error {
	if err := checkURI(object.URI{Bucket: bucket}); err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	if ok, err := s.HasBucket(ctx, bucket); ok || err != nil {
		return err
	}
	acl, err := json.Marshal(vauth.ACL{Owner: s.opt.RootKey.Account})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", bucket, err)
	}
	err = s.posix.CreateBucket(s.acting(ctx), &s3.CreateBucketInput{
		Bucket:                    &bucket,
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
		CreateBucketConfiguration: new(types.CreateBucketConfiguration),
	}, acl)
	if err != nil {
		if ok, _ := s.HasBucket(ctx, bucket); ok { // another made it meanwhile
			return nil
		}
		return fmt.Errorf("make bucket %s: %w", bucket, inWords(err))
	}
	return nil
}

// acting is ctx with the account that the backend writes as.
func (s *Store) acting(ctx context.Context) context.Context {
	a := owner(s.opt.RootKey.Account)
	// The backend looks its callers up by these plain strings.
	ctx = context.WithValue(ctx, "account", a)       //nolint:staticcheck // the key is the backend's
	return context.WithValue(ctx, "bucket-owner", a) //nolint:staticcheck // the key is the backend's
}

// openFile opens the file that holds u, which the caller closes. Errors:
// object.ErrNotFound, object.ErrNoBucket.
func (s *Store) openFile(u object.URI) (*os.File, fs.FileInfo, error) {
	if err := checkObject(u); err != nil {
		return nil, nil, err
	}
	if err := s.show(u.Bucket); err != nil {
		return nil, nil, err
	}
	f, err := s.root.OpenFile(filepath.Join(u.Bucket, filepath.FromSlash(u.Key)), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, s.missing(u, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !(info.IsDir() && strings.HasSuffix(u.Key, "/")) || err == nil && !info.IsDir() && strings.HasSuffix(u.Key, "/") {
		err = object.ErrNotFound
	}
	name := etagAttribute // folders are objects if they have it, files are not if they have the other
	if err == nil && !info.IsDir() {
		name = deletedAttribute
	}
	if err == nil {
		var has bool
		if _, has, err = s.attrs.get(f, u.Bucket, u.Key, name); err == nil && has != info.IsDir() {
			err = object.ErrNotFound
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("open %v: %w", u, err)
	}
	return f, info, nil
}

// missing says in the words of package object why u could not be reached.
func (s *Store) missing(u object.URI, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ENAMETOOLONG) {
		return fmt.Errorf("open %v: %w", u, err)
	}
	if _, err := s.root.Stat(u.Bucket); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %v: %w", u, object.ErrNoBucket)
	}
	return fmt.Errorf("open %v: %w", u, object.ErrNotFound)
}

// Stat is the object's Info. The ETag is without quotes.
func (s *Store) Stat(_ context.Context, u object.URI) (object.Info, error) {
	f, info, err := s.openFile(u)
	if err != nil {
		return object.Info{}, err
	}
	defer f.Close()
	tag, err := s.attrs.etag(f, info, u.Bucket, u.Key)
	if err != nil {
		return object.Info{}, err
	}
	return infoOf(u, info, tag), nil
}

func infoOf(u object.URI, info fs.FileInfo, tag string) object.Info {
	size := info.Size()
	if info.IsDir() {
		size = 0
	}
	return object.Info{URI: u, Size: size, ETag: strings.Trim(tag, `"`), Modified: info.ModTime()}
}

// Open reads size bytes from offset, fewer at the end of the object. The object
// stays as it was opened, whatever is put in its place.
func (s *Store) Open(_ context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	f, info, err := s.openFile(u)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		f.Close()
		return io.NopCloser(strings.NewReader("")), nil
	}
	if offset != 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, fmt.Errorf("open %v at %d: %w", u, offset, err)
		}
	}
	if size < 0 {
		return f, nil
	}
	return &section{Reader: io.LimitReader(f, size), Closer: f}, nil
}

type section struct {
	io.Reader
	io.Closer
}

// Path is the file that holds the object's bytes.
func (s *Store) Path(_ context.Context, u object.URI) (string, error) {
	f, _, err := s.openFile(u)
	if err != nil {
		return "", err
	}
	f.Close()
	return filepath.Join(s.opt.Root, u.Bucket, filepath.FromSlash(u.Key)), nil
}

// memoryPutBytes is how much of a stream of unknown length is kept in memory
// before it goes to a file.
const memoryPutBytes = 1 << 20

// Put writes an object whole. A reader that tells its length (a file, a
// bytes.Reader, a strings.Reader) is written once; of another, what exceeds
// 1 MiB goes through a temporary file, as the backend must know the length
// first.
func (s *Store) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	return s.PutTyped(ctx, u, "", r)
}

// PutTyped implements object.Typed.
func (s *Store) PutTyped(ctx context.Context, u object.URI, contentType string, r io.Reader) (object.Info, error) {
	if err := checkObject(u); err != nil {
		return object.Info{}, fmt.Errorf("put: %w", err)
	}
	if s.opt.Public.Has(u.Bucket) {
		return object.Info{}, fmt.Errorf("put %v: %w", u, errPublic)
	}
	r = &cancelled{ctx: ctx, r: r}
	size, known := remaining(r.(*cancelled).r)
	if !known {
		spool, n, err := s.spool(r)
		if err != nil {
			return object.Info{}, fmt.Errorf("put %v: %w", u, err)
		}
		defer spool.Close()
		r, size = spool, n
	}
	in := s3response.PutObjectInput{Bucket: &u.Bucket, Key: &u.Key, ContentLength: &size, Body: r}
	if contentType != "" {
		in.ContentType = &contentType
	}
	out, err := s.posix.PutObject(s.acting(ctx), in)
	if isAPIError(err, s3err.ErrNoSuchBucket) {
		err = object.ErrNoBucket
	}
	if err != nil {
		return object.Info{}, fmt.Errorf("put %v: %w", u, inWords(err))
	}
	written := object.Info{URI: u, ETag: strings.Trim(out.ETag, `"`), Modified: time.Now()}
	if out.Size != nil {
		written.Size = *out.Size
	}
	// The time of the file is the object's; unless another has written since.
	if now, err := s.Stat(ctx, u); err == nil && now.ETag == written.ETag {
		written.Modified = now.Modified
	}
	return written, nil
}

// remaining is how many bytes r has yet to give, if it tells.
func remaining(r io.Reader) (int64, bool) {
	switch r := r.(type) {
	case interface{ Len() int }: // bytes.Buffer, bytes.Reader, strings.Reader
		return int64(r.Len()), true
	case *io.SectionReader:
		at, err := r.Seek(0, io.SeekCurrent)
		return r.Size() - at, err == nil
	case *os.File:
		info, err := r.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return 0, false
		}
		at, err := r.Seek(0, io.SeekCurrent)
		return max(0, info.Size()-at), err == nil
	}
	return 0, false
}

// spool reads r to its end. The caller closes what it returns.
func (s *Store) spool(r io.Reader) (io.ReadCloser, int64, error) {
	var head bytes.Buffer
	n, err := io.CopyN(&head, r, memoryPutBytes)
	if errors.Is(err, io.EOF) {
		return io.NopCloser(&head), n, nil
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp(s.spoolDir(), "put-")
	if err != nil {
		return nil, 0, err
	}
	os.Remove(f.Name()) // the open file is enough
	size, err := io.Copy(f, io.MultiReader(&head, r))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// cancelled is r until ctx ends.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Delete removes an object. In a bucket with versions the old ones stay.
func (s *Store) Delete(ctx context.Context, u object.URI) error {
	if err := checkObject(u); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if s.opt.Public.Has(u.Bucket) {
		return fmt.Errorf("delete %v: %w", u, errPublic)
	}
	_, err := s.posix.DeleteObject(s.acting(ctx), &s3.DeleteObjectInput{Bucket: &u.Bucket, Key: &u.Key})
	switch {
	case err == nil, isAPIError(err, s3err.ErrNoSuchKey), isAPIError(err, s3err.ErrDirectoryNotEmpty), isAPIError(err, s3err.ErrKeyTooLong):
		return nil // a folder with something in it is no object
	case isAPIError(err, s3err.ErrNoSuchBucket):
		err = object.ErrNoBucket
	}
	return fmt.Errorf("delete %v: %w", u, inWords(err))
}

// inWords is err on one line; the backend's own answers print as XML.
func inWords(err error) error {
	e, ok := errors.AsType[s3err.S3Error](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s: %s", e.BaseError().Code, e.BaseError().Description)
}

// isAPIError tells whether err is this answer of the backend.
func isAPIError(err error, code s3err.ErrorCode) bool {
	e, ok := errors.AsType[s3err.S3Error](err)
	return ok && e.BaseError().Code == s3err.GetAPIError(code).Code
}
