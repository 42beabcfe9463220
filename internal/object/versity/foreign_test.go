// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/versity/versitygw/backend/posix"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// splitHost knows <bucket>.s3.<region>.amazonaws.com and s3.<region>.amazonaws.com,
// and s3.amazonaws.com in us-east-1.
func splitHost(host string) (bucket, region string, ok bool) {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	host, ok = strings.CutSuffix(host, ".amazonaws.com")
	if !ok {
		return "", "", false
	}
	host = "." + host
	at := strings.LastIndex(host, ".s3.")
	switch {
	case strings.HasSuffix(host, ".s3"):
		bucket, region = strings.TrimSuffix(host, ".s3"), "us-east-1"
	case at >= 0:
		bucket, region = host[:at], host[at+len(".s3."):]
	default:
		return "", "", false
	}
	return strings.TrimPrefix(bucket, "."), region, true
}

// ask sends what at has been asked for with host, signed for region by key.
func ask(t testing.TB, address, method, host, path, region string, key auth.Key, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	auth.Sign(r, key, region, "s3", auth.PayloadHash([]byte(body)), time.Now())
	return do(t, r)
}

func TestHostsOfAWS(t *testing.T) {
	s, address := served(t, Options{SplitHost: splitHost, Domain: "localhost"})
	if err := s.MakeBucket(t.Context(), "dotted.name"); err != nil {
		t.Fatal(err)
	}
	const key = "/d/ü%20+%2F~k"
	for i, c := range []struct{ host, path, region, bucket string }{
		{"bucket.s3.us-west-2.amazonaws.com", key, "us-west-2", "bucket"},
		{"bucket.s3.us-west-2.amazonaws.com:443", key, "us-west-2", "bucket"},
		{"Bucket.S3.us-west-2.amazonaws.com", key, "us-west-2", "bucket"},
		{"bucket.s3.amazonaws.com", key, "us-east-1", "bucket"},
		{"bucket.s3.amazonaws.com", key, "eu-central-1", "bucket"},
		{"dotted.name.s3.us-east-1.amazonaws.com", key, "us-east-1", "dotted.name"},
		{"s3.us-west-2.amazonaws.com", "/bucket" + key, "us-west-2", "bucket"},
		{"s3.us-east-1.amazonaws.com", "/dotted.name" + key, "us-east-1", "dotted.name"},
		{"bucket.localhost", key, "us-west-2", "bucket"},
		{"127.0.0.1", "/bucket" + key, "us-west-2", "bucket"},
	} {
		text := fmt.Sprint("text ", i)
		for _, k := range []auth.Key{userKey, sessionKey, rootKey} {
			if a, body := ask(t, address, "PUT", c.host, c.path, c.region, k, text, "X-Amz-Meta-One", "a  b"); a.StatusCode != 200 {
				t.Errorf("PUT %s%s: %s %s", c.host, c.path, a.Status, body)
			}
		}
		r, err := s.Open(t.Context(), object.URI{Bucket: c.bucket, Key: "d/ü +/~k"}, 0, -1)
		if err != nil {
			t.Errorf("PUT %s%s: %v", c.host, c.path, err)
			continue
		}
		if b, err := io.ReadAll(r); string(b) != text || err != nil {
			t.Errorf("PUT %s%s kept %q, %v", c.host, c.path, b, err)
		}
		r.Close()
		if a, body := ask(t, address, "GET", c.host, c.path, c.region, userKey, ""); a.StatusCode != 200 || body != text {
			t.Errorf("GET %s%s: %s %s", c.host, c.path, a.Status, body)
		}
		u, err := url.Parse("http://" + c.host + c.path + "?response-content-type=text%2Fx&x-amz-expected-bucket-owner=" + account)
		if err != nil {
			t.Fatal(err)
		}
		link := auth.Presign("GET", u, sessionKey, c.region, "s3", time.Minute, time.Now())
		get, err := http.NewRequestWithContext(t.Context(), "GET", address+link.RequestURI(), nil)
		if err != nil {
			t.Fatal(err)
		}
		get.Host = c.host
		if a, body := do(t, get); a.StatusCode != 200 || body != text || a.Header.Get("Content-Type") != "text/x" {
			t.Errorf("presigned GET %s: %s %s", link, a.Status, body)
		}
		get.URL.RawQuery = strings.Replace(get.URL.RawQuery, account, "999999999999", 1)
		if a, body := do(t, get); a.StatusCode != 403 || !strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>") {
			t.Errorf("presigned GET of another query: %s %s", a.Status, body)
		}
	}
	for _, c := range []struct {
		name, host, path, region string
		key                      auth.Key
		status                   int
		code                     string
	}{
		{"no such bucket", "other.s3.us-west-2.amazonaws.com", "/k", "us-west-2", userKey, 404, "NoSuchBucket"},
		{"no such key", "bucket.s3.us-west-2.amazonaws.com", "/k", "us-west-2", userKey, 404, "NoSuchKey"},
		{"reserved", "bucket.s3.us-west-2.amazonaws.com", "/.sgwtmp/k", "us-west-2", userKey, 400, "InvalidArgument"},
		{"unknown key", "bucket.s3.amazonaws.com", "/k", "us-west-2", auth.Key{ID: "AKIANOBODY", Secret: "x"}, 403, "InvalidAccessKeyId"},
		{"wrong secret", "bucket.s3.amazonaws.com", "/k", "us-east-1", auth.Key{ID: userKey.ID, Secret: "x"}, 403, "SignatureDoesNotMatch"},
		{"ended session", "s3.amazonaws.com", "/bucket/k", "us-west-2", pastKey, 400, "ExpiredToken"},
		{"no token", "127.0.0.1", "/bucket/k", "us-west-2", auth.Key{ID: sessionKey.ID, Secret: sessionKey.Secret}, 400, "InvalidToken"},
	} {
		a, body := ask(t, address, "GET", c.host, c.path, c.region, c.key, "")
		var e struct{ Code string }
		if err := xml.Unmarshal([]byte(body), &e); err != nil || a.StatusCode != c.status || e.Code != c.code || strings.Count(body, "<?xml") != 1 {
			t.Errorf("%s: %s %s, %v; want %d %s", c.name, a.Status, body, err, c.status, c.code)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", address+"/d/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "bucket.s3.us-west-2.amazonaws.com"
	if a, body := do(t, r); a.StatusCode != 403 || !strings.Contains(body, "<Code>AccessDenied</Code>") {
		t.Errorf("nobody: %s %s", a.Status, body)
	}
	auth.Sign(r, userKey, "us-west-2", "sagemaker", "", time.Now())
	if a, body := do(t, r); a.StatusCode != 400 || !strings.Contains(body, "<Code>AuthorizationHeaderMalformed</Code>") {
		t.Errorf("another service: %s %s", a.Status, body)
	}
}

// framed is body in aws-chunks of a request that auth.Sign has signed, by
// AWS, "Signature calculations for the Authorization header: transferring
// payload in multiple chunks".
func framed(r *http.Request, region string, key auth.Key, body []byte, signed bool, trailer string) []byte {
	stamp := r.Header.Get("X-Amz-Date")
	sum := []byte("AWS4" + key.Secret)
	for _, part := range []string{stamp[:8], region, "s3", "aws4_request", ""} {
		if part != "" {
			h := hmac.New(sha256.New, sum)
			h.Write([]byte(part))
			sum = h.Sum(nil)
		}
	}
	_, last, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	sign := func(kind string, parts ...string) string {
		h := hmac.New(sha256.New, sum)
		fmt.Fprintf(h, "%s\n%s\n%s/%s/s3/aws4_request\n%s\n%s", kind, stamp, stamp[:8], region, last, strings.Join(parts, "\n"))
		last = hex.EncodeToString(h.Sum(nil))
		return last
	}
	var out bytes.Buffer
	for chunk := range slices.Chunk(append(slices.Clip(body), 0)[:len(body)], 10_000) {
		fmt.Fprintf(&out, "%x", len(chunk))
		if signed {
			out.WriteString(";chunk-signature=" + sign("AWS4-HMAC-SHA256-PAYLOAD", auth.PayloadHash(nil), auth.PayloadHash(chunk)))
		}
		fmt.Fprintf(&out, "\r\n%s\r\n", chunk)
	}
	out.WriteString("0")
	if signed {
		out.WriteString(";chunk-signature=" + sign("AWS4-HMAC-SHA256-PAYLOAD", auth.PayloadHash(nil), auth.PayloadHash(nil)))
	}
	out.WriteString("\r\n")
	if trailer != "" {
		out.WriteString(trailer + "\r\n")
		if signed {
			out.WriteString("x-amz-trailer-signature:" + sign("AWS4-HMAC-SHA256-TRAILER", auth.PayloadHash([]byte(trailer+"\n"))) + "\r\n")
		}
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

func TestBodiesForOtherRegions(t *testing.T) {
	s, address := served(t, Options{SplitHost: splitHost, MaxBodyBytes: 1 << 20})
	const region = "eu-central-1"
	const signed, trailed, unsigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	turn := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	last := func(b []byte) []byte { b[len(b)-10] ^= 1; return b }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	whole := func(b []byte) []byte { return b }
	for _, c := range []struct {
		name, mode string
		size       int
		spoil      func([]byte) []byte
		code       string // "" for an object
	}{
		{"hashed", "", 200_000, whole, ""},
		{"hashed, nothing", "", 0, whole, ""},
		{"hashed, another body", "", 200_000, turn, "XAmzContentSHA256Mismatch"},
		{"hashed, a short other body", "", 1, turn, "XAmzContentSHA256Mismatch"},
		{"hashed, too long", "", 1<<20 + 1, whole, "EntityTooLarge"},
		{"chunks", signed, 200_000, whole, ""},
		{"chunks, nothing", signed, 0, whole, ""},
		{"chunks, another body", signed, 200_000, turn, "SignatureDoesNotMatch"},
		{"chunks, another end", signed, 200_000, last, "SignatureDoesNotMatch"},
		{"chunks, another end of nothing", signed, 0, last, "SignatureDoesNotMatch"},
		{"chunks, half of them", signed, 200_000, half, "IncompleteBody"},
		{"chunks, half of few", signed, 12_000, half, "IncompleteBody"},
		{"signed trailer", trailed, 200_000, whole, ""},
		{"signed trailer, one chunk", trailed, 7, whole, ""},
		{"signed trailer, exactly chunks", trailed, 2 * chunkBytes, whole, ""},
		{"signed trailer, nothing", trailed, 0, whole, ""},
		{"signed trailer, another body", trailed, 200_000, turn, "SignatureDoesNotMatch"},
		{"signed trailer, another end", trailed, 200_000, last, "SignatureDoesNotMatch"},
		{"signed trailer, half of it", trailed, 200_000, half, "IncompleteBody"},
		{"unsigned chunks", unsigned, 200_000, whole, ""},
		{"unsigned chunks, nothing", unsigned, 0, whole, ""},
		{"unsigned chunks, another body", unsigned, 200_000, turn, "BadDigest"},
		{"unsigned chunks, half of them", unsigned, 200_000, half, "IncompleteBody"},
		{"unsigned chunks, too long", unsigned, 1<<20 + 1, whole, "EntityTooLarge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := object.URI{Bucket: "bucket", Key: strings.ReplaceAll(c.name, " ", "-")}
			body := bytes.Repeat([]byte("0123456789abcde\n"), c.size/16+1)[:c.size]
			r, err := http.NewRequestWithContext(t.Context(), "PUT", address+"/"+u.Key, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "bucket.s3.eu-central-1.amazonaws.com"
			sent, trailer := slices.Clone(body), ""
			checksum := base64.StdEncoding.EncodeToString(crc32.NewIEEE().Sum(nil))
			switch c.mode {
			case "":
				auth.Sign(r, userKey, region, "s3", auth.PayloadHash(body), time.Now())
			default:
				r.Header.Set("Content-Encoding", "zstd,aws-chunked")
				r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(c.size))
				if c.mode != signed {
					h := crc32.NewIEEE()
					h.Write(body)
					checksum = base64.StdEncoding.EncodeToString(h.Sum(nil))
					r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
					trailer = "x-amz-checksum-crc32:" + checksum
				}
				auth.Sign(r, userKey, region, "s3", c.mode, time.Now())
				sent = framed(r, region, userKey, body, c.mode != unsigned, trailer)
			}
			sent = c.spoil(sent)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
			if len(sent) == 0 {
				r.Body = nil
			}
			a, text := do(t, r)
			var e struct{ Code string }
			if c.code != "" {
				if err := xml.Unmarshal([]byte(text), &e); err != nil {
					t.Errorf("answer %q: %v", text, err)
				}
			}
			if e.Code != c.code || (a.StatusCode == 200) != (c.code == "") {
				t.Errorf("%s %s, want %q", a.Status, text, c.code)
			}
			if c.code != "" {
				if _, err := s.Stat(t.Context(), u); !errors.Is(err, object.ErrNotFound) {
					t.Errorf("a refused body became an object: %v", err)
				}
				return
			}
			g, text := ask(t, address, "GET", "127.0.0.1", "/bucket/"+u.Key, "us-east-1", userKey, "", "X-Amz-Checksum-Mode", "ENABLED")
			encoding := ""
			if c.mode != "" {
				encoding = "zstd"
			}
			if text != string(body) || g.Header.Get("Content-Encoding") != encoding {
				t.Errorf("kept %d bytes, encoding %q; want %d, %q", len(text), g.Header.Get("Content-Encoding"), len(body), encoding)
			}
			if got := g.Header.Get("X-Amz-Checksum-Crc32"); trailer != "" && got != checksum {
				t.Errorf("checksum %q, want %q", got, checksum)
			}
		})
	}
	// What has been refused is not left behind, once the server has noticed.
	staging := filepath.Join(s.opt.Root, "bucket", posix.MetaTmpDir)
	for deadline := time.Now().Add(10 * time.Second); ; {
		left, err := os.ReadDir(staging)
		if len(left) == 0 && (err == nil || errors.Is(err, os.ErrNotExist)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v, %v", left, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestCreatesBucket(t *testing.T) {
	for target, want := range map[string]bool{
		"/bucket": true, "/bucket/": true, "/bucket?x-id=CreateBucket": true, "/bucket?X-Amz-Signature=x": true,
		"/": false, "/bucket/key": false, "/bucket?acl": false, "/bucket?versioning=": false, "/bucket?x-id=PutBucketAcl&acl": false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://h"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := createsBucket(r, (&Store{}).placeOf(r)); got != want {
			t.Errorf("PUT %s: %v", target, got)
		}
		r.Method = "POST"
		if createsBucket(r, (&Store{}).placeOf(r)) {
			t.Errorf("POST %s makes a bucket", target)
		}
	}
}

func FuzzPlaceOf(f *testing.F) {
	for _, c := range [][2]string{{"b.s3.us-west-2.amazonaws.com", "/k"}, {"s3.amazonaws.com:80", "/b/k/"}, {"b.localhost", "//"}, {".s3.amazonaws.com", "/"}, {"İ.s3.amazonaws.com", "/"}} {
		f.Add(c[0], c[1])
	}
	s := &Store{opt: Options{SplitHost: splitHost, Domain: "localhost"}}
	f.Fuzz(func(t *testing.T, host, path string) {
		p := s.placeOf(&http.Request{Host: host, URL: &url.URL{Path: path}})
		sent := cmp.Or(path, "/")
		switch {
		case p.hosted && p.aws: // the path gets the bucket
			if p.path != "/"+p.bucket+sent || p.key != strings.TrimPrefix(sent, "/") {
				t.Errorf("%q %q: %+v", host, path, p)
			}
		case p.path != sent || p.host != host:
			t.Errorf("%q %q is addressed anew: %+v", host, path, p)
		case !p.hosted && strings.TrimPrefix(sent, "/") != strings.TrimSuffix(p.bucket+"/"+p.key, "/") && strings.TrimPrefix(sent, "/") != p.bucket+"/"+p.key:
			t.Errorf("%q %q: %+v", host, path, p)
		}
	})
}
