// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Backend is one serving container as requests see it: an address and a pool of
// connections kept open. It speaks HTTP/1.1 itself, because net/http's
// Transport hands each request through two goroutines, which costs more than
// the model does.
type Backend struct {
	dial   func(context.Context) (net.Conn, error)
	client *http.Client // for /ping
	any    *http.Client // for what is not plain

	mu     sync.Mutex
	idle   []*Conn
	closed bool
}

// Conn is a connection to a container, in the hands of one request at a time.
type Conn struct {
	net.Conn
	r     *bufio.Reader
	used  bool      // has answered before: it may have been closed meanwhile
	since time.Time // when it was given back
	until time.Time // the deadline that is set
	sent  int       // bytes of the request that were written
	cut   bool      // the deadline was moved because the caller went away

	contentType string // of the last answer: the next one's is the same
	typeHeader  []string
}

// maxKept is for how long a connection is kept without a request. Servers close
// theirs after seconds (gunicorn: 2, uvicorn: 5), and a request that is sent at
// that moment is lost.
const maxKept = time.Second

// maxIdle bounds the connections kept open to one instance.
const maxIdle = 256

// Dial reads a task's address, unix:///path or tcp://host:port.
func Dial(addr string) *Backend {
	network, addr := "tcp", strings.TrimPrefix(addr, "tcp://")
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	return Over(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	})
}

// Over is a container that dial connects to.
func Over(dial func(context.Context) (net.Conn, error)) *Backend {
	b := &Backend{dial: dial}
	any := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	asIs := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: any}, CheckRedirect: asIs}
	b.any = &http.Client{Transport: &http.Transport{DialContext: any, DisableCompression: true, MaxIdleConnsPerHost: maxIdle}, CheckRedirect: asIs}
	return b
}

// ErrNotSent marks a failure before the instance can have seen the request, so
// that another instance may be tried.
var ErrNotSent = errors.New("request was not sent")

func (b *Backend) get(ctx context.Context, fresh bool) (*Conn, error) {
	for !fresh {
		b.mu.Lock()
		n := len(b.idle)
		if n == 0 {
			b.mu.Unlock()
			break
		}
		c := b.idle[n-1]
		b.idle = b.idle[:n-1]
		b.mu.Unlock()
		if time.Since(c.since) < maxKept && quiet(c.Conn) {
			return c, nil
		}
		c.Close()
	}
	nc, err := b.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return &Conn{Conn: nc, r: bufio.NewReaderSize(nc, 8<<10)}, nil
}

func (b *Backend) put(c *Conn) {
	c.used, c.since = true, time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < maxIdle && !b.closed {
		b.idle = append(b.idle, c)
		return
	}
	c.Close()
}

// Post sends a whole request, head and body in one buffer, and reads the head
// of the answer. A connection that was kept open and takes nothing any more is
// replaced once. One that ends later is not: the request may be what ended the
// container, and would end the next one too. The caller
// gives the connection back by Done, once it has read the body.
func (b *Backend) Post(ctx context.Context, request []byte, deadline time.Time) (Answer, *Conn, error) {
	c, err := b.get(ctx, false)
	if err != nil {
		return Answer{}, nil, err
	}
	a, err := c.roundTrip(ctx, request, deadline)
	if err != nil && c.used && c.sent == 0 && ClosedByPeer(err) {
		c.Close()
		if c, err = b.get(ctx, true); err != nil {
			return Answer{}, nil, err
		}
		a, err = c.roundTrip(ctx, request, deadline)
	}
	if err != nil {
		c.Close()
		return Answer{}, nil, err
	}
	return a, c, nil
}

// Done takes the connection of an answer back; keep says that the body was read
// to its end.
func (b *Backend) Done(c *Conn, a *Answer, keep bool) {
	if keep && !a.last && !c.cut && c.r.Buffered() == 0 {
		b.put(c)
		return
	}
	c.Close()
}

// ClosedByPeer tells whether an error of Post or CopyBody is that of a connection
// that the container closed.
func ClosedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// slack is how much later than asked for a deadline may come. Within it the one
// that an earlier request set does: moving a timer costs more than comparing.
const slack = time.Second

func (c *Conn) roundTrip(ctx context.Context, request []byte, deadline time.Time) (Answer, error) {
	if late := deadline.Add(slack); c.until.Before(deadline) || c.until.After(late) { // an earlier stream had longer
		c.until = late
		if err := c.SetDeadline(c.until); err != nil {
			return Answer{}, err
		}
	}
	if ctx.Done() != nil { // a client that goes away frees the instance
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		defer func() { c.cut = !stop() }()
	}
	var err error
	c.sent, err = c.Write(request)
	if c.notListening() {
		return Answer{}, fmt.Errorf("%w: the container does not listen", ErrNotSent)
	}
	if err != nil {
		return Answer{}, err
	}
	return c.readAnswer()
}

// notListening tells whether the connection was closed before the container had
// it.
func (c *Conn) notListening() bool {
	if b, err := c.r.Peek(1); err != nil || b[0] != runtime.NotListening[0] {
		return false
	}
	b, _ := c.r.Peek(len(runtime.NotListening))
	return string(b) == runtime.NotListening
}

// pingTimeout is how long a container may take to answer /ping. Source: "How
// Containers Serve Requests".
const pingTimeout = 2 * time.Second

// Ping is one GET /ping; true when the container answers 200 in time.
func (b *Backend) Ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://instance/ping", nil)
	if err != nil {
		return false
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Close ends the connections that are kept; those with a request under way end
// with it.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.idle {
		c.Close()
	}
	b.idle, b.closed = nil, true
	b.any.CloseIdleConnections()
}
