// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// scratch is the memory of one verification; a pool keeps it between them.
type scratch struct {
	text    []byte // canonical request, then string to sign
	arena   []byte // the query's pairs, encoded
	pairs   []pair
	payload []byte // payload hash as the canonical request has it
	name    []byte // a header's name in Go's spelling
	sum     []byte
}

// pair is a query parameter in the arena: [from,mid) its key, [mid,to) its value.
type pair struct{ from, mid, to int }

var scratches = sync.Pool{New: func() any {
	return &scratch{text: make([]byte, 0, 2048), payload: make([]byte, 0, 64), name: make([]byte, 0, 64), sum: make([]byte, 0, 64)}
}}

// setPayload takes a payload hash as text, "UNSIGNED-PAYLOAD" included.
func (s *scratch) setPayload(hash string) { s.payload = append(s.payload[:0], hash...) }

// hashPayload takes the payload's own bytes.
func (s *scratch) hashPayload(body []byte) {
	sum := sha256.Sum256(body)
	s.payload = hex.AppendEncode(s.payload[:0], sum[:])
}

// canonical writes the canonical request into s.text:
//
//	method \n path \n query \n headers \n signed header names \n payload hash
//
// path is already canonical. The payload hash is s.payload.
//
// Source: AWS, "Create a signed AWS API request".
func (s *scratch) canonical(r *http.Request, c *credential, path string, style pathStyle) {
	t := append(s.text[:0], r.Method...)
	t = append(t, '\n')
	t = appendPath(t, path, style)
	t = append(t, '\n')
	t = s.appendQuery(t, r.URL.RawQuery, c.presigned)
	t = append(t, '\n')
	t = s.appendHeaders(t, r, c.signedHeaders)
	t = append(t, '\n')
	t = append(t, c.signedHeaders...)
	t = append(t, '\n')
	s.text = append(t, s.payload...)
}

// stringToSign replaces s.text, a canonical request, by the string to sign.
func (s *scratch) stringToSign(c *credential) {
	sum := sha256.Sum256(s.text)
	t := append(s.text[:0], algorithm+"\n"...)
	t = append(t, c.stamp...)
	t = append(t, '\n')
	t = c.Scope.appendTo(t)
	t = append(t, '\n')
	s.text = hex.AppendEncode(t, sum[:])
}

// appendTo writes date/region/service/aws4_request.
func (s Scope) appendTo(t []byte) []byte {
	t = append(t, s.Date...)
	t = append(t, '/')
	t = append(t, s.Region...)
	t = append(t, '/')
	t = append(t, s.Service...)
	return append(t, "/"+terminator...)
}

// wirePath is the path as it stood in the request line: url.URL decodes it
// and cannot always give the same bytes back.
func wirePath(r *http.Request) string {
	p := r.RequestURI
	if p == "" || p[0] != '/' { // made by a client, or the absolute form that proxies get
		p = r.URL.EscapedPath()
	}
	p, _, _ = strings.Cut(p, "?")
	if p == "" {
		return "/"
	}
	return p
}

type pathStyle uint8

const (
	encodeTwice  pathStyle = iota // all services: the wire's path is encoded once more
	encodeOnce                    // S3: the wire's path, its escapes made uniform
	encodeDotted                  // as encodeTwice, after botocore's removal of dots and of empty segments
)

func appendPath(t []byte, path string, style pathStyle) []byte {
	switch style {
	case encodeOnce:
		return appendEscaped(t, unescape(path, false), true)
	case encodeDotted:
		path = removeDots(path)
	}
	return appendEscaped(t, path, true)
}

// dotted reports whether a path is one that some clients normalise before
// they sign it. The Go SDK does not, botocore does, so both must be tried.
func dotted(path string) bool {
	return strings.Contains(path, "//") || strings.Contains(path, "/.")
}

// removeDots resolves "." and ".." and drops empty segments.
func removeDots(path string) string {
	var out []string
	for seg := range strings.SplitSeq(path, "/") {
		switch seg {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, seg)
		}
	}
	p := "/" + strings.Join(out, "/")
	if strings.HasSuffix(path, "/") && len(out) > 0 {
		p += "/"
	}
	return p
}

// plain are RFC 3986's unreserved characters, which are never encoded.
var plain = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

// appendEscaped percent-encodes every byte of s but the unreserved ones, and
// but the slash where slash says so.
func appendEscaped(t []byte, s string, slash bool) []byte {
	const digits = "0123456789ABCDEF"
	from := 0
	for i := range len(s) {
		if c := s[i]; !plain[c] && !(slash && c == '/') {
			t = append(t, s[from:i]...)
			t = append(t, '%', digits[c>>4], digits[c&15])
			from = i + 1
		}
	}
	return append(t, s[from:]...)
}

// unescape undoes percent-encoding; a percent sign that begins no escape
// stands for itself. In a query a plus is a space.
func unescape(s string, query bool) string {
	if strings.IndexByte(s, '%') < 0 && !(query && strings.IndexByte(s, '+') >= 0) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		case c == '+' && query:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendQuery writes the parameters sorted by name, then by value, both as
// encoded; a presigned URL's own signature is not among them.
func (s *scratch) appendQuery(t []byte, raw string, presigned bool) []byte {
	if raw == "" {
		return t
	}
	s.arena, s.pairs = s.arena[:0], s.pairs[:0]
	for raw != "" {
		var text string
		text, raw, _ = strings.Cut(raw, "&")
		if text == "" {
			continue
		}
		key, value, _ := strings.Cut(text, "=")
		if presigned && key == "X-Amz-Signature" {
			continue
		}
		p := pair{from: len(s.arena)}
		s.arena = appendEscaped(s.arena, unescape(key, true), false)
		p.mid = len(s.arena)
		s.arena = appendEscaped(s.arena, unescape(value, true), false)
		p.to = len(s.arena)
		s.pairs = append(s.pairs, p)
	}
	a := s.arena
	slices.SortFunc(s.pairs, func(x, y pair) int {
		if d := bytes.Compare(a[x.from:x.mid], a[y.from:y.mid]); d != 0 {
			return d
		}
		return bytes.Compare(a[x.mid:x.to], a[y.mid:y.to])
	})
	for i, p := range s.pairs {
		if i > 0 {
			t = append(t, '&')
		}
		t = append(t, a[p.from:p.mid]...)
		t = append(t, '=')
		t = append(t, a[p.mid:p.to]...)
	}
	return t
}

// appendHeaders writes "name:value\n" for each name of a SignedHeaders list,
// in the list's own order.
func (s *scratch) appendHeaders(t []byte, r *http.Request, list string) []byte {
	for list != "" {
		var name string
		name, list, _ = strings.Cut(list, ";")
		t = append(t, name...)
		t = append(t, ':')
		// net/http takes these out of the header map, or never puts them in.
		switch values := r.Header[string(s.goName(name))]; {
		case name == "host":
			t = appendTrimmed(t, r.Host)
		case len(values) > 0:
			for i, v := range values {
				if i > 0 {
					t = append(t, ',')
				}
				t = appendTrimmed(t, v)
			}
		case name == "content-length" && r.ContentLength >= 0:
			t = strconv.AppendInt(t, r.ContentLength, 10)
		case name == "transfer-encoding":
			t = append(t, strings.Join(r.TransferEncoding, ",")...)
		}
		t = append(t, '\n')
	}
	return t
}

// goName spells a header as http.Header keys it, "X-Amz-Date", in s.name;
// textproto's own function would allocate for each.
func (s *scratch) goName(name string) []byte {
	n := s.name[:0]
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		n = append(n, c)
		upper = c == '-'
	}
	s.name = n
	return n
}

// appendTrimmed writes a header's value without outer blanks, runs of blanks
// inside made one.
func appendTrimmed(t []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	if !strings.ContainsAny(v, "\t") && !strings.Contains(v, "  ") {
		return append(t, v...)
	}
	for i, word := range strings.Fields(v) {
		if i > 0 {
			t = append(t, ' ')
		}
		t = append(t, word...)
	}
	return t
}

// signs reports whether a SignedHeaders list holds name, in lower case.
func signs(list, name string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		if item == name {
			return true
		}
	}
	return false
}
