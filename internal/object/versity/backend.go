// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// backend is the posix backend as the S3 server sees it: every file has an
// ETag, also one that the backend has not written.
type backend struct {
	*posix.Posix
	store *Store
}

// PutObject refuses a body that ends before its length. The HTTP server tells a
// connection that broke and a body that ended with the same io.EOF, and without
// a checksum from the client the backend would keep the half it got. The
// framing of the body is not kept as the object's encoding.
func (b *backend) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	// The length of a form, which is a POST, is not that of the object in it;
	// a form that breaks off lacks its last boundary.
	if c, ok := ctx.(*fasthttp.RequestCtx); !ok || c.IsPut() {
		in.Body = exactly(in.Body, in.ContentLength)
	}
	if in.ContentEncoding != nil {
		in.ContentEncoding = new(withoutChunked(*in.ContentEncoding))
	}
	return b.Posix.PutObject(ctx, in)
}

// UploadPart refuses a body that ends before its length, as PutObject does.
func (b *backend) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	whole := *in
	whole.Body = exactly(in.Body, in.ContentLength)
	return b.Posix.UploadPart(ctx, &whole)
}

// exactly is r, and fails if r ends before size bytes.
func exactly(r io.Reader, size *int64) io.Reader {
	if r == nil || size == nil {
		return r
	}
	e := &exactReader{Reader: r, left: *size}
	if sum, ok := r.(middlewares.ChecksumReader); ok {
		return &exactChecksumReader{exactReader: e, sum: sum}
	}
	return e
}

type exactReader struct {
	io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.left -= int64(n)
	if (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && e.left > 0 {
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

// exactChecksumReader still tells the checksum that came behind the body.
type exactChecksumReader struct {
	*exactReader
	sum middlewares.ChecksumReader
}

func (e *exactChecksumReader) Algorithm() string { return e.sum.Algorithm() }

func (e *exactChecksumReader) Checksum() string { return e.sum.Checksum() }

// GetObject settles the ETag first; see attributes.etag.
func (b *backend) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	b.settle(in.Bucket, in.Key, in.VersionId)
	return b.Posix.GetObject(ctx, in)
}

// HeadObject settles the ETag first; see attributes.etag.
func (b *backend) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	b.settle(in.Bucket, in.Key, in.VersionId)
	return b.Posix.HeadObject(ctx, in)
}

// settlePage settles the ETags of the objects of a page.
func (b *backend) settlePage(bucket string, page []s3response.Object) {
	for i, o := range page {
		if o.ETag == nil || !strings.HasSuffix(*o.ETag, settledSuffix) {
			continue
		}
		if tag := b.settle(&bucket, o.Key, nil); tag != "" {
			page[i].ETag = &tag
		}
	}
}

// settle gives the current version of an object an ETag if it has none, and
// tells it. What goes wrong here goes wrong again in the call that follows,
// which then answers for it.
func (b *backend) settle(bucket, key, version *string) string {
	if bucket == nil || key == nil || version != nil && *version != "" {
		return ""
	}
	f, info, err := b.store.openFile(object.URI{Bucket: *bucket, Key: *key})
	if err != nil {
		return ""
	}
	defer f.Close()
	tag, err := b.store.attrs.etag(f, info, *bucket, *key)
	if err != nil {
		return ""
	}
	return tag
}
