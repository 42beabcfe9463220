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
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/serving/servingtest"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// targetAt is an instance of one container.
func targetAt(addr string) *target {
	return &target{containers: []*serving.Backend{serving.Dial(addr)}}
}

// ask sends one request to an instance, as invoke does.
func ask(ctx context.Context, t *target) (w *httptest.ResponseRecorder, err error) {
	return askMetered(ctx, t, &meter{})
}

func askMetered(ctx context.Context, t *target, m *meter) (w *httptest.ResponseRecorder, err error) {
	s := &Service{}
	s.Now = time.Now
	v := variantRoute{name: "A", header: []string{"A"}, weight: 1, targets: []*target{t}, meter: m}
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

const fine = servingtest.Fine

func TestAnswersOfEveryForm(t *testing.T) {
	long := strings.Repeat("a", 100_000)
	addr, dials := servingtest.Script(t,
		fine+"ok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Amzn-SageMaker-Custom-Attributes: c\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n%s", len(long), long),
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 415 No\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nbad",
		fine+"ok",
	)
	to := targetAt(addr)
	for i, want := range []struct{ body, typ, attributes string }{
		{"ok", "text/csv", ""}, {"ok", "", "c"}, {long, "text/x", ""}, {"", "", ""}, {}, {"ok", "text/csv", ""},
	} {
		w, err := ask(t.Context(), to)
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
	t.Run("a kept one that ends with the request does not send it again", func(t *testing.T) {
		addr, dials := servingtest.Script(t, fine+"ok", "", fine+"ok")
		b := targetAt(addr)
		if w, err := ask(t.Context(), b); err != nil || w.Body.String() != "ok" {
			t.Errorf("%v %q", err, w.Body)
		}
		if _, err := ask(t.Context(), b); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
			t.Errorf("%v", err)
		}
		if n := dials(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one that closes at the first request is an error of the model", func(t *testing.T) {
		addr, dials := servingtest.Script(t, "", fine+"ok")
		to := targetAt(addr)
		if _, err := ask(t.Context(), to); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
			t.Errorf("%v", err)
		}
		if n := dials(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one that the instance will close is not kept", func(t *testing.T) {
		addr, dials := servingtest.Script(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", fine+"ok")
		to := targetAt(addr)
		for i := range 2 {
			if w, err := ask(t.Context(), to); err != nil || w.Body.String() != "ok" {
				t.Errorf("%d: %v %q", i, err, w.Body)
			}
		}
		if n := dials(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("one with more bytes than the answer is not kept", func(t *testing.T) {
		addr, dials := servingtest.Script(t, fine+"ok"+fine, fine+"ko")
		to := targetAt(addr)
		for i, want := range []string{"ok", "ko"} {
			if w, err := ask(t.Context(), to); err != nil || w.Body.String() != want {
				t.Errorf("%d: %v %q", i, err, w.Body)
			}
		}
		if n := dials(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
	for name, c := range map[string]struct{ sent, want string }{
		"an answer that is cut is an error of the model": {servingtest.Fine + "o", "The container broke off its answer."},
		"a long answer that is cut cuts the caller's":    {"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + strings.Repeat("o", 8_000_000), http.ErrAbortHandler.Error()},
		"chunks that are cut are an error of the model":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "The container broke off its answer."},
		"no HTTP is an error of the model":               {"220 mail.example ESMTP\r\n\r\n", "The container's answer was not HTTP."},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				if conn, err := ln.Accept(); err == nil {
					_, _ = http.ReadRequest(bufio.NewReader(conn))
					_, _ = io.WriteString(conn, c.sent)
					conn.Close()
				}
			}()
			m := &meter{}
			_, err = askMetered(t.Context(), targetAt("tcp://"+ln.Addr().String()), m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if len(m.samples) != 1 || m.samples[0].status != 500 || m.samples[0].broken {
				t.Errorf("it is counted as %+v", m.samples)
			}
		})
	}
}

func TestACallerThatGoesAwayFreesTheInstance(t *testing.T) {
	addr, asked := servingtest.Silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	to := targetAt(addr)
	if _, err := ask(ctx, to); fault.Of(err) == nil || fault.Of(err).Code != "ModelError" {
		t.Errorf("%v", err)
	}
	if n := to.outstanding.Load(); n != 0 {
		t.Errorf("%d requests are under way", n)
	}
}
