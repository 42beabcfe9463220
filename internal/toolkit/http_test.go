// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

func TestHTTPIsSpokenAsItShould(t *testing.T) {
	s := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	big := strings.Repeat("0123456789abcdef", 20<<20/16)
	if r := s.invoke(t, strings.NewReader(big), "Content-Type", "text/plain"); r.status != 200 || r.body != big {
		t.Errorf("20 MB: status %d, %d bytes", r.status, len(r.body))
	}
	// A reader of unknown length goes in chunks.
	if r := s.invoke(t, io.MultiReader(strings.NewReader(big)), "Content-Type", "text/plain"); r.status != 200 || r.body != big {
		t.Errorf("20 MB in chunks: status %d, %d bytes", r.status, len(r.body))
	}
	if r := s.invoke(t, strings.NewReader("x"), "Content-Type", "text/plain", "Expect", "100-continue"); r.body != "x" {
		t.Errorf("after 100-continue: %+v", r)
	}
	for _, c := range []struct{ name, request, want string }{
		{"ping", "GET /ping HTTP/1.1\r\nHost: m\r\n\r\n", "HTTP/1.1 200 OK"},
		{"ping of an old client", "GET /ping HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"},
		{"only a head", "HEAD /ping HTTP/1.1\r\nHost: m\r\n\r\n", "HTTP/1.1 200 OK"},
		{"another path", "GET / HTTP/1.1\r\nHost: m\r\n\r\n", "HTTP/1.1 404 Not Found"},
		{"another method", "GET /invocations HTTP/1.1\r\nHost: m\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
		{"execution parameters", "GET /execution-parameters HTTP/1.1\r\nHost: m\r\n\r\n", "HTTP/1.1 200 OK"},
		{"no HTTP", "hello\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"another version", "GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"},
		{"a header that is none", "GET /ping HTTP/1.1\r\nno header\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"headers without end", "GET /ping HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 20000), "HTTP/1.1 431 Request Header Fields Too Large"},
		{"a length that is none", "POST /invocations HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"two lengths", "POST /invocations HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 400 Bad Request"},
		{"a length and chunks", "POST /invocations HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"a chunk that is cut off", "POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort", "HTTP/1.1 400 Bad Request"},
		{"a chunk without size", "POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"a body that is cut off", "POST /invocations HTTP/1.1\r\nContent-Length: 50\r\n\r\nshort", "HTTP/1.1 400 Bad Request"},
		{"an unknown encoding", "POST /invocations HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 Not Implemented"},
		{"chunks with trailers", "POST /invocations HTTP/1.1\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK"},
	} {
		if got := s.raw(t, c.request); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	// Two requests at once on one connection are answered in their order.
	two := "POST /invocations HTTP/1.1\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\n%sPOST /invocations HTTP/1.1\r\nContent-Type: a/b\r\nContent-Length: 1\r\nConnection: close\r\n\r\n%s"
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, two, "1", "2")
	all, err := io.ReadAll(conn)
	conn.Close()
	if err != nil || strings.Count(string(all), "HTTP/1.1 200 OK") != 2 || !strings.HasSuffix(string(all), "\r\n\r\n2") {
		t.Errorf("%v\n%s", err, all)
	}
}

// What a client sends may be anything: the worker stays.
func TestGarbageDoesNotEndAWorker(t *testing.T) {
	s := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	rng := rand.New(rand.NewPCG(1, 2))
	valid := []byte("POST /invocations HTTP/1.1\r\nHost: m\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	for range 300 {
		text := bytes.Clone(valid)
		for range 1 + rng.IntN(4) {
			switch at := rng.IntN(len(text)); rng.IntN(3) {
			case 0:
				text[at] = byte(rng.IntN(256))
			case 1:
				text = append(text[:at], text[min(len(text), at+1+rng.IntN(9)):]...)
			default:
				text = append(text[:at:at], append([]byte{byte(rng.IntN(256))}, text[at:]...)...)
			}
			if len(text) == 0 {
				text = []byte{0}
			}
		}
		if line := s.raw(t, string(text)); line != "" && !strings.HasPrefix(line, "HTTP/1.1 ") {
			t.Errorf("%q: %q", text, line)
		}
	}
	if r := s.invoke(t, strings.NewReader("on"), "Content-Type", "text/plain"); r.body != "on" {
		t.Errorf("%+v", r)
	}
	if strings.Count(s.log.String(), "has loaded the model") != 1 || strings.Contains(s.log.String(), "Traceback") {
		t.Error("a worker ended, or a trace was written")
	}
}

func TestBodiesMayBeLimited(t *testing.T) {
	s := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MAX_PAYLOAD_IN_MB=1", "SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	if got := s.raw(t, "POST /invocations HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"); got != "HTTP/1.1 413 "+http.StatusText(413) && !strings.HasPrefix(got, "HTTP/1.1 413 ") {
		t.Error(got)
	}
	if r := s.invoke(t, strings.NewReader(strings.Repeat("x", 1<<20)), "Content-Type", "a/b"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
}

func TestRequestThatTakesTooLongEndsItsWorker(t *testing.T) {
	c := newContainer(t, map[string]string{"model/code/inference.py": echo}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1", "SAGEMAKER_MODEL_SERVER_TIMEOUT=1")
	s := c.serve(t)
	if _, err := s.try(strings.NewReader("wait"), "Content-Type", "text/plain"); err == nil {
		t.Error("it was answered")
	}
	poll(t, "another has its place", func() bool { return strings.Count(s.log.String(), "has loaded the model") == 2 })
	if !strings.Contains(s.log.String(), "a request took longer than SAGEMAKER_MODEL_SERVER_TIMEOUT allows, 1 s") {
		t.Error("nothing was said of it")
	}
}
