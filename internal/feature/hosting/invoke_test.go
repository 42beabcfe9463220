// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// script is an instance that gives its answers in turn, one for each request,
// and hangs up where one is "". It counts connections.
func script(t *testing.T, answers ...string) (*serving.Backend, func() int) {
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
	return serving.Dial("tcp://" + ln.Addr().String()), func() int { n := <-dials; dials <- n; return n }
}

// ask sends one request to b, as invoke does.
func ask(ctx context.Context, b *serving.Backend) (w *httptest.ResponseRecorder, err error) {
	return askTarget(ctx, &target{containers: []*serving.Backend{b}})
}

func askTarget(ctx context.Context, t *target) (w *httptest.ResponseRecorder, err error) {
	s := &Service{}
	v := variantRoute{name: "A", header: []string{"A"}, weight: 1, targets: []*target{t}, meter: &meter{}}
	s.routes.set(resource.Key{Account: "1", Region: "r", Name: "e"}, &route{fleets: []fleetRoute{{share: 1, variants: []variantRoute{v}, total: 1}}})
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
		if _, err := ask(t.Context(), serving.Dial("tcp://"+ln.Addr().String())); err == nil || !strings.Contains(err.Error(), http.ErrAbortHandler.Error()) {
			t.Errorf("%v", err)
		}
	})
}

// silent is an instance that tells of a request and does not answer it.
func silent(t *testing.T) (*serving.Backend, chan struct{}) {
	t.Helper()
	asked := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done() // until the caller goes away
	}))
	t.Cleanup(s.Close)
	return serving.Dial("tcp://" + s.Listener.Addr().String()), asked
}

func TestACallerThatGoesAwayFreesTheInstance(t *testing.T) {
	b, asked := silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	to := &target{containers: []*serving.Backend{b}}
	if _, err := askTarget(ctx, to); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
		t.Errorf("%v", err)
	}
	if n := to.outstanding.Load(); n != 0 {
		t.Errorf("%d requests are under way", n)
	}
}
