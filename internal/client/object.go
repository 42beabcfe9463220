// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// MakeBucket makes a bucket in the client's region. One that the caller owns
// already is as good.
func (c *Client) MakeBucket(ctx context.Context, bucket string) error {
	var body []byte
	if c.region != "us-east-1" { // which S3 refuses by name
		var err error
		body, err = xml.Marshal(struct {
			XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CreateBucketConfiguration"`
			Location string   `xml:"LocationConstraint"`
		}{Location: c.region})
		if err != nil {
			return err
		}
	}
	_, err := c.object(ctx, http.MethodPut, "/"+bucket, "application/xml", body, "make bucket "+bucket)
	if f := fault.Of(err); f != nil && f.Code == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return err
}

// PutObject writes one object whole.
func (c *Client) PutObject(ctx context.Context, bucket, key, contentType string, body []byte) error {
	_, err := c.object(ctx, http.MethodPut, objectPath(bucket, key), contentType, body, fmt.Sprintf("put s3://%s/%s", bucket, key))
	return err
}

// GetObject reads one object whole.
func (c *Client) GetObject(ctx context.Context, bucket, key string) ([]byte, error) {
	return c.object(ctx, http.MethodGet, objectPath(bucket, key), "", nil, fmt.Sprintf("get s3://%s/%s", bucket, key))
}

func (c *Client) object(ctx context.Context, method, path, contentType string, body []byte, what string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	c.sign(r, s3, body)
	return c.do(r, what)
}

// objectPath is the path of an object, encoded as S3's signature wants it:
// every byte but the unreserved ones and the slash.
func objectPath(bucket, key string) string {
	var b strings.Builder
	b.WriteString("/" + bucket + "/")
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
