// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/versity/versitygw/backend/posix"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// request is signed by the user's key; its body is not covered.
func request(t testing.TB, method, address string, body io.Reader, size int64) *http.Request {
	t.Helper()
	return requestIn(t, "us-east-1", method, address, body, size)
}

// requestIn is request, signed for a region.
func requestIn(t testing.TB, region, method, address string, body io.Reader, size int64) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	c := aws.Credentials{AccessKeyID: userKey.ID, SecretAccessKey: userKey.Secret}
	if err := signer.SignHTTP(t.Context(), c, r, unsigned, "s3", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// do sends a request and gives its answer, the body read.
func do(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return a, string(b)
}

func served(t testing.TB, o Options) (*Store, string) {
	t.Helper()
	s, address := serve(t, o)
	if err := s.MakeBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	return s, address
}

// zeros gives n bytes without holding them.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBodiesAreNotGathered(t *testing.T) {
	for _, region := range []string{"us-east-1", "us-west-2"} {
		t.Run(region, func(t *testing.T) { bodiesAreNotGathered(t, region) })
	}
}

func bodiesAreNotGathered(t *testing.T, region string) {
	s, address := served(t, Options{})
	const size = 512 << 20
	ctx, stop := context.WithCancel(t.Context())
	peak := make(chan uint64, 1)
	go func() {
		var most uint64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-ctx.Done():
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	if a, body := do(t, requestIn(t, region, "PUT", address+"/bucket/large", zeros(size), size)); a.StatusCode != 200 {
		t.Fatalf("PUT: %s %s", a.Status, body)
	}
	a, err := http.DefaultClient.Do(requestIn(t, region, "GET", address+"/bucket/large", nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, a.Body)
	a.Body.Close()
	if n != size || err != nil {
		t.Errorf("GET: %d bytes, %v; want %d", n, err, size)
	}
	stop()
	if most := <-peak; most > 128<<20 {
		t.Errorf("heap reached %d MiB for an object of %d MiB", most>>20, size>>20)
	}
	if info, err := s.Stat(t.Context(), object.URI{Bucket: "bucket", Key: "large"}); err != nil || info.Size != size {
		t.Errorf("Stat: %+v, %v", info, err)
	}
}

func TestExpectContinue(t *testing.T) {
	_, address := served(t, Options{})
	r := request(t, "PUT", address+"/bucket/expected", strings.NewReader("body"), 4)
	r.Header.Set("Expect", "100-continue")
	u, _ := url.Parse(address)
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	head := new(bytes.Buffer)
	fmt.Fprintf(head, "PUT /bucket/expected HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n", u.Host)
	r.Header.Write(head)
	head.WriteString("\r\n")
	if _, err := c.Write(head.Bytes()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("before the body: %q, %v", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "body")
	a, err := http.ReadResponse(in, r)
	for err == nil && a.StatusCode == 100 { // a proxy may repeat it
		a, err = http.ReadResponse(in, r)
	}
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("after the body: %v, %v", a, err)
	}
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	s, address := served(t, Options{})
	for _, region := range []string{"us-east-1", "us-west-2"} {
		broken := errors.New("client died")
		r := requestIn(t, region, "PUT", address+"/bucket/half", io.MultiReader(zeros(8<<20), brokenReader{broken}), 16<<20)
		if _, err := http.DefaultClient.Do(r); !errors.Is(err, broken) {
			t.Fatalf("PUT: %v", err)
		}
		staging := filepath.Join(s.opt.Root, "bucket", posix.MetaTmpDir)
		for deadline := time.Now().Add(10 * time.Second); ; {
			left, err := os.ReadDir(staging)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if len(left) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("still there: %v", left)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if _, err := s.Stat(t.Context(), object.URI{Bucket: "bucket", Key: "half"}); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("Stat: %v", err)
		}
	}
}

// Bodies in chunks, with a checksum behind them, are what SDKs send over TLS.
func TestChunkedBodyWithChecksumBehind(t *testing.T) {
	s, address := served(t, Options{})
	for _, c := range []struct {
		name, body, sum string
		length          int
		status          int
	}{
		{"whole", "4\r\nbody\r\n0\r\n", "26gLsg==", 4, 200},
		{"another checksum", "4\r\nbody\r\n0\r\n", "AAAAAA==", 4, 400},
		{"a length that is not the body's", "4\r\nbody\r\n0\r\n", "26gLsg==", 5, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := c.body + "x-amz-checksum-crc32:" + c.sum + "\r\n\r\n"
			r, err := http.NewRequestWithContext(t.Context(), "PUT", address+"/bucket/"+url.PathEscape(c.name), strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
			r.Header.Set("X-Amz-Content-Sha256", payload)
			r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(c.length))
			r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
			r.Header.Set("Content-Encoding", "aws-chunked")
			signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
			user := aws.Credentials{AccessKeyID: userKey.ID, SecretAccessKey: userKey.Secret}
			if err := signer.SignHTTP(t.Context(), user, r, payload, "s3", "us-east-1", time.Now()); err != nil {
				t.Fatal(err)
			}
			a, text := do(t, r)
			info, err := s.Stat(t.Context(), object.URI{Bucket: "bucket", Key: c.name})
			if a.StatusCode != c.status || (err == nil) != (c.status == 200) || err == nil && info.Size != 4 {
				t.Errorf("%s %s; object %+v, %v; want status %d", a.Status, text, info, err, c.status)
			}
		})
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestAnswers(t *testing.T) {
	s, address := served(t, Options{MaxBodyBytes: 1000})
	if _, err := s.Put(t.Context(), object.URI{Bucket: "bucket", Key: "k/%2F+ü"}, strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, path string
		body               int
		header             [2]string
		status             int
		want               string // within the body; "" for an empty one
	}{
		{name: "a key is not escaped anew", method: "GET", path: "/bucket/k/%252F%2B%C3%BC", status: 200, want: "0123456789"},
		{name: "a range", method: "GET", path: "/bucket/k/%252F%2B%C3%BC", header: [2]string{"Range", "bytes=2-4"}, status: 206, want: "234"},
		{name: "head", method: "HEAD", path: "/bucket/k/%252F%2B%C3%BC", status: 200},
		{name: "head of nothing has no body", method: "HEAD", path: "/bucket/no", status: 404},
		{name: "head of no bucket has no body", method: "HEAD", path: "/nowhere", status: 404},
		{name: "nothing", method: "GET", path: "/bucket/no", status: 404, want: "<Code>NoSuchKey</Code>"},
		{name: "a body that is too long", method: "PUT", path: "/bucket/long", body: 1001, status: 400, want: "<Code>EntityTooLarge</Code>"},
		{name: "a body that is just not", method: "PUT", path: "/bucket/long", body: 1000, status: 200},
		{name: "the backend's own folder", method: "PUT", path: "/bucket/.sgwtmp/k", body: 1, status: 400, want: "<Code>InvalidArgument</Code>"},
		{name: "a way out of the bucket", method: "GET", path: "/bucket/a/../../../k", status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, c.method, address+c.path, bytes.NewReader(make([]byte, c.body)), int64(c.body))
			if c.header[0] != "" {
				r.Header.Set(c.header[0], c.header[1])
			}
			a, body := do(t, r)
			if a.StatusCode != c.status || !strings.Contains(body, c.want) || c.want == "" && c.status != 400 && body != "" {
				t.Errorf("%s %q, want %d %q", a.Status, body, c.status, c.want)
			}
			if a.Header.Get("Server") != "" {
				t.Errorf("Server: %s", a.Header.Get("Server"))
			}
		})
	}
}

func TestVirtualHostedAddresses(t *testing.T) {
	s, address := served(t, Options{Domain: "localhost"})
	if _, err := s.Put(t.Context(), object.URI{Bucket: "bucket", Key: "d/k"}, strings.NewReader("value")); err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(address)
	for _, host := range []string{"bucket.localhost", "bucket.localhost:" + u.Port()} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", address+"/d/k", nil)
		r.Host = host
		sum := sha256.Sum256(nil)
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		c := aws.Credentials{AccessKeyID: userKey.ID, SecretAccessKey: userKey.Secret}
		if err := signer.SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), "s3", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		if a, body := do(t, r); a.StatusCode != 200 || body != "value" {
			t.Errorf("%s: %s %s", host, a.Status, body)
		}
	}
}

func TestRequestsWaitForRun(t *testing.T) {
	s := newStore(t, Options{Keys: keyring{userKey.ID: userKey}})
	if err := s.MakeBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.Handler())
	defer front.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if a, err := http.DefaultClient.Do(request(t, "GET", front.URL+"/", nil, 0).WithContext(ctx)); err == nil {
		t.Fatalf("answered before Run: %s", a.Status)
	}
	got := make(chan int, 1)
	go func() {
		a, err := http.DefaultClient.Do(request(t, "GET", front.URL+"/", nil, 0))
		if err != nil {
			t.Error(err)
			got <- 0
			return
		}
		a.Body.Close()
		got <- a.StatusCode
	}()
	run, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(run) }()
	if status := <-got; status != 200 {
		t.Errorf("status %d", status)
	}
	// One that is in work when Run is told to end is finished.
	pipe, rest := io.Pipe()
	slow := request(t, "PUT", front.URL+"/bucket/slow", pipe, 8)
	slow.Header.Set("Expect", "100-continue")
	answer := make(chan int, 1)
	go func() {
		a, err := http.DefaultClient.Do(slow)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		a.Body.Close()
		answer <- a.StatusCode
	}()
	io.WriteString(rest, "half") // returns when the server has begun to read
	stop()
	for s.inWork.begin() { // until no more are taken
		s.inWork.end()
		time.Sleep(time.Millisecond)
	}
	io.WriteString(rest, "half")
	rest.Close()
	if status := <-answer; status != 200 {
		t.Errorf("request in work: status %d", status)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if a, body := do(t, request(t, "GET", front.URL+"/", nil, 0)); a.StatusCode != 503 || !strings.Contains(body, "ServiceUnavailable") {
		t.Errorf("after Run: %s %s", a.Status, body)
	}
}

func TestAnObjectOfATypeIsServedAsIt(t *testing.T) {
	s, address := served(t, Options{})
	if err := s.MakeBucket(t.Context(), "data"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"application/json", "text/csv"} {
		if _, err := object.PutTyped(t.Context(), s, object.URI{Bucket: "data", Key: "k"}, want, strings.NewReader("{}")); err != nil {
			t.Fatal(err)
		}
		r, body := do(t, request(t, http.MethodGet, address+"/data/k", nil, 0))
		if got := r.Header.Get("Content-Type"); got != want || body != "{}" {
			t.Errorf("%q is served as %q, %q", want, got, body)
		}
	}
}
