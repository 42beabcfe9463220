// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/door"
)

// plain is an invocation as the platform sends it.
func plain(body string, header ...string) string {
	var b strings.Builder
	b.WriteString("POST /invocations HTTP/1.1\r\nHost: model\r\n")
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

func TestPlainHead(t *testing.T) {
	const ct = "Content-Type"
	for name, text := range map[string]string{
		"the platform's":    plain("1", ct, "text/csv", "Accept", "text/csv", "X-Amzn-SageMaker-Inference-Id", "7"),
		"without a type":    plain("1"),
		"with an empty one": plain("1", ct, ""),
		"one of many":       strings.Replace(plain("1"), "/invocations", "/models/0a-B_c.d/invoke", 1),
	} {
		if h, ok := plainHead([]byte(text)); !ok || h.length != 1 || text[h.size:] != "1" {
			t.Errorf("%s: %+v %v", name, h, ok)
		}
	}
	for name, text := range map[string]string{
		"a head that is not whole":        "POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Length: 1\r\n",
		"another door":                    "GET /ping HTTP/1.1\r\nHost: model\r\nContent-Length: 0\r\n\r\n",
		"another version":                 "POST /invocations HTTP/1.0\r\nHost: model\r\nContent-Length: 0\r\n\r\n",
		"no host":                         "POST /invocations HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
		"no length":                       "POST /invocations HTTP/1.1\r\nHost: model\r\n\r\n",
		"bare line feeds":                 "POST /invocations HTTP/1.1\r\nHost: model\nContent-Length: 0\n\n",
		"a line without a colon":          plain("1", "Accept", "a\r\nAccept"),
		"a length twice":                  plain("1", "Content-Length", "1"),
		"a negative length":               strings.Replace(plain("1"), "Length: 1", "Length: -1", 1),
		"a signed length":                 strings.Replace(plain("1"), "Length: 1", "Length: +1", 1),
		"a length of ten digits":          strings.Replace(plain("1"), "Length: 1", "Length: 0000000001", 1),
		"a type twice":                    plain("1", ct, "a", ct, "b"),
		"chunks":                          plain("1", "Transfer-Encoding", "chunked"),
		"Expect":                          plain("1", "Expect", "100-continue"),
		"Connection":                      plain("1", "Connection", "close"),
		"a name in other letters":         plain("1", "content-type", "a"),
		"a space before the colon":        plain("1", "Accept ", "a"),
		"a continued line":                plain("1", "Accept", "a\r\n b"),
		"a control character":             plain("1", "Accept", "a\x00"),
		"a letter that is not ASCII":      plain("1", "Accept", "é"),
		"a space at the end":              plain("1", "Accept", "a "),
		"an odd host":                     strings.Replace(plain("1"), "model", "mo del", 1),
		"no model":                        strings.Replace(plain("1"), "/invocations", "/models//invoke", 1),
		"an escape in a model's name":     strings.Replace(plain("1"), "/invocations", "/models/%61/invoke", 1),
		"a query":                         strings.Replace(plain("1"), "/invocations", "/models/a/invoke?x", 1),
		"another verb of a model":         strings.Replace(plain("1"), "/invocations", "/models/a", 1),
		"a header that is not the door's": plain("1", "Trailer", "x"),
	} {
		if h, ok := plainHead([]byte(text)); ok {
			t.Errorf("%s is plain: %+v", name, h)
		}
	}
}

// FuzzPlainHead holds what the door reads by itself against net/http.
func FuzzPlainHead(f *testing.F) {
	f.Add([]byte(plain("1,2", "Content-Type", "text/csv", "Accept", "a, b", "X-Amzn-SageMaker-Session-Id", "x")))
	f.Add([]byte(plain("", "Content-Length", "0")))
	f.Add([]byte(plain("1", "Accept ", "a\r\n b")))
	f.Add([]byte(strings.Replace(plain("1"), "/invocations", "/models/a-b/invoke", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := plainHead(b)
		if !ok {
			return
		}
		rest := bufio.NewReader(bytes.NewReader(b))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b, err)
		}
		if left := rest.Buffered(); len(b) <= 4096 && h.size+left != len(b) {
			t.Errorf("%q: head of %d bytes, net/http leaves %d of %d", b, h.size, left, len(b))
		}
		var accept []string
		if h.hasAccept {
			accept = []string{string(h.accept)}
		}
		path := "/invocations"
		if h.model != nil {
			path = "/models/" + string(h.model) + "/invoke"
		}
		if r.Method != http.MethodPost || r.URL.Path != path || r.URL.EscapedPath() != path || r.URL.RawQuery != "" || r.ContentLength != int64(h.length) || len(r.TransferEncoding) > 0 || r.Close ||
			r.Header.Get("Content-Type") != string(h.contentType) || fmt.Sprint(r.Header["Accept"]) != fmt.Sprint(accept) {
			t.Errorf("%q: %+v, net/http: %+v", b, h, r)
		}
	})
}

// openDoor is a door for m, with net/http behind it.
func openDoor(t *testing.T, m algo.Model, opts Options) (*porch, func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHandler(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	return openDoorOn(t, ln, &behind{one: h})
}

func openDoorOn(t *testing.T, ln net.Listener, b *behind) (*porch, func() net.Conn) {
	t.Helper()
	d := newPorch(ln, slog.New(slog.DiscardHandler), b)
	server := &http.Server{Handler: b}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d) }()
	t.Cleanup(func() {
		d.Cut()
		_ = server.Close()
		<-ended
		d.Wait()
	})
	return d, func() net.Conn {
		c, err := net.Dial("unix", ln.Addr().String())
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

func TestTheDoorAnswersAsNetHTTPDoes(t *testing.T) {
	const ct, accept = "Content-Type", "Accept"
	d, dial := openDoor(t, sums{}, env(nil))
	c := dial()
	r := bufio.NewReader(c)
	h := d.behind.Load()
	for _, q := range []struct {
		body   string
		header []string
	}{
		{"1,2\n3,4", []string{ct, "text/csv"}},
		{"1,2\n3,4", []string{ct, "text/csv", accept, "text/csv"}},
		{"1,2\n3,4", []string{ct, "text/csv", accept, "text/csv", "X-Amzn-SageMaker-Inference-Id", "7"}},
		{"", []string{ct, "text/csv"}},
		{"1,2", nil},
		{"x", []string{ct, "text/csv"}},
		{"1", []string{ct, "image/png"}},
		{"1", []string{ct, "text/csv", accept, "image/png"}},
		{"1", []string{ct, "text/csv", accept, ""}},
		{"1,2,3,4", []string{ct, "text/csv"}},
		{"500", []string{ct, "text/csv"}},
		{"666", []string{ct, "text/csv"}},
		{strings.Repeat("1,2\n", 10_000), []string{ct, "text/csv"}},
	} {
		text := plain(q.body, q.header...)
		send(t, c, text)
		resp, body := receive(t, r)
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
			t.Errorf("Date is %q", resp.Header.Get("Date"))
		}
		for _, name := range []string{"Date", "Content-Length"} { // the recorder has neither
			resp.Header.Del(name)
			w.Header().Del(name)
		}
		if resp.StatusCode != w.Code || body != w.Body.String() || !maps.EqualFunc(resp.Header, w.Header(), func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%.40q %q: %d %v %.60q\nwant %d %v %.60q", q.body, q.header, resp.StatusCode, resp.Header, body, w.Code, w.Header(), w.Body)
		}
	}
	if d.Serving() != 1 {
		t.Error("a plain request was handed over")
	}
}

func TestTheDoorHandsOverWhatIsNotPlain(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"ping", "GET /ping HTTP/1.1\r\nHost: model\r\n\r\n", 200, ""},
		{"chunks", "POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1,2\r\n0\r\n\r\n", 200, "3.0"},
		{"a head in other letters", "POST /invocations HTTP/1.1\r\nhost: model\r\ncontent-type: text/csv\r\ncontent-length: 3\r\n\r\n1,2", 200, "3.0"},
		{"a body over the limit", plain("1,2,3,4,5,6", "Content-Type", "text/csv"), 413, "larger than the limit of 9 bytes"},
		{"garbage", "hello\r\n\r\n", 400, "Bad Request"},
		{"two lengths", plain("1", "Content-Length", "2"), 400, "Bad Request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dial := openDoor(t, sums{}, env(map[string]string{"MAX_CONTENT_LENGTH": "9"}))
			conn := dial()
			r := bufio.NewReader(conn)
			// A plain request before it, in the same write.
			send(t, conn, plain("1,1", "Content-Type", "text/csv")+c.text)
			if resp, body := receive(t, r); resp.StatusCode != 200 || !strings.Contains(body, "2.0") {
				t.Fatalf("%d %q", resp.StatusCode, body)
			}
			if resp, body := receive(t, r); resp.StatusCode != c.code || !strings.Contains(body, c.want) {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
		})
	}
}

func TestTheDoorReadsABodyInPieces(t *testing.T) {
	_, dial := openDoor(t, sums{}, env(nil))
	c := dial()
	r := bufio.NewReader(c)
	body := strings.Repeat("1\n", door.MaxPlain/2)
	text := plain(body, "Content-Type", "text/csv", "Accept", "text/csv")
	head := len(text) - len(body)
	for _, part := range []string{text[:head+1], text[head+1 : head+9000], text[head+9000:]} {
		send(t, c, part)
	}
	if resp, got := receive(t, r); resp.StatusCode != 200 || strings.Count(got, "1.0") != door.MaxPlain/2 {
		t.Errorf("%d, %d bytes", resp.StatusCode, len(got))
	}
	send(t, c, plain("2", "Content-Type", "text/csv", "Accept", "text/csv"))
	if _, got := receive(t, r); got != "2.0" {
		t.Errorf("the next request: %q", got)
	}
}

// held answers when it is let go.
type held struct{ began, open chan struct{} }

func (held) Save(string) error { return nil }
func (h held) Predict(context.Context, *algo.Matrix) (algo.Prediction, error) {
	h.began <- struct{}{}
	<-h.open
	return algo.Prediction{Values: []float32{1}, Width: 1}, nil
}

func TestDrainAnswersWhatIsUnderWay(t *testing.T) {
	m := held{make(chan struct{}), make(chan struct{})}
	d, dial := openDoor(t, m, env(nil))
	idle, working := dial(), dial()
	send(t, working, plain("1", "Content-Type", "text/csv"))
	<-m.began
	for d.Serving() != 2 {
		time.Sleep(time.Millisecond)
	}
	drained := make(chan struct{})
	go func() { _ = d.Drain(t.Context()); close(drained) }()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case <-drained:
		t.Fatal("drain did not wait for the request")
	default:
	}
	close(m.open)
	r := bufio.NewReader(working)
	if resp, body := receive(t, r); resp.StatusCode != 200 || !strings.Contains(body, "1.0") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v", err)
	}
	<-drained
	if _, err := net.Dial("unix", d.Addr().String()); err == nil {
		t.Error("the door is still open")
	}
}

func TestDrainGivesUpWhenItsTimeIsOver(t *testing.T) {
	m := held{make(chan struct{}), make(chan struct{})}
	d, dial := openDoor(t, m, env(nil))
	defer close(m.open)
	c := dial()
	send(t, c, plain("1", "Content-Type", "text/csv"))
	<-m.began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d.Drain(ctx) == nil {
		t.Error("drain does not tell that its time was over")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
}

func TestAcceptTellsThatTheListenerIsGone(t *testing.T) {
	ln := listen(t)
	d := newPorch(ln, slog.New(slog.DiscardHandler), nil)
	ln.Close()
	if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func BenchmarkDoor(b *testing.B) {
	h, err := newHandler(constant{algo.Prediction{Values: []float32{0.99817282}, Width: 1}}, env(nil))
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(plain(strings.Repeat("17.990,", 29)+"0.1189\n", "Content-Type", "text/csv", "Accept", "text/csv"))
	l := &lane{Lane: &door.Lane{}}
	b.ReportAllocs()
	for b.Loop() {
		hd, ok := plainHead(text)
		if !ok {
			b.Fatal("not plain")
		}
		l.reply(h, hd, text[hd.size:], false)
	}
}
