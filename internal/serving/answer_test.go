// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/serving/servingtest"
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

func TestDeadlines(t *testing.T) {
	addr, _ := servingtest.Silent(t)
	b := Dial(addr)
	_, _, err := b.Post(t.Context(), []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), time.Now().Add(-2*slack))
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("past the deadline: %v", err)
	}

	addr, _ = servingtest.Script(t, servingtest.Fine+"ok", servingtest.Fine+"ok", servingtest.Fine+"ok", servingtest.Fine+"ok")
	b = Dial(addr)
	start := time.Now()
	for i, c := range []struct{ asked, set time.Duration }{{time.Minute, time.Minute + slack}, {time.Minute + slack/2, time.Minute + slack}, {time.Hour, time.Hour + slack},
		{2 * time.Minute, 2*time.Minute + slack}} { // after an answer that streamed for long
		a, conn, err := b.Post(t.Context(), []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), start.Add(c.asked))
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.until.Sub(start); got != c.set {
			t.Errorf("%d: asked for %v, %v is set", i, c.asked, got)
		}
		err = conn.CopyBody(io.Discard, &a)
		b.Done(conn, &a, err == nil)
	}
}
