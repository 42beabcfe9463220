// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
)

const good = "POST /endpoints/a-1/invocations HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: text/csv\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a\r\nContent-Length: 1\r\n\r\n1"

func TestRead(t *testing.T) {
	with := func(old, by string) string { return strings.Replace(good, old, by, 1) }
	for name, text := range map[string]string{
		"boto3's":            good,
		"other letters":      with("Content-Type", "cONTENT-tYPE"),
		"no spaces":          strings.ReplaceAll(good, ": ", ":"),
		"many spaces":        strings.ReplaceAll(good, ": ", ":   "),
		"an empty value":     with("text/csv", ""),
		"kept":               with("Content-Type: text/csv", "Connection: keep-alive"),
		"of the SDKs":        with("Content-Type: text/csv", "amz-sdk-invocation-id: 7\r\nX-Amz-Date: 2\r\nAccept-Encoding: identity"),
		"more that comes in": good + "POST",
	} {
		var h head
		if !h.read([]byte(text)) || h.length != 1 || text[h.size:h.size+1] != "1" {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for name, text := range map[string]string{
		"a head that is not whole":    good[:len(good)-4],
		"another method":              with("POST", "PUT"),
		"a method in small":           with("POST", "post"),
		"another version":             with("HTTP/1.1", "HTTP/1.0"),
		"two spaces":                  with("POST ", "POST  "),
		"a whole URL":                 with("/endpoints", "http://a/endpoints"),
		"an empty segment":            with("/a-1/", "//"),
		"dots":                        with("a-1", ".."),
		"an escape":                   with("a-1", "a%31"),
		"a query":                     with("/invocations", "/invocations?a"),
		"a slash at the end":          with("/invocations", "/invocations/"),
		"no host":                     with("Host: localhost:8080\r\n", ""),
		"two hosts":                   with("Host", "Host: a\r\nhost"),
		"an odd host":                 with("localhost", "local host"),
		"an empty host":               with("localhost:8080", ""),
		"no length":                   with("Content-Length: 1\r\n", ""),
		"two lengths":                 with("Content-Length", "content-length: 1\r\nContent-Length"),
		"a negative length":           with("Length: 1", "Length: -1"),
		"a signed length":             with("Length: 1", "Length: +1"),
		"a list of lengths":           with("Length: 1", "Length: 1, 1"),
		"bare line feeds":             strings.ReplaceAll(good, "\r\n", "\n"),
		"one bare line feed":          with("text/csv\r\n", "text/csv\n"),
		"a carriage return in a line": with("text/csv", "text\r/csv"),
		"a line without a colon":      with("Content-Type: text/csv", "Content-Type"),
		"a line that begins with one": with("Content-Type: text/csv", ": text/csv"),
		"a space before the colon":    with("Content-Type:", "Content-Type :"),
		"an underscore":               with("Content-Type", "X-Amz_Date"),
		"a continued line":            with("text/csv", "text\r\n /csv"),
		"a tab":                       with(": text/csv", ":\ttext/csv"),
		"a space at the end":          with("text/csv", "text/csv "),
		"not ASCII":                   with("text/csv", "é"),
		"NUL":                         with("text/csv", "\x00"),
		"Transfer-Encoding":           with("Content-Type: text/csv", "Transfer-Encoding: chunked"),
		"Transfer-Encoding identity":  with("Content-Type: text/csv", "Transfer-Encoding: identity"),
		"Content-Encoding":            with("Content-Type: text/csv", "Content-Encoding: aws-chunked"),
		"Expect":                      with("Content-Type: text/csv", "Expect: 100-continue"),
		"Upgrade":                     with("Content-Type: text/csv", "Upgrade: h2c"),
		"Trailer":                     with("Content-Type: text/csv", "Trailer: a"),
		"Connection: close":           with("Content-Type: text/csv", "Connection: close"),
		"Connection: keep-alive, te":  with("Content-Type: text/csv", "Connection: keep-alive, te"),
		"Pragma":                      with("Content-Type: text/csv", "Pragma: no-cache"),
	} {
		var h head
		if h.read([]byte(text)) {
			t.Errorf("%s is plain: %+v", name, h)
		}
	}
}

// FuzzRead holds what the door reads by itself against net/http.
func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(good + good))
	f.Add([]byte(strings.ReplaceAll(good, ": ", ":")))
	f.Add([]byte(strings.Replace(good, "Content-Type", "x-AMZ-a--B", 1)))
	f.Add([]byte(strings.Replace(good, "Content-Type: text/csv", "connection: Keep-Alive", 1)))
	f.Add([]byte(strings.Replace(good, "text/csv", "a\r\n b", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var x exchange
		if !x.head.read(b) {
			return
		}
		h := &x.head
		x.r = &http.Request{Header: http.Header{}}
		x.fill(h)
		rest := bufio.NewReader(bytes.NewReader(b))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b, err)
		}
		if left := rest.Buffered(); len(b) <= 4096 && h.size+left != len(b) {
			t.Errorf("%q: head of %d bytes, net/http leaves %d of %d", b, h.size, left, len(b))
		}
		if r.Method != http.MethodPost || r.Proto != "HTTP/1.1" || *r.URL != *x.r.URL || r.RequestURI != x.r.RequestURI || r.Host != x.r.Host ||
			r.ContentLength != x.r.ContentLength || len(r.TransferEncoding) > 0 || r.Trailer != nil || r.Close ||
			!maps.EqualFunc(r.Header, x.r.Header, func(a, b []string) bool { return fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b) }) {
			t.Errorf("%q: %+v, net/http: %+v", b, x.r, r)
		}
	})
}
