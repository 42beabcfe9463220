// SPDX-License-Identifier: Apache-2.0

// Package door is a listener in front of net/http. It answers plain requests by
// itself and hands a connection over, with what was read of it, at the first
// request that is anything else.
//
// net/http starts a goroutine for each request, to see the caller go away, and
// with it wakes and stops a thread; that costs more than a small request does.
package door

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPlain is the longest body, in bytes, of a request that a door answers by
// itself.
const MaxPlain = 64 << 10

// Options of a Door.
type Options struct {
	Log *slog.Logger
	// Open begins a connection. What it returns answers the request at the
	// beginning of the lane's buffer, one each time that it is called.
	Open func(*Lane) func() Next
	// First is how long a connection may take to its first request, Idle how
	// long it is kept without another; Idle is kept to within a quarter. First
	// is Idle when 0.
	First, Idle time.Duration
}

// Next is what comes after a request.
type Next int

const (
	// Again waits for the next request.
	Again Next = iota
	// Over hands the connection over to net/http: the request at the beginning of
	// the buffer was not answered.
	Over
	// End closes the connection.
	End
)

// Door is the listener. net/http gets from it what it does not serve.
type Door struct {
	net.Listener
	opt    Options
	passed chan accepted
	done   chan struct{} // closed by Close
	end    func()        // closes done
	stop   func() error  // closes the listener

	serving  sync.WaitGroup
	closing  atomic.Bool
	watching atomic.Bool
	mu       sync.Mutex
	lanes    map[*Lane]struct{}
}

// accepted is what Accept returns.
type accepted struct {
	net.Conn
	err error
}

// New serves ln, until Close or Drain.
func New(ln net.Listener, o Options) *Door {
	if o.First == 0 {
		o.First = o.Idle
	}
	d := &Door{Listener: ln, opt: o, passed: make(chan accepted), done: make(chan struct{}), lanes: map[*Lane]struct{}{}}
	d.end = sync.OnceFunc(func() { close(d.done) })
	d.stop = sync.OnceValue(ln.Close)
	go d.accept()
	return d
}

// accept takes connections until the listener is closed. Its errors are for
// net/http, which waits a little after each.
func (d *Door) accept() {
	for {
		c, err := d.Listener.Accept()
		switch {
		case err == nil:
			d.enter(c)
		case d.closing.Load():
			return
		default:
			d.pass(accepted{nil, err})
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}

// Accept gives net/http a connection that the door does not serve by itself.
func (d *Door) Accept() (net.Conn, error) {
	select {
	case a := <-d.passed:
		return a.Conn, a.err
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and the listener.
func (d *Door) Close() error {
	d.end()
	return d.stop()
}

func (d *Door) pass(a accepted) {
	select {
	case d.passed <- a:
	case <-d.done:
		if a.Conn != nil {
			a.Close()
		}
	}
}

// Drain takes no more connections, ends those that wait for a request, and lets
// the others answer theirs. It returns an error, that of ctx, where they were cut
// off because ctx ended.
func (d *Door) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.closing.Store(true)
	for l := range d.lanes {
		if l.state.CompareAndSwap(waiting, ended) {
			l.Close()
		}
	}
	d.mu.Unlock()
	_ = d.stop() // Close tells what came of it
	answered := make(chan struct{})
	go func() {
		d.serving.Wait()
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		d.Cut()
		return ctx.Err()
	}
}

// Cut closes the connections that the door serves.
func (d *Door) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing.Store(true)
	for l := range d.lanes {
		l.Close()
		l.cancel()
	}
}

// Wait returns when the door serves no connection any more.
func (d *Door) Wait() { d.serving.Wait() }

// Serving is how many connections the door serves.
func (d *Door) Serving() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lanes)
}

// enter serves c from here on.
func (d *Door) enter(c net.Conn) {
	l := newLane(d, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Load() {
		c.Close()
		return
	}
	d.lanes[l] = struct{}{}
	d.serving.Go(func() {
		over := d.serve(l)
		d.mu.Lock()
		delete(d.lanes, l)
		d.mu.Unlock()
		l.cancel()
		if !over {
			l.Close()
			return
		}
		_ = l.SetReadDeadline(time.Time{}) // net/http sets its own
		d.pass(accepted{&handed{l.Conn, l.buf}, nil})
	})
}

// serve answers plain requests. It returns true at the first that is not: the
// buffer then begins with it.
func (d *Door) serve(l *Lane) (over bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				d.opt.Log.Error("Request panicked", "panic", p, "stack", string(debug.Stack()))
			}
			over = false
		}
	}()
	answer := d.opt.Open(l)
	for {
		if len(l.buf) == 0 && !l.wait() {
			return false
		}
		l.turn.Add(1)
		switch answer() {
		case Over:
			return true
		case End:
			return false
		}
	}
}

// handed is a connection whose first bytes were read already.
type handed struct {
	net.Conn
	read []byte
}

func (c *handed) Read(b []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(b, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
