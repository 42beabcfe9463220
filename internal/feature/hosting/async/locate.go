// SPDX-License-Identifier: Apache-2.0

package async

import (
	"errors"
	"net/url"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// locate reads where an input lies: s3://bucket/key, or one of the two forms of
// https that S3 has, https://bucket.s3.region.amazonaws.com/key and
// https://s3.region.amazonaws.com/bucket/key. The errors are parts of a sentence.
func locate(s string) (object.URI, error) {
	if strings.HasPrefix(s, "s3://") {
		u, err := object.ParseURI(s)
		if err != nil {
			return u, errors.New("it names no bucket")
		}
		return whole(u)
	}
	p, err := url.Parse(s)
	if err != nil || p.Scheme != "https" {
		return object.URI{}, errors.New("it must be the URI of an object in Amazon S3")
	}
	host, ours := strings.CutSuffix(p.Hostname(), ".amazonaws.com")
	key := strings.TrimPrefix(p.Path, "/")
	if !ours || p.RawQuery != "" {
		return object.URI{}, errors.New("it must be the URI of an object in Amazon S3")
	}
	if host == "s3" || strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") {
		bucket, rest, _ := strings.Cut(key, "/")
		return whole(object.URI{Bucket: bucket, Key: rest})
	}
	// A bucket's name may itself have ".s3" within, the service's is the last.
	at := max(strings.LastIndex(host, ".s3."), strings.LastIndex(host, ".s3-"))
	if at < 0 && strings.HasSuffix(host, ".s3") {
		at = len(host) - len(".s3")
	}
	if at < 1 {
		return object.URI{}, errors.New("it must be the URI of an object in Amazon S3")
	}
	return whole(object.URI{Bucket: host[:at], Key: key})
}

// CheckPath holds where results shall go; its errors are parts of a sentence.
func CheckPath(s string) error {
	u, err := object.ParseURI(s)
	if err != nil {
		return errors.New("it must be an s3:// URI that names a bucket")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(u.Key, "/"), "/") {
		if part == "." || part == ".." {
			return errors.New("it must not have \".\" or \"..\" as a part")
		}
	}
	return nil
}

func whole(u object.URI) (object.URI, error) {
	switch {
	case u.Bucket == "":
		return u, errors.New("it names no bucket")
	case u.Key == "" || strings.HasSuffix(u.Key, "/"):
		return u, errors.New("it names no object")
	}
	return u, nil
}
