// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// credentialV2 is what a URL presigned by signature version 2 says beyond a
// credential. boto3 still makes such URLs for S3 when it is given an endpoint
// of its own in us-east-1, as it is with every emulator.
type credentialV2 struct {
	expires   string // Unix seconds, as sent
	signature string // base64
}

func presignedV2(q string) bool {
	return strings.Contains(q, "AWSAccessKeyId=") && strings.Contains(q, "Signature=")
}

// fromQueryV2 reads the three parameters.
func fromQueryV2(q string) (credential, error) {
	get := func(key string) string { v, _ := queryValue(q, key); return v }
	c := credential{presigned: true, token: get("x-amz-security-token")}
	c.AccessKey, c.Service = get("AWSAccessKeyId"), "s3"
	c.v2 = &credentialV2{expires: get("Expires"), signature: get("Signature")}
	seconds, err := strconv.ParseInt(c.v2.expires, 10, 64)
	if err != nil || c.AccessKey == "" || c.v2.signature == "" {
		return c, refuse(Incomplete, "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
	}
	// It carries no time of signing: it ends at Expires, and began before.
	c.time = time.Unix(seconds, 0).UTC()
	return c, nil
}

// subresources are the parameters that version 2 signs with the path.
var subresources = []string{
	"accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location",
	"logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment",
	"response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language",
	"response-content-type", "response-expires", "restore", "select", "select-type", "storageClass", "tagging",
	"torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
}

// matches reports whether the signature is that of r under secret.
//
// Source: AWS, "Signing and authenticating REST requests (version 2)". The
// resource is bucket and key; with a bucket in the host's name the bucket is
// put before the path, so both readings of the host are tried.
func (v *credentialV2) matches(r *http.Request, secret string) bool {
	path := wirePath(r)
	if v.matchesPath(r, secret, path) {
		return true
	}
	bucket, _, ok := strings.Cut(r.Host, ".")
	if i := strings.Index(r.Host, ".s3"); i > 0 {
		bucket = r.Host[:i] // names of buckets may hold dots
	}
	return ok && v.matchesPath(r, secret, "/"+bucket+path)
}

func (v *credentialV2) matchesPath(r *http.Request, secret, path string) bool {
	var b strings.Builder
	for _, part := range []string{r.Method, r.Header.Get("Content-Md5"), r.Header.Get("Content-Type"), v.expires} {
		b.WriteString(part)
		b.WriteByte('\n')
	}
	var amz []string
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			amz = append(amz, strings.ToLower(name)+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	// A presigned URL holds headers of x-amz- as parameters.
	var resource []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, value, has := strings.Cut(pair, "=")
		value = unescape(value, true)
		switch {
		case strings.HasPrefix(strings.ToLower(key), "x-amz-"):
			amz = append(amz, strings.ToLower(key)+":"+value+"\n")
		case slices.Contains(subresources, key) && has:
			resource = append(resource, key+"="+value)
		case slices.Contains(subresources, key):
			resource = append(resource, key)
		}
	}
	slices.Sort(amz)
	slices.Sort(resource)
	b.WriteString(strings.Join(amz, ""))
	b.WriteString(path)
	if len(resource) > 0 {
		b.WriteString("?" + strings.Join(resource, "&"))
	}
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(b.String()))
	return sameMAC(base64.StdEncoding.EncodeToString(m.Sum(nil)), v.signature)
}
