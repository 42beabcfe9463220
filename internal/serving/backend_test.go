// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving/servingtest"
)

var request = []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")

const plain = servingtest.Fine + "ok"

// script is a container that gives its answers in turn.
func script(t *testing.T, answers ...string) (*Backend, func() int) {
	t.Helper()
	addr, dials := servingtest.Script(t, answers...)
	return Dial(addr), dials
}

func TestHeadsBeforeTheAnswer(t *testing.T) {
	early := "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	for name, x := range map[string]struct {
		answer string
		ok     bool
	}{
		"none":              {plain, true},
		"one":               {early + plain, true},
		"two":               {early + "HTTP/1.1 100 Continue\r\n\r\n" + plain, true},
		"and nothing":       {early, false},
		"without end":       {string(bytes.Repeat([]byte(early), 100)), false},
		"another protocol":  {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + plain, false},
		"no HTTP":           {"220 mail.example ESMTP\r\n\r\n", false},
		"HTTP from the end": {"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false},
	} {
		b, _ := script(t, x.answer)
		a, c, err := b.Post(t.Context(), request, time.Now().Add(200*time.Millisecond))
		if !x.ok {
			if err == nil {
				t.Errorf("%s: %+v", name, a)
			}
			continue
		}
		var body bytes.Buffer
		if err != nil || a.Status != 200 || c.CopyBody(&body, &a) != nil || body.String() != "ok" {
			t.Errorf("%s: %v %+v %q", name, err, a, body.String())
		}
	}
}

func TestWhatIsWhole(t *testing.T) {
	long := "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + string(make([]byte, 3_000_000))
	for name, x := range map[string]struct {
		answer string
		whole  bool
	}{
		"a short one": {plain, true},
		"a long one":  {long, false},
		"chunks":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
	} {
		b, _ := script(t, x.answer)
		a, c, err := b.Post(t.Context(), request, time.Now().Add(time.Minute))
		if err != nil || c.Whole(&a) != x.whole || c.CopyBody(io.Discard, &a) != nil {
			t.Errorf("%s: %v %v", name, err, x.whole)
		}
	}
}

func TestAContainerThatDoesNotListenWasNotAsked(t *testing.T) {
	for name, answers := range map[string][]string{
		"at the first request": {runtime.NotListening},
		"at a later one":       {plain, runtime.NotListening},
	} {
		b, _ := script(t, answers...)
		if len(answers) > 1 {
			a, c, err := b.Post(t.Context(), request, time.Now().Add(time.Minute))
			if err != nil || c.CopyBody(io.Discard, &a) != nil {
				t.Fatal(err)
			}
			b.Done(c, &a, true)
		}
		if _, _, err := b.Post(t.Context(), request, time.Now().Add(time.Minute)); !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := script(t, "\x00 something else")
	if _, _, err := b.Post(t.Context(), request, time.Now()); err == nil || errors.Is(err, ErrNotSent) {
		t.Errorf("a container that answers nonsense: %v", err)
	}
}

func TestARequestIsNotSentTwice(t *testing.T) {
	// It may be what ended the container.
	b, dials := script(t, plain, "")
	a, c, err := b.Post(t.Context(), request, time.Now().Add(time.Minute))
	if err != nil || c.CopyBody(io.Discard, &a) != nil {
		t.Fatal(err)
	}
	b.Done(c, &a, true)
	if _, _, err := b.Post(t.Context(), request, time.Now().Add(time.Minute)); !ClosedByPeer(err) || errors.Is(err, ErrNotSent) {
		t.Errorf("%v", err)
	}
	if n := dials(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestKeptConnectionsThatAreOfNoUse(t *testing.T) {
	for name, spoil := range map[string]func(here *Conn, there net.Conn){
		"closed by the container":   func(_ *Conn, there net.Conn) { there.Close() },
		"with bytes nobody asked":   func(_ *Conn, there net.Conn) { _, _ = io.WriteString(there, plain) },
		"not used for a long while": func(here *Conn, _ net.Conn) { here.since = time.Now().Add(-maxKept) },
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			there := make(chan net.Conn, 2)
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					there <- c
				}
			}()
			b := Dial("unix://" + ln.Addr().String())
			defer b.Close()
			c, err := b.get(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			b.put(c)
			if again, err := b.get(t.Context(), false); err != nil || again != c {
				t.Fatalf("one that is good is not used again: %v", err)
			}
			b.put(c)
			spoil(c, <-there)
			for end := time.Now().Add(5 * time.Second); name[0] != 'n' && quiet(c.Conn) && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			again, err := b.get(t.Context(), false)
			if err != nil || again == c {
				t.Fatalf("it is used again: %v", err)
			}
			again.Close()
			(<-there).Close()
		})
	}
}
