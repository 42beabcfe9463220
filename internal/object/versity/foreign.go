// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/versity/versitygw/s3err"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// place is what the address of a request names.
type place struct {
	bucket string // "" for the list of buckets
	key    string
	hosted bool   // the bucket is named by the host
	aws    bool   // the host is one of AWS's own
	host   string // of an address in path style
	path   string // of an address in path style, unescaped
}

// placeOf reads the bucket out of the host or the path of r. The S3 server
// knows no hosts but those of Options.Domain, so what names one of AWS's gets
// an address in path style; any other is left as it is.
func (s *Store) placeOf(r *http.Request) place {
	p := place{host: r.Host, path: r.URL.Path}
	if p.path == "" {
		p.path = "/"
	}
	key := strings.TrimPrefix(p.path, "/")
	if s.opt.SplitHost != nil {
		p.bucket, _, p.aws = s.opt.SplitHost(r.Host)
	}
	if p.bucket != "" {
		if n := len(p.bucket); n < len(r.Host) && strings.EqualFold(r.Host[:n], p.bucket) && r.Host[n] == '.' {
			p.host = r.Host[n+1:]
		}
		p.path = "/" + p.bucket + p.path
	} else if !p.aws {
		p.bucket = s.bucketOfHost(r.Host)
	}
	if p.hosted = p.bucket != ""; p.hosted {
		p.key = key
	} else {
		p.bucket, p.key, _ = strings.Cut(key, "/")
	}
	return p
}

// rawPath is the path as it was sent.
func rawPath(r *http.Request) string {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") { // the absolute form that proxies get
		raw = r.URL.EscapedPath()
	}
	return raw
}

// bucketOfHost is the bucket that an address under Options.Domain names, or "".
func (s *Store) bucketOfHost(host string) string {
	if s.opt.Domain == "" {
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	domain := s.opt.Domain
	if d, _, err := net.SplitHostPort(domain); err == nil {
		domain = d
	}
	bucket, ok := strings.CutSuffix(host, "."+domain)
	if !ok {
		return ""
	}
	return bucket
}

// admit gives the request as the S3 server takes it: signed in version 4 for
// the region of this place, and addressed to a host that it knows. A request
// that is so already passes untouched, and the server checks it; of any other
// the signature is checked here, and it is signed again with the same key. It
// then means what it would have meant.
func (s *Store) admit(r *http.Request) (*http.Request, error) {
	if isPresignedV2(r) {
		return s.acceptPresignedV2(r)
	}
	p := s.placeOf(r)
	scope, signed := auth.ScopeOf(r)
	switch {
	case signed && (p.aws || scope.Region != s.opt.Region || createsBucket(r, p) && r.ContentLength != 0):
		return s.acceptForeign(r, p, scope)
	case isForm(r, p):
		out, err := s.acceptForm(r)
		if err != nil {
			return nil, err
		}
		if p.aws {
			p.address(out, r.URL.RawQuery)
		}
		return out, nil
	case p.aws: // nobody
		out := r.Clone(r.Context())
		p.address(out, r.URL.RawQuery)
		return out, nil
	}
	return r, nil
}

// address gives r the address p in path style.
func (p place) address(r *http.Request, query string) {
	r.Host = p.host
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = p.path, "", query
	r.RequestURI = escape(p.path, true)
	if query != "" {
		r.RequestURI += "?" + query
	}
}

// unsignedPayload is the hash of a body that the signature does not cover.
const unsignedPayload = "UNSIGNED-PAYLOAD"

// signAgain is r at p with header and query, signed by key in version 4 for
// this region. payload is what x-amz-content-sha256 says of the body.
func (s *Store) signAgain(r *http.Request, p place, header http.Header, query []param, key auth.Key, payload string) *http.Request {
	var raw strings.Builder
	for i, q := range query {
		if i > 0 {
			raw.WriteByte('&')
		}
		raw.WriteString(escape(q.name, false) + "=" + escape(q.value, false))
	}
	out := r.Clone(r.Context())
	out.Header = header
	p.address(out, raw.String())
	auth.Sign(out, key, s.opt.Region, "s3", payload, time.Now())
	return out
}

// ownHeaders are those that say how a request was signed and framed. They end
// with its signature.
var ownHeaders = []string{
	"Authorization", "Content-Length", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Decoded-Content-Length",
	"X-Amz-Security-Token", "X-Amz-Trailer",
}

// ownParams are the members of a presigned URL that say how it was signed.
var ownParams = []string{
	"x-amz-algorithm", "x-amz-content-sha256", "x-amz-credential", "x-amz-date", "x-amz-expires",
	"x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
}

// acceptForeign checks the signature of r, whichever region it is for, and
// gives the same request, signed for this one. What it says of its body is
// checked while the S3 server reads it, which gets the last bytes only when
// they hold; see unreachable for what then becomes of the request.
func (s *Store) acceptForeign(r *http.Request, p place, scope auth.Scope) (*http.Request, error) {
	if scope.Service != "s3" {
		return nil, s3err.MalformedAuth.IncorrectService("s3", scope.Service)
	}
	params, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	_, scope, body, err := s.verifier.VerifyStream(r)
	if err != nil {
		return nil, inXML(err)
	}
	key, ok, err := s.users.Lookup(r.Context(), scope.AccessKey)
	if err != nil {
		return nil, err
	}
	if !ok { // removed since
		return nil, s3err.GetInvalidAccessKeyIdErr(scope.AccessKey)
	}
	header := r.Header.Clone()
	if header.Get("Authorization") == "" {
		params = unhoist(params, header)
	}
	for _, name := range ownHeaders {
		header.Del(name)
	}
	if rest := withoutChunked(header.Get("Content-Encoding")); rest != "" {
		header.Set("Content-Encoding", rest)
	} else {
		header.Del("Content-Encoding")
	}
	ctx := r.Context()
	var f forwarded
	if createsBucket(r, p) {
		f, ctx, err = s.locate(ctx, p.bucket, scope.Region, body, header)
	} else {
		f, err = s.forward(r, body, header)
	}
	if err != nil {
		return nil, err
	}
	out := s.signAgain(r.WithContext(ctx), p, header, params, key, f.payload)
	out.Body, out.ContentLength, out.TransferEncoding = f.body, f.size, nil
	return out, nil
}

// unhoist takes what signed a URL out of its query, and gives the headers that
// were put there back to header, as S3 does.
func unhoist(params []param, header http.Header) []param {
	return slices.DeleteFunc(slices.Clone(params), func(p param) bool {
		name := strings.ToLower(p.name)
		if slices.Contains(ownParams, name) {
			return true
		}
		if !strings.HasPrefix(name, "x-amz-") {
			return false
		}
		if header.Get(name) == "" {
			header.Set(name, p.value)
		}
		return true
	})
}

// withoutChunked is a Content-Encoding without the framing of a request, which
// is no encoding of the object.
func withoutChunked(encoding string) string {
	parts := strings.Split(encoding, ",")
	parts = slices.DeleteFunc(parts, func(p string) bool { return strings.EqualFold(strings.TrimSpace(p), "aws-chunked") })
	return strings.TrimSpace(strings.Join(parts, ","))
}

// forwarded is a body on its way to the S3 server.
type forwarded struct {
	body    io.ReadCloser
	size    int64 // -1 where the sender did not tell
	payload string
}

// forward is the body of r, verified and decoded. A checksum behind it stays
// behind it, as the server keeps it with the object: the body gets unsigned
// chunks then, and header says so.
func (s *Store) forward(r *http.Request, body *auth.Body, header http.Header) (forwarded, error) {
	f := forwarded{body: body, size: body.Length, payload: unsignedPayload}
	sent := r.Header.Get("X-Amz-Content-Sha256")
	streaming := strings.HasPrefix(sent, "STREAMING-")
	switch {
	case f.size > s.opt.MaxBodyBytes:
		return f, s3err.GetEntityTooLargeErr(f.size, s.opt.MaxBodyBytes)
	case streaming && f.size < 0:
		return f, s3err.GetAPIError(s3err.ErrMissingContentLength)
	}
	if name := checksumTrailer(r.Header); name != "" && strings.HasSuffix(sent, "-TRAILER") {
		f.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
		header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(f.size, 10))
		header.Set("X-Amz-Trailer", name)
		if checksumBytes[name] == 0 {
			return f, s3err.GetAPIError(s3err.ErrTrailerHeaderNotSupported)
		}
		c := newChunker(body, name)
		f.body, f.size = c, c.size()
		return f, nil
	}
	if f.size == 0 {
		// Nobody reads what is empty, but its last chunk may be signed.
		if _, err := io.Copy(io.Discard, body); err != nil {
			return f, inXML(err)
		}
		_ = body.Close()
		f.body = http.NoBody
	}
	return f, nil
}

// checksumTrailer is the name of the checksum behind the body, or "".
func checksumTrailer(h http.Header) string {
	for name := range strings.SplitSeq(h.Get("X-Amz-Trailer"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); strings.HasPrefix(name, "x-amz-checksum-") {
			return name
		}
	}
	return ""
}

// inXML is a refusal of package auth as S3 words it; other errors it leaves.
func inXML(err error) error {
	f, ok := errors.AsType[*auth.Refusal](err)
	if !ok {
		return err
	}
	if f.Kind == auth.UnknownKey {
		return s3err.GetInvalidAccessKeyIdErr(f.AccessKey)
	}
	w := f.Fault(auth.S3)
	return s3err.APIError{Code: w.Code, Description: w.Message, HTTPStatusCode: w.Status}
}
