// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// There is one place, and buckets of every region are in it. Where a bucket is
// said to be is what its maker asked for: the LocationConstraint, or else the
// region that the request was signed for. It is kept with the bucket, and it
// is what GetBucketLocation and the header x-amz-bucket-region tell. A bucket
// of which nothing is kept is in Options.Region.

// locationAttribute holds the region of a bucket that is not Options.Region.
const locationAttribute = "sagebrush-location"

// maxCreateBytes is the longest body of a CreateBucket that is read.
const maxCreateBytes = 64 << 10

// regionName is the form that regions have.
var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// createsBucket tells CreateBucket from all else that is done to a bucket,
// which has a query.
func createsBucket(r *http.Request, p place) bool {
	if r.Method != http.MethodPut || p.bucket == "" || p.key != "" {
		return false
	}
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(strings.ToLower(part), "=")
		if name != "" && name != "x-id" && !strings.HasPrefix(name, "x-amz-") {
			return false
		}
	}
	return true
}

// created is a bucket that a request makes, and where it is to be.
type created struct{ bucket, region string }

type createdKey struct{}

// locate reads where a bucket is to be, as the body of a CreateBucket says that
// is signed for region. If it is elsewhere it takes the constraint, which the S3
// server would refuse, out of the body, and leaves word for answered in the
// context that it returns.
func (s *Store) locate(ctx context.Context, bucket, region string, body *auth.Body, header http.Header) (forwarded, context.Context, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxCreateBytes+1))
	_ = body.Close()
	if err != nil {
		return forwarded{}, nil, inXML(err)
	}
	var in s3response.CreateBucketConfiguration
	if len(text) > maxCreateBytes || len(text) > 0 && xml.Unmarshal(text, &in) != nil {
		return forwarded{}, nil, s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	if in.LocationConstraint != nil && *in.LocationConstraint != "" {
		region = *in.LocationConstraint
		if region == "EU" { // as it was called when it was the only one there
			region = "eu-west-1"
		}
	}
	known := regionName.MatchString(region)
	// S3 has no constraint "us-east-1", and the server knows its own region.
	if in.LocationConstraint != nil && known && region != s.opt.Region && *in.LocationConstraint != "us-east-1" {
		in.LocationConstraint = nil
		if text, err = xml.Marshal(in); err != nil {
			return forwarded{}, nil, fmt.Errorf("write bucket configuration: %w", err)
		}
		for name := range header { // they were those of the body as it came
			if name == "Content-Md5" || strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Sdk-Checksum-Algorithm" {
				header.Del(name)
			}
		}
	}
	f := forwarded{body: io.NopCloser(bytes.NewReader(text)), size: int64(len(text)), payload: unsignedPayload}
	if len(text) == 0 {
		f.body = http.NoBody
	}
	if known && region != s.opt.Region {
		ctx = context.WithValue(ctx, createdKey{}, created{bucket, region})
	}
	return f, ctx, nil
}

// answered sees what the S3 server has answered. It keeps the region of a
// bucket that was made.
func (s *Store) answered(r *http.Response) error {
	r.Header.Del("Server")
	c, ok := r.Request.Context().Value(createdKey{}).(created)
	if !ok || r.StatusCode != http.StatusOK {
		return nil
	}
	if err := s.attrs.StoreAttribute(nil, s.attrBucket(c.bucket), "", locationAttribute, []byte(c.region)); err != nil {
		return fmt.Errorf("keep region of bucket %s: %w", c.bucket, err)
	}
	return nil
}

// GetBucketAcl is what the S3 server asks first of every request for a bucket.
// The region of the bucket then takes the place of the server's in its answer.
func (b *backend) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	acl, err := b.Posix.GetBucketAcl(ctx, in)
	c, ok := ctx.(*fasthttp.RequestCtx)
	if err != nil || !ok {
		return acl, err
	}
	region, kept, err := b.store.attrs.get(nil, b.store.attrBucket(*in.Bucket), "", locationAttribute)
	if err != nil {
		return nil, err
	}
	if kept {
		c.SetUserValue(string(utils.ContextKeyRegion), region)
	}
	return acl, nil
}
