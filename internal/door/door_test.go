// SPDX-License-Identifier: Apache-2.0

package door_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/door"
)

// plain is an invocation as clients send it.
func plain(path, body string, header ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n", path)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// house is a handler behind net/http, and behind a door before net/http.
type house struct {
	*door.Door
	dial, dialBare func() net.Conn
}

func open(t *testing.T, h http.HandlerFunc, first, idle time.Duration) house {
	t.Helper()
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	serve := func(ln net.Listener) {
		quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		server, ended := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}, make(chan error, 1)
		go func() { ended <- server.Serve(ln) }()
		t.Cleanup(func() { _ = server.Close(); <-ended })
	}
	dial := func(ln net.Listener) func() net.Conn {
		return func() net.Conn {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	bare, ln := listen(), listen()
	serve(bare)
	takes := func(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, "/other") }
	d := door.New(ln, door.Options{Log: slog.New(slog.DiscardHandler), Open: door.Handler(h, takes), First: first, Idle: idle})
	serve(d)
	t.Cleanup(func() { d.Cut(); d.Wait() })
	return house{d, dial(ln), dial(bare)}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads one answer.
func receive(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// behaves answers in each of the ways that handlers have, by path, and tells all
// that it sees of the request.
func behaves(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	seen := fmt.Sprintln(r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.ContentLength, r.TransferEncoding,
		r.Close, r.Trailer == nil, r.Form == nil, r.TLS == nil, strings.HasPrefix(r.RemoteAddr, "127.0.0.1:"), len(body))
	for _, k := range slices.Sorted(maps.Keys(r.Header)) {
		seen += fmt.Sprintf("%s=%q\n", k, r.Header[k])
	}
	switch r.URL.Path {
	case "/silent":
	case "/status":
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Amzn-Errortype", "Busy")
		w.WriteHeader(http.StatusServiceUnavailable)
		w.WriteHeader(http.StatusOK) // too late
		w.Header().Set("X-Late", "1")
		_, _ = io.WriteString(w, "later")
	case "/odd":
		w.WriteHeader(599)
	case "/none":
		w.WriteHeader(http.StatusNoContent)
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic("a body was written")
		}
	case "/lines":
		w.Header()["X-Two"] = []string{"a\r\nX-Evil: 1", " b "}
	case "/length":
		w.Header()["Content-Length"] = []string{"3"}
		_, _ = w.Write([]byte("abc"))
	case "/long":
		w.Header()["Content-Length"] = []string{"400000"}
		w.Header().Set("Content-Type", "text/csv")
		for range 40 {
			_, _ = io.WriteString(w, strings.Repeat("0123456789", 1000))
		}
	case "/chunks":
		for range 40 {
			_, _ = io.WriteString(w, strings.Repeat("0123456789", 1000))
		}
	default:
		_, _ = io.WriteString(w, seen)
	}
}

// TestAsNetHTTPDoes sends the same to both, on one connection each.
func TestAsNetHTTPDoes(t *testing.T) {
	h := open(t, behaves, time.Minute, time.Minute)
	c, bare := h.dial(), h.dialBare()
	r, bareR := bufio.NewReader(c), bufio.NewReader(bare)
	for _, text := range []string{
		plain("/seen", "1,2\n3,4", "Content-Type", "text/csv", "user-agent", "Boto3/1 md/x", "aMZ-sDK-rEQUEST", "attempt=1", "X-Amzn-SageMaker-Inference-Id", "7", "Accept", ""),
		plain("/seen", "", "X-Amz-Date", "20261120T210000Z", "Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=c, Signature=d", "Connection", "keep-alive"),
		plain("/seen/again-1", "x"),
		strings.Replace(plain("/seen", "x"), "Host: ", "HOST:", 1),
		plain("/silent", "x"),
		plain("/status", "x"),
		plain("/odd", "x"),
		plain("/none", "x"),
		plain("/lines", "x"),
		plain("/length", "x"),
		plain("/long", "x"),
		plain("/chunks", "x"),
		plain("/seen", strings.Repeat("x", door.MaxPlain)),
		plain("/seen", "last"),
	} {
		send(t, c, text)
		send(t, bare, text)
		got, gotBody := receive(t, r)
		want, wantBody := receive(t, bareR)
		if date, err := http.ParseTime(got.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
			t.Errorf("Date is %q", got.Header.Get("Date"))
		}
		got.Header.Del("Date")
		want.Header.Del("Date")
		if got.Status != want.Status || gotBody != wantBody || got.ContentLength != want.ContentLength || got.Close != want.Close ||
			fmt.Sprint(got.TransferEncoding) != fmt.Sprint(want.TransferEncoding) ||
			!maps.EqualFunc(got.Header, want.Header, func(a, b []string) bool { return fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b) }) {
			t.Errorf("%.60q:\n%s %d %v %.400s\nwant\n%s %d %v %.400s", text, got.Status, got.ContentLength, got.Header, gotBody, want.Status, want.ContentLength, want.Header, wantBody)
		}
	}
	if h.Serving() != 1 {
		t.Error("a plain request was handed over")
	}
}

func TestWhatIsNotPlainIsHandedOver(t *testing.T) {
	for name, text := range map[string]string{
		"another method":         "GET /seen HTTP/1.1\r\nHost: a\r\n\r\n",
		"another path":           plain("/other/x", "1"),
		"an escape":              plain("/se%65n", "1"),
		"a query":                plain("/seen?a=b", "1"),
		"chunks":                 "POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1,2\r\n0\r\n\r\n",
		"chunks and a length":    "POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Expect":                 plain("/seen", "1", "Expect", "nothing"),
		"two lengths":            plain("/seen", "1", "content-length", "1"),
		"two hosts":              plain("/seen", "1", "host", "b"),
		"a header twice":         plain("/seen", "1", "Accept", "a", "accept", "b"),
		"Connection: close":      plain("/seen", "1", "Connection", "close"),
		"garbage":                "hello\r\n\r\n",
		"a body over the limit":  plain("/seen", strings.Repeat("x", door.MaxPlain+1)),
		"many headers":           plain("/seen", "1", many(40)...),
		"a head of many packets": plain("/seen", "1", "X-Amz-Security-Token", strings.Repeat("x", 20_000)),
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, behaves, time.Minute, time.Minute)
			c, bare := h.dial(), h.dialBare()
			r, bareR := bufio.NewReader(c), bufio.NewReader(bare)
			// A plain request before it, in the same write.
			send(t, c, plain("/seen", "before")+text)
			send(t, bare, text)
			if resp, body := receive(t, r); resp.StatusCode != 200 || !strings.Contains(body, " 6\n") {
				t.Fatalf("%d %q", resp.StatusCode, body)
			}
			got, gotBody := receive(t, r)
			want, wantBody := receive(t, bareR)
			if got.StatusCode != want.StatusCode || gotBody != wantBody || h.Serving() != 0 {
				t.Errorf("%s %q, want %s %q; %d lanes", got.Status, gotBody, want.Status, wantBody, h.Serving())
			}
		})
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("X-Amz-%d", i), "1")
	}
	return out
}

func TestABodyInPieces(t *testing.T) {
	h := open(t, behaves, time.Minute, time.Minute)
	c := h.dial()
	r := bufio.NewReader(c)
	text := plain("/seen", strings.Repeat("x", door.MaxPlain))
	for len(text) > 0 {
		n := min(len(text), 10_000)
		send(t, c, text[:n])
		text = text[n:]
	}
	if _, body := receive(t, r); !strings.Contains(body, " 65536\n") || h.Serving() != 1 {
		t.Errorf("%.200s", body)
	}
}

// TestABodyThatIsLate is net/http's, which has no limit for it.
func TestABodyThatIsLate(t *testing.T) {
	h := open(t, behaves, 100*time.Millisecond, time.Minute)
	c := h.dial()
	text := plain("/seen", "0123456789")
	send(t, c, text[:len(text)-5])
	for h.Serving() > 0 {
		time.Sleep(time.Millisecond)
	}
	send(t, c, text[len(text)-5:])
	if _, body := receive(t, bufio.NewReader(c)); !strings.Contains(body, " 10\n") {
		t.Errorf("%.200s", body)
	}
}

func TestConnectionsThatSayNothingAreClosed(t *testing.T) {
	h := open(t, behaves, 50*time.Millisecond, 100*time.Millisecond)
	c := h.dial()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("before a request: %v", err)
	}
	c = h.dial()
	r := bufio.NewReader(c)
	send(t, c, plain("/seen", "1"))
	receive(t, r)
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after a request: %v", err)
	}
}

func TestPanicsEndTheConnection(t *testing.T) {
	for _, p := range []any{http.ErrAbortHandler, "at the disco"} {
		h := open(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(p)
		}, time.Minute, time.Minute)
		c := h.dial()
		send(t, c, plain("/seen", ""))
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("%v: %q %v", p, got, err)
		}
	}
}

func TestAnAnswerOfAnotherLengthEndsTheConnection(t *testing.T) {
	h := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
		if r.URL.Path == "/more" {
			if _, err := io.WriteString(w, "and more"); !errors.Is(err, http.ErrContentLength) {
				t.Error(err)
			}
		}
	}, time.Minute, time.Minute)
	for _, path := range []string{"/less", "/more"} {
		for name, c := range map[string]net.Conn{"door": h.dial(), "net/http": h.dialBare()} {
			send(t, c, plain(path, ""))
			if got, err := io.ReadAll(c); !strings.HasSuffix(string(got), "\r\n\r\nhalf") || err != nil {
				t.Errorf("%s %s: %q %v", name, path, got, err)
			}
		}
	}
}

// TestTheContextEndsWhenTheCallerGoes, and not before.
func TestTheContextEndsWhenTheCallerGoes(t *testing.T) {
	began, over := make(chan bool), make(chan error)
	h := open(t, func(w http.ResponseWriter, r *http.Request) {
		began <- true
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
		over <- r.Context().Err()
	}, time.Minute, time.Minute)
	for _, c := range []struct {
		name string
		text string
		then func(net.Conn)
		want error
	}{
		{"stays", plain("/seen", ""), func(net.Conn) {}, nil},
		{"sends more", plain("/seen", "") + "POST", func(net.Conn) {}, nil},
		{"closes", plain("/seen", ""), func(c net.Conn) { c.Close() }, context.Canceled},
		{"resets", plain("/seen", ""), func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }, context.Canceled},
	} {
		conn := h.dial()
		send(t, conn, c.text)
		<-began
		c.then(conn)
		if err := <-over; !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDrain(t *testing.T) {
	began, goOn := make(chan bool), make(chan bool)
	h := open(t, func(w http.ResponseWriter, _ *http.Request) { began <- true; <-goOn; _, _ = io.WriteString(w, "done") }, time.Minute, time.Minute)
	idle, working := h.dial(), h.dial()
	send(t, working, plain("/seen", "")+plain("/seen", ""))
	<-began
	for h.Serving() != 2 {
		time.Sleep(time.Millisecond)
	}
	drained := make(chan error)
	go func() { drained <- h.Drain(t.Context()) }()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	goOn <- true
	// The second request came before the drain: it is answered, and told to be the last.
	<-began
	goOn <- true
	r := bufio.NewReader(working)
	for i := range 2 {
		if resp, body := receive(t, r); body != "done" || resp.Close != (i == 1) {
			t.Errorf("%d: %v %q", i, resp.Close, body)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", h.Addr().String()); err == nil {
		t.Error("the door is still open")
	}
}

func TestDrainGivesUp(t *testing.T) {
	began := make(chan bool)
	h := open(t, func(_ http.ResponseWriter, r *http.Request) { began <- true; <-r.Context().Done() }, time.Minute, time.Minute)
	c := h.dial()
	send(t, c, plain("/seen", ""))
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	h.Wait() // the request's context has ended
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
}

func TestAcceptTellsThatTheListenerIsGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := door.New(ln, door.Options{Log: slog.New(slog.DiscardHandler), Idle: time.Minute})
	ln.Close()
	if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
