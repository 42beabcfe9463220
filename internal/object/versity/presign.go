// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// Query members of a presigned URL of signature version 2.
const (
	keyIDParam     = "AWSAccessKeyId"
	signatureParam = "Signature"
	expiresParam   = "Expires"
	tokenParam     = "x-amz-security-token"
)

// signedParams are the query members that a signature of version 2 covers; the
// others it does not.
//
// Source: Amazon S3 User Guide, "Signing and authenticating REST requests
// (signature version 2)".
var signedParams = map[string]bool{
	"accelerate": true, "acl": true, "analytics": true, "cors": true, "defaultObjectAcl": true, "delete": true,
	"inventory": true, "lifecycle": true, "location": true, "logging": true, "metrics": true, "notification": true,
	"object-lock": true, "partNumber": true, "policy": true, "replication": true, "requestPayment": true,
	"response-cache-control": true, "response-content-disposition": true, "response-content-encoding": true,
	"response-content-language": true, "response-content-type": true, "response-expires": true, "restore": true,
	"select": true, "select-type": true, "storageClass": true, "tagging": true, "torrent": true, "uploadId": true,
	"uploads": true, "versionId": true, "versioning": true, "versions": true, "website": true,
}

// param is one member of a query string, in its place.
type param struct {
	name, value string // unescaped
	bare        bool   // without "="
}

// parseQuery splits a raw query string.
func parseQuery(raw string) ([]param, error) {
	var params []param
	for _, part := range strings.Split(raw, "&") {
		if part == "" {
			continue
		}
		name, value, eq := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return nil, err
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, err
		}
		params = append(params, param{name: n, value: v, bare: !eq})
	}
	return params, nil
}

// isPresignedV2 tells a presigned URL of signature version 2.
func isPresignedV2(r *http.Request) bool {
	if !strings.Contains(r.URL.RawQuery, keyIDParam+"=") || r.Header.Get("Authorization") != "" {
		return false
	}
	q := r.URL.Query()
	return q.Has(keyIDParam) && q.Has(signatureParam) && q.Has(expiresParam)
}

// acceptPresignedV2 checks the signature of r and gives the same request,
// signed in version 4 with the same key, for the S3 server. The request then
// means what it would have meant: what the caller may do is decided there.
func (s *Store) acceptPresignedV2(r *http.Request) (*http.Request, error) {
	params, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	own := map[string]string{}  // what signs
	fixed := http.Header{}      // headers that the URL prescribes
	rest := make([]param, 0, 4) // what remains of the query
	for _, p := range params {
		lower := strings.ToLower(p.name)
		switch {
		case p.name == keyIDParam || p.name == signatureParam || p.name == expiresParam || lower == tokenParam:
			own[p.name] = p.value
			if lower == tokenParam {
				own[tokenParam] = p.value
			}
		case strings.HasPrefix(lower, "x-amz-"), lower == "content-type", lower == "content-md5":
			fixed.Set(lower, p.value)
		default:
			rest = append(rest, p)
		}
	}
	k, err := s.users.find(r.Context(), own[keyIDParam], own[tokenParam])
	switch {
	case errors.Is(err, vauth.ErrNoSuchUser):
		return nil, s3err.GetInvalidAccessKeyIdErr(own[keyIDParam])
	case errors.Is(err, vauth.ErrInvalidSessionToken):
		return nil, s3err.GetAPIError(s3err.ErrInvalidToken)
	case err != nil:
		return nil, err
	}
	header := r.Header.Clone()
	for name, v := range fixed {
		if header.Get(name) == "" {
			header[name] = v
		}
	}
	p := s.placeOf(r)
	path := rawPath(r)
	if p.hosted {
		path = "/" + p.bucket + path
	}
	given, err := base64.StdEncoding.DecodeString(own[signatureParam])
	if err != nil {
		given = nil
	}
	text := stringToSignV2(r.Method, path, header, own[tokenParam], own[expiresParam], rest)
	genuine := signedV2(k.Secret, text, given)
	if !genuine && strings.Count(path, "/") == 1 {
		// Some sign a bucket as "/bucket/" and ask for "/bucket".
		genuine = signedV2(k.Secret, stringToSignV2(r.Method, path+"/", header, own[tokenParam], own[expiresParam], rest), given)
	}
	if !genuine {
		return nil, s3err.GetSignatureDoesNotMatchErr(k.ID, text, own[signatureParam], hexBytes(text), "", "")
	}
	seconds, err := strconv.ParseInt(own[expiresParam], 10, 64)
	if err != nil {
		return nil, s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	if now := time.Now(); !now.Before(time.Unix(seconds, 0)) {
		return nil, s3err.GetExpiredPresignedURLError(0,
			time.Unix(seconds, 0).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return s.signAgain(r, p, header, rest, k, unsignedPayload), nil
}

// signedV2 tells whether sum is the signature of text.
func signedV2(secret, text string, sum []byte) bool {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return hmac.Equal(mac.Sum(nil), sum)
}

// stringToSignV2 is what a presigned URL of version 2 signs: the method, what
// the body is said to be, when the URL ends, the x-amz- headers in order, and
// the path, as sent and with the bucket in it, with those query members that
// name a part of the resource.
func stringToSignV2(method, path string, header http.Header, token, expires string, query []param) string {
	var b strings.Builder
	for _, line := range []string{method, header.Get("Content-Md5"), header.Get("Content-Type"), expires} {
		b.WriteString(strings.TrimSpace(line))
		b.WriteByte('\n')
	}
	extra := map[string]string{}
	for name, values := range header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			trimmed := make([]string, len(values))
			for i, v := range values {
				trimmed[i] = strings.TrimSpace(v)
			}
			extra[lower] = strings.Join(trimmed, ",")
		}
	}
	if token != "" {
		extra[tokenParam] = token
	}
	names := make([]string, 0, len(extra))
	for name := range extra {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s:%s\n", name, extra[name])
	}
	b.WriteString(path)
	signed := slices.DeleteFunc(slices.Clone(query), func(p param) bool { return !signedParams[p.name] })
	slices.SortStableFunc(signed, func(a, b param) int { return strings.Compare(a.name, b.name) })
	for i, p := range signed {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.name)
		if !p.bare {
			b.WriteString("=" + p.value)
		}
	}
	return b.String()
}

// escape is the form that signature version 4 gives to a name, a value or a
// path: everything but letters, digits and "-._~" is escaped, in a path "/" too
// is left.
func escape(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && path:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// hexBytes is s as S3 shows what it signed: "47 45 54".
func hexBytes(s string) string { return fmt.Sprintf("% x", s) }
