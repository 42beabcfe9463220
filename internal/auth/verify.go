// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Options of a Verifier. Only Keys is required.
type Options struct {
	Keys   Keys
	Region string           // the only region that is served; "" serves any
	Now    func() time.Time // time.Now when nil
	Skew   time.Duration    // how far a request's time may lie from ours, either way; 0 is 15 minutes
	// BodyLimit is how many bytes VerifyStream reads into memory when the
	// payload's hash must be known first and no header tells it; 0 is 32 MiB.
	BodyLimit int64
}

// Verifier tells who signed a request. It is safe for concurrent use.
type Verifier struct {
	Options
	cache keyCache
}

// New makes a Verifier. It starts nothing.
func New(o Options) *Verifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Skew == 0 {
		o.Skew = 15 * time.Minute
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = 32 << 20
	}
	return &Verifier{Options: o}
}

// Verify checks the signature of r, whose whole body has been read already
// (nil: it is empty), and tells who signed. r.Body is not touched.
//
// A signature in the Authorization header and one in the query (a presigned
// URL) are accepted. The payload hash is the one in x-amz-content-sha256,
// which must then be that of body, or is computed. aws-chunked bodies, which
// only S3 takes, are for VerifyStream.
//
// A refusal is a *Refusal, for the gateway to word; any other error is ours
// (the key store failed). The Scope is filled in as far as it could be read.
func (v *Verifier) Verify(r *http.Request, body []byte) (Caller, Scope, error) {
	c, p, err := v.read(r)
	if err != nil {
		return Caller{}, c.Scope, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	switch p.mode {
	case unsignedBody:
		s.setPayload(p.text)
	case hashedBody, computedBody:
		s.hashPayload(body)
		if p.mode == hashedBody && string(s.payload) != p.text {
			return Caller{}, c.Scope, refuse(BodyMismatch, "")
		}
	default:
		return Caller{}, c.Scope, refuse(Incomplete, "x-amz-content-sha256 '"+p.text+"' is supported by Amazon S3 only")
	}
	caller, _, err := v.check(r, &c, s)
	return caller, c.Scope, err
}

// VerifyStream checks the signature of r without reading a body that needs
// no reading for it: the Body it returns verifies while it is read, and fails
// with a *Refusal instead of ending well. What was read from it must not be
// kept until it has ended with io.EOF, or has given Body.Length bytes.
//
// An aws-chunked body is decoded. The caller closes the Body, which closes
// r.Body. On error there is no Body and r.Body is the caller's still.
func (v *Verifier) VerifyStream(r *http.Request) (Caller, Scope, *Body, error) {
	c, p, err := v.read(r)
	if err != nil {
		return Caller{}, c.Scope, nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var b *Body
	switch p.mode {
	case computedBody:
		text, err := v.readAll(r)
		if err != nil {
			return Caller{}, c.Scope, nil, err
		}
		s.hashPayload(text)
		b = &Body{Length: int64(len(text)), r: bytes.NewReader(text), c: r.Body}
	default:
		s.setPayload(p.text)
	}
	caller, key, err := v.check(r, &c, s)
	if err != nil {
		return Caller{}, c.Scope, nil, err
	}
	if b == nil {
		if b, err = newBody(r, &c, p, key); err != nil {
			return Caller{}, c.Scope, nil, err
		}
	}
	return caller, c.Scope, b, nil
}

// readAll reads a body that must be hashed before its signature is known.
func (v *Verifier) readAll(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	if r.ContentLength > v.BodyLimit {
		return nil, refuse(BodyTooLarge, "Request body is too large.")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, v.BodyLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	if int64(len(text)) > v.BodyLimit {
		return nil, refuse(BodyTooLarge, "Request body is too large.")
	}
	return text, nil
}

// read parses the signature, wherever it is, and what it says of the body.
func (v *Verifier) read(r *http.Request) (credential, payload, error) {
	var c credential
	var err error
	h, q := r.Header.Get("Authorization"), r.URL.RawQuery
	inQuery := q != "" && (strings.Contains(q, "X-Amz-Signature=") || strings.Contains(q, "X-Amz-Algorithm="))
	switch {
	case h != "" && inQuery:
		err = refuse(Incomplete, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case h != "":
		c, err = fromHeader(r, h)
	case inQuery:
		c, err = fromQuery(r)
	case q != "" && presignedV2(q):
		c, err = fromQueryV2(q)
		return c, payload{unsignedBody, "UNSIGNED-PAYLOAD"}, err
	default:
		err = refuse(Missing, "")
	}
	if err != nil {
		if f, ok := errors.AsType[*Refusal](err); ok {
			f.AccessKey = c.AccessKey
		}
		return c, payload{}, err
	}
	p, err := payloadOf(r, &c)
	return c, p, err
}

// payload is the canonical request's last line and what it asks of the body.
type payload struct {
	mode payloadMode
	text string // of the header; "" for computedBody
}

type payloadMode uint8

const (
	computedBody payloadMode = iota // no header: the hash is to be computed
	hashedBody                      // the header is the hash
	unsignedBody
	signedChunks   // aws-chunked; a mode below says more of it
	signedTrailer  // signed chunks, signed trailer
	unsignedChunks // unsigned chunks with a trailer
)

func payloadOf(r *http.Request, c *credential) (payload, error) {
	text := r.Header.Get("X-Amz-Content-Sha256")
	if c.presigned && !signs(c.signedHeaders, "x-amz-content-sha256") {
		text, _ = queryValue(r.URL.RawQuery, "X-Amz-Content-Sha256")
		if text == "" && signsS3(c.Service) {
			text = "UNSIGNED-PAYLOAD"
		}
	}
	switch text {
	case "":
		if signsS3(c.Service) {
			return payload{}, refuse(Incomplete, "Missing required header for this request: x-amz-content-sha256")
		}
		return payload{computedBody, ""}, nil
	case "UNSIGNED-PAYLOAD":
		return payload{unsignedBody, text}, nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		return payload{signedChunks, text}, nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		return payload{signedTrailer, text}, nil
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		return payload{unsignedChunks, text}, nil
	}
	if len(text) != 2*sha256.Size || !isLowerHex(text) {
		return payload{}, refuse(Incomplete, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.")
	}
	return payload{hashedBody, text}, nil
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// check is the judgement: time, region, key, token, signature. s holds the
// payload hash. It returns the signing key too, which chunks are signed with.
func (v *Verifier) check(r *http.Request, c *credential, s *scratch) (Caller, *signingKey, error) {
	fail := func(k Kind, detail string) (Caller, *signingKey, error) {
		return Caller{}, nil, &Refusal{Kind: k, Detail: detail, AccessKey: c.AccessKey}
	}
	now := v.Now()
	if k, detail := v.checkTime(c, now); k != 0 {
		return fail(k, detail)
	}
	if v.Region != "" && c.Region != v.Region && !global(c) {
		return fail(BadScope, "Credential should be scoped to a valid region, not '"+c.Region+"'.")
	}
	key, err := v.lookup(r.Context(), c, now)
	if err != nil {
		return Caller{}, nil, err
	}
	caller := Caller{
		Account: key.Account, Region: c.Region, Principal: key.Principal, UserID: key.UserID, AccessKey: key.ID,
	}
	if c.v2 != nil {
		caller.Region = v.Region
		if !c.v2.matches(r, key.Secret) {
			return fail(Mismatch, "")
		}
		return caller, nil, nil
	}
	if !signs(c.signedHeaders, "host") {
		return fail(Mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if name := unsignedHeader(r.Header, c.signedHeaders); name != "" {
		return fail(UnsignedHeader, "'"+strings.ToLower(name)+"' must be a 'SignedHeader' in the AWS Authorization.")
	}
	signing, cached := v.cache.get(key.Secret, c.Scope)
	path, style := wirePath(r), encodeTwice
	if signsS3(c.Service) {
		style = encodeOnce
	}
	ok := s.signed(r, c, path, style, signing)
	if !ok && style == encodeTwice && dotted(path) {
		ok = s.signed(r, c, path, encodeDotted, signing)
	}
	if !ok {
		s.canonical(r, c, path, style)
		return Caller{}, nil, &Refusal{Kind: Mismatch, AccessKey: c.AccessKey, Canonical: string(s.text)}
	}
	if !cached {
		v.cache.put(signing, c.Scope)
	}
	return caller, signing, nil
}

// signed reports whether c's signature is the right one for r.
func (s *scratch) signed(r *http.Request, c *credential, path string, style pathStyle, k *signingKey) bool {
	s.canonical(r, c, path, style)
	s.stringToSign(c)
	s.sum = k.appendSign(s.sum[:0], s.text)
	return len(c.signature) == len(s.sum) && subtle.ConstantTimeCompare([]byte(c.signature), s.sum) == 1
}

// checkTime gives the refusal of a signature that is too old or too new; 0
// when it is neither.
func (v *Verifier) checkTime(c *credential, now time.Time) (Kind, string) {
	now = now.UTC()
	window := func(sign string) string {
		return " (" + now.Format(stampLayout) + " " + sign + " " + minutes(v.Skew) + ".)"
	}
	if c.v2 == nil && c.time.Sub(now) > v.Skew {
		return Skewed, "Signature not yet current: " + c.stamp + " is still later than " +
			now.Add(v.Skew).Format(stampLayout) + window("+")
	}
	if c.presigned {
		if now.Sub(c.time) > c.expires {
			return URLExpired, "Signature expired: " + c.time.Add(c.expires).UTC().Format(stampLayout) +
				" is now earlier than " + now.Format(stampLayout)
		}
		return 0, ""
	}
	if now.Sub(c.time) > v.Skew {
		return Skewed, "Signature expired: " + c.stamp + " is now earlier than " +
			now.Add(-v.Skew).Format(stampLayout) + window("-")
	}
	return 0, ""
}

// minutes words a skew as the service does, "15 min".
func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}

// global reports whether the scope is the fixed one of a service without
// regions, which clients in any region use.
func global(c *credential) bool {
	return c.v2 != nil || c.Region == "us-east-1" && (c.Service == "iam" || c.Service == "sts")
}

// lookup finds the key and holds the request's session token against it.
func (v *Verifier) lookup(ctx context.Context, c *credential, now time.Time) (Key, error) {
	key, ok, err := v.Keys.Lookup(ctx, c.AccessKey)
	if err != nil {
		return Key{}, fmt.Errorf("look up access key %q: %w", c.AccessKey, err)
	}
	if !ok {
		return Key{}, &Refusal{Kind: UnknownKey, AccessKey: c.AccessKey}
	}
	if subtle.ConstantTimeCompare([]byte(c.token), []byte(key.SessionToken)) != 1 {
		return Key{}, &Refusal{Kind: BadToken, AccessKey: c.AccessKey}
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return Key{}, &Refusal{Kind: ExpiredToken, AccessKey: c.AccessKey}
	}
	return key, nil
}

// unsignedHeader finds an x-amz- header that the signature does not cover:
// one that somebody on the way may have added, X-Amz-Target for one, which
// names the operation. Five are free: three that are checked otherwise and
// two that mean nothing here.
func unsignedHeader(h http.Header, list string) string {
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		switch name {
		case "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-User-Agent", "X-Amz-Cf-Id":
			continue
		}
		if !signsFold(list, name) {
			return name
		}
	}
	return ""
}

// signsFold is signs for a name in any case.
func signsFold(list, name string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		if strings.EqualFold(item, name) {
			return true
		}
	}
	return false
}

// PayloadHash is the SHA-256 of body in hex, what x-amz-content-sha256 holds.
func PayloadHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// sameMAC compares two texts of a signature in constant time.
func sameMAC(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
