// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// CheckInput refuses an S3 URI under which there are no objects, in the
// service's words. what names the input: `channel "train"`.
func (m Mover) CheckInput(ctx context.Context, what, uri, region, role string) error {
	u, err := object.ParseURI(uri)
	if err != nil {
		return fault.Validation("Invalid S3Uri of the %s: %s.", what, err)
	}
	found, err := m.any(ctx, u)
	if err != nil && !errors.Is(err, object.ErrNotFound) {
		return fmt.Errorf("look for the data of %s: %w", what, err)
	}
	if found {
		return nil
	}
	text := ""
	if errors.Is(err, object.ErrNoBucket) {
		text = " Error message from S3: The specified bucket does not exist"
	}
	return fault.Validation("No S3 objects found under S3 URL %q given in input data source. Please ensure that the bucket exists "+
		"in the selected region (%s), that objects exist under that S3 prefix, and that the role %q has \"s3:ListBucket\" "+
		"permissions on bucket %q.%s", uri, region, role, u.Bucket, text)
}

// CheckOutput refuses an S3 URI whose bucket does not exist or can only be read.
func (m Mover) CheckOutput(ctx context.Context, uri, region string) error {
	u, err := object.ParseURI(uri)
	if err != nil {
		return fault.Validation("Invalid S3 output location: %s.", err)
	}
	ok, err := m.Objects.HasBucket(ctx, u.Bucket)
	if err != nil {
		return fmt.Errorf("look for the output bucket: %w", err)
	}
	if !ok {
		return fault.Validation("Invalid S3 output location %q: the bucket %q does not exist in the selected region (%s).", uri, u.Bucket, region)
	}
	if g, ok := m.Objects.(object.Guarded); ok && g.ReadOnly(u.Bucket) {
		return fault.Validation("Invalid S3 output location %q: access denied, as the bucket %q can only be read.", uri, u.Bucket)
	}
	return nil
}

// any reports whether an object's key begins with u's. Folder markers, whose
// keys end with a slash, hold no data and do not count.
func (m Mover) any(ctx context.Context, u object.URI) (bool, error) {
	if ok, err := m.Objects.HasBucket(ctx, u.Bucket); err != nil || !ok {
		return false, errors.Join(err, object.ErrNoBucket)
	}
	after := ""
	for {
		page, more, err := m.Objects.List(ctx, u, after, 10)
		if err != nil {
			return false, err
		}
		for _, o := range page {
			if !strings.HasSuffix(o.URI.Key, "/") {
				return true, nil
			}
			after = o.URI.Key
		}
		if !more || len(page) == 0 {
			return false, nil
		}
	}
}
