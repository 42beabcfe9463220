// SPDX-License-Identifier: Apache-2.0

package hosting

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
	"sync/atomic"
	"syscall"
	"time"
)

// backend is one serving task as requests see it: an address and a pool of
// connections kept open. It speaks HTTP/1.1 itself, because net/http's
// Transport hands each request through two goroutines, which costs more than
// the model does.
type backend struct {
	network, addr string
	client        *http.Client // for /ping
	outstanding   atomic.Int64

	mu   sync.Mutex
	idle []*conn
}

type conn struct {
	net.Conn
	r     *bufio.Reader
	used  bool      // has answered before: it may have been closed meanwhile
	until time.Time // the deadline that is set
	cut   bool      // the deadline was moved because the caller went away

	contentType string // of the last answer: the next one's is the same
	typeHeader  []string
}

// maxIdle bounds the connections kept open to one instance.
const maxIdle = 256

// newBackend reads a task's address, unix:///path or tcp://host:port.
func newBackend(addr string) *backend {
	b := &backend{network: "tcp", addr: strings.TrimPrefix(addr, "tcp://")}
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		b.network, b.addr = "unix", path
	}
	b.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, b.network, b.addr)
		}}}
	return b
}

// errNotSent marks a failure before the instance can have seen the request, so
// that another instance may be tried.
var errNotSent = errors.New("request was not sent")

func (b *backend) get(ctx context.Context, fresh bool) (*conn, error) {
	if !fresh {
		b.mu.Lock()
		if n := len(b.idle); n > 0 {
			c := b.idle[n-1]
			b.idle = b.idle[:n-1]
			b.mu.Unlock()
			return c, nil
		}
		b.mu.Unlock()
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, b.network, b.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 8<<10)}, nil
}

func (b *backend) put(c *conn) {
	c.used = true
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < maxIdle {
		b.idle = append(b.idle, c)
		return
	}
	c.Close()
}

// post sends a whole request, head and body in one buffer, and reads the head
// of the answer. A connection that was kept open and turns out to be closed is
// replaced once: the instance cannot have begun with the request. The caller
// gives the connection back by done, once it has read the body.
func (b *backend) post(ctx context.Context, request []byte, deadline time.Time) (answer, *conn, error) {
	c, err := b.get(ctx, false)
	if err != nil {
		return answer{}, nil, err
	}
	a, err := c.roundTrip(ctx, request, deadline)
	if err != nil && c.used && closedByPeer(err) {
		c.Close()
		if c, err = b.get(ctx, true); err != nil {
			return answer{}, nil, err
		}
		a, err = c.roundTrip(ctx, request, deadline)
	}
	if err != nil {
		c.Close()
		return answer{}, nil, err
	}
	return a, c, nil
}

// done takes the connection of an answer back; keep says that the body was read
// to its end.
func (b *backend) done(c *conn, a *answer, keep bool) {
	if keep && !a.last && !c.cut && c.r.Buffered() == 0 {
		b.put(c)
		return
	}
	c.Close()
}

func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// slack is how much later than asked for a deadline may come. Within it the one
// that an earlier request set does: moving a timer costs more than comparing.
const slack = time.Second

func (c *conn) roundTrip(ctx context.Context, request []byte, deadline time.Time) (answer, error) {
	if c.until.Before(deadline) {
		c.until = deadline.Add(slack)
		if err := c.SetDeadline(c.until); err != nil {
			return answer{}, err
		}
	}
	if ctx.Done() != nil { // a client that goes away frees the instance
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		defer func() { c.cut = !stop() }()
	}
	if _, err := c.Write(request); err != nil {
		return answer{}, err
	}
	return c.readAnswer()
}
