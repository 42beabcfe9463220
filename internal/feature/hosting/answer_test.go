// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

func TestPlainHead(t *testing.T) {
	for name, text := range map[string]string{
		"our own":               "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nDate: x\r\nContent-Length: 1\r\n\r\n1",
		"a Python server's":     "HTTP/1.1 200 OK\r\ndate: x\r\nserver: uvicorn\r\ncontent-length: 1\r\ncontent-type: text/csv\r\n\r\n1",
		"spaces around a value": "HTTP/1.1 200 OK\r\nContent-Type:  text/csv \r\nContent-Length:1\r\n\r\n1",
	} {
		if h, ok := plainHead([]byte(text)); !ok || h.status != 200 || h.length != 1 || string(h.contentType) != "text/csv" || text[h.size:] != "1" {
			t.Errorf("%s: %+v %v", name, h, ok)
		}
	}
	for name, text := range map[string]string{
		"a head that is not whole": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
		"an old version":           "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1",
		"no length":                "HTTP/1.1 200 OK\r\n\r\n1",
		"two lengths":              "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
		"chunks":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1",
		"the connection's end":     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1",
		"a header to pass on":      "HTTP/1.1 200 OK\r\nX-Amzn-SageMaker-Custom-Attributes: a\r\nContent-Length: 1\r\n\r\n1",
		"a status without a body":  "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
		"a status to wait after":   "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
		"a status of two digits":   "HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\n1",
		"a line without a colon":   "HTTP/1.1 200 OK\r\nDate\r\nContent-Length: 1\r\n\r\n1",
		"nothing":                  "",
	} {
		if h, ok := plainHead([]byte(text)); ok {
			t.Errorf("%s is plain: %+v", name, h)
		}
	}
}

// FuzzPlainHead holds what is read in place against net/http.
func FuzzPlainHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nDate: x\r\nContent-Length: 1\r\n\r\n1"))
	f.Add([]byte("HTTP/1.1 415 No\r\nx-content-type-options:nosniff\r\nserver:  a \r\ncontent-length: 007\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := plainHead(b)
		if !ok {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), postRequest)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b, err)
		}
		if resp.StatusCode != h.status || resp.ContentLength != h.length || resp.Close || len(resp.TransferEncoding) > 0 || resp.Header.Get("Content-Type") != string(h.contentType) {
			t.Errorf("%q: %+v, net/http: %+v", b, h, resp)
		}
		if body, _ := io.ReadAll(resp.Body); !bytes.HasPrefix(b[h.size:], body) {
			t.Errorf("%q: the body begins elsewhere than at %d", b, h.size)
		}
	})
}

// script is an instance that gives its answers in turn, one for each request,
// and hangs up where one is "". It counts connections.
func script(t *testing.T, answers ...string) (*backend, func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dials := make(chan int, 1)
	dials <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				c.Close()
			}
		}()
		for len(answers) > 0 {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			dials <- <-dials + 1
			r := bufio.NewReader(c)
			for len(answers) > 0 {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, req.Body)
				text := answers[0]
				answers = answers[1:]
				if text == "" {
					c.Close()
					break
				}
				_, _ = io.WriteString(c, text)
			}
		}
		_, _ = ln.Accept() // until the test ends
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return newBackend("tcp://" + ln.Addr().String()), func() int { n := <-dials; dials <- n; return n }
}

// ask sends one request to b, as invoke does.
func ask(ctx context.Context, b *backend) (w *httptest.ResponseRecorder, err error) {
	s := &Service{}
	v := variantRoute{name: "A", header: []string{"A"}, weight: 1, instances: []*backend{b}, meter: &meter{}}
	s.routes.set(resource.Key{Account: "1", Region: "r", Name: "e"}, &route{variants: []variantRoute{v}, total: 1})
	w = httptest.NewRecorder()
	ctx = auth.WithCaller(ctx, auth.Caller{Account: "1", Region: "r"})
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w, s.invoke(ctx, &smr.InvokeEndpointInput{EndpointName: "e"}, strings.NewReader("x"), w)
}

const fine = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 2\r\n\r\n"

func TestAnswersOfEveryForm(t *testing.T) {
	long := strings.Repeat("a", 100_000)
	b, dials := script(t,
		fine+"ok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Amzn-SageMaker-Custom-Attributes: c\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n%s", len(long), long),
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 415 No\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nbad",
		fine+"ok",
	)
	for i, want := range []struct{ body, typ, attributes string }{
		{"ok", "text/csv", ""}, {"ok", "", "c"}, {long, "text/x", ""}, {"", "", ""}, {}, {"ok", "text/csv", ""},
	} {
		w, err := ask(t.Context(), b)
		if i == 4 {
			if f := fault.Of(err); f == nil || f.Code != "ModelError" || f.Extra["OriginalMessage"] != "bad" || f.Extra["OriginalStatusCode"] != 415 {
				t.Errorf("%d: %v", i, err)
			}
			continue
		}
		if err != nil || w.Body.String() != want.body || w.Header().Get("Content-Type") != want.typ ||
			w.Header().Get("X-Amzn-Sagemaker-Custom-Attributes") != want.attributes || w.Header().Get("X-Amzn-Invoked-Production-Variant") != "A" {
			t.Errorf("%d: %v %.20q %v", i, err, w.Body, w.Header())
		}
	}
	if n := dials(); n != 1 {
		t.Errorf("%d connections for six answers", n)
	}
}

func TestConnectionsThatEnd(t *testing.T) {
	t.Run("a kept one that was closed meanwhile is replaced", func(t *testing.T) {
		b, dials := script(t, fine+"ok", "", fine+"ok")
		for i := range 2 {
			if w, err := ask(t.Context(), b); err != nil || w.Body.String() != "ok" {
				t.Errorf("%d: %v %q", i, err, w.Body)
			}
		}
		if n := dials(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one that closes at the first request is an error of the model", func(t *testing.T) {
		b, dials := script(t, "", fine+"ok")
		if _, err := ask(t.Context(), b); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
			t.Errorf("%v", err)
		}
		if n := dials(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one that the instance will close is not kept", func(t *testing.T) {
		b, dials := script(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", fine+"ok")
		for i := range 2 {
			if w, err := ask(t.Context(), b); err != nil || w.Body.String() != "ok" {
				t.Errorf("%d: %v %q", i, err, w.Body)
			}
		}
		if n := dials(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one with more bytes than the answer is not kept", func(t *testing.T) {
		b, dials := script(t, fine+"ok"+fine, fine+"ko")
		for i, want := range []string{"ok", "ko"} {
			if w, err := ask(t.Context(), b); err != nil || w.Body.String() != want {
				t.Errorf("%d: %v %q", i, err, w.Body)
			}
		}
		if n := dials(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("an answer that is cut cuts the caller's", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if c, err := ln.Accept(); err == nil {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, fine+"o")
				c.Close()
			}
		}()
		if _, err := ask(t.Context(), newBackend("tcp://"+ln.Addr().String())); err == nil || !strings.Contains(err.Error(), http.ErrAbortHandler.Error()) {
			t.Errorf("%v", err)
		}
	})
}

// silent is an instance that tells of a request and does not answer it.
func silent(t *testing.T) (*backend, chan struct{}) {
	t.Helper()
	asked := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done() // until the caller goes away
	}))
	t.Cleanup(s.Close)
	return newBackend("tcp://" + s.Listener.Addr().String()), asked
}

func TestACallerThatGoesAwayFreesTheInstance(t *testing.T) {
	b, asked := silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := ask(ctx, b); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
		t.Errorf("%v", err)
	}
	if n := b.outstanding.Load(); n != 0 || len(b.idle) != 0 {
		t.Errorf("%d requests are under way, %d connections kept", n, len(b.idle))
	}
}

func TestDeadlines(t *testing.T) {
	b, _ := silent(t)
	_, _, err := b.post(t.Context(), []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), time.Now().Add(-2*slack))
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("past the deadline: %v", err)
	}

	b, _ = script(t, fine+"ok", fine+"ok", fine+"ok")
	start := time.Now()
	for i, c := range []struct{ asked, set time.Duration }{{time.Minute, time.Minute + slack}, {time.Minute + slack/2, time.Minute + slack}, {time.Hour, time.Hour + slack}} {
		a, conn, err := b.post(t.Context(), []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), start.Add(c.asked))
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.until.Sub(start); got != c.set {
			t.Errorf("%d: asked for %v, %v is set", i, c.asked, got)
		}
		err = conn.copyBody(io.Discard, &a)
		b.done(conn, &a, err == nil)
	}
}
