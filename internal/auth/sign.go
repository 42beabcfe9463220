// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sign signs r by its Authorization header, as an AWS SDK would, with key for
// region and service at the time now. payloadHash is PayloadHash of the body,
// or "UNSIGNED-PAYLOAD"; "" is an empty body. Host, Content-Type and all
// X-Amz- headers are signed, so r must not be changed after. For our own
// tools and tests.
func Sign(r *http.Request, key Key, region, service, payloadHash string, now time.Time) {
	if payloadHash == "" {
		payloadHash = emptyHash
	}
	c := newCredential(key, region, service, now)
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", c.stamp)
	if key.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", key.SessionToken)
	}
	if signsS3(service) || payloadHash == "UNSIGNED-PAYLOAD" {
		r.Header.Set("X-Amz-Content-Sha256", payloadHash)
	}
	names := []string{"host"}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") || name == "Content-Type" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	c.signedHeaders = strings.Join(names, ";")
	sig := sign(r, &c, key.Secret, payloadHash)
	r.Header.Set("Authorization", algorithm+" Credential="+c.AccessKey+"/"+string(c.Scope.appendTo(nil))+
		", SignedHeaders="+c.signedHeaders+", Signature="+sig)
}

// Presign makes a URL that stands for the request method u for so long as
// expires, at most seven days. Only the host is signed, and a body is not:
// what the service takes under such a URL is its own affair. The result
// shares nothing with u.
func Presign(method string, u *url.URL, key Key, region, service string, expires time.Duration, now time.Time) *url.URL {
	c := newCredential(key, region, service, now)
	c.presigned, c.signedHeaders = true, "host"
	q := u.Query()
	q.Set("X-Amz-Algorithm", algorithm)
	q.Set("X-Amz-Credential", c.AccessKey+"/"+string(c.Scope.appendTo(nil)))
	q.Set("X-Amz-Date", c.stamp)
	q.Set("X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10))
	q.Set("X-Amz-SignedHeaders", c.signedHeaders)
	if key.SessionToken != "" {
		q.Set("X-Amz-Security-Token", key.SessionToken)
	}
	out := *u
	out.RawQuery = q.Encode()
	hash := emptyHash
	if signsS3(service) {
		hash = "UNSIGNED-PAYLOAD"
	}
	r := &http.Request{Method: method, URL: &out, Host: u.Host}
	out.RawQuery += "&X-Amz-Signature=" + sign(r, &c, key.Secret, hash)
	return &out
}

func newCredential(key Key, region, service string, now time.Time) credential {
	stamp := now.UTC().Format(stampLayout)
	return credential{
		Scope: Scope{AccessKey: key.ID, Date: stamp[:8], Region: region, Service: service},
		stamp: stamp,
	}
}

// sign is the signature of r under c, 64 hex digits.
func sign(r *http.Request, c *credential, secret, payloadHash string) string {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	style := encodeTwice
	if signsS3(c.Service) {
		style = encodeOnce
	}
	s.setPayload(payloadHash)
	s.canonical(r, c, wirePath(r), style)
	s.stringToSign(c)
	return string(deriveKey(secret, c.Scope).appendSign(nil, s.text))
}
