// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// door is the listener in front of net/http. It answers plain invocations by
// itself and hands a connection over, with what was read of it, at the first
// request that is anything else.
//
// net/http starts a goroutine for each request, to see the caller go away, and
// with it wakes and stops a thread; that costs more than a small prediction.
// A plain request is short (maxPlain), so nobody waits for one that was given
// up.
type door struct {
	net.Listener
	log    *slog.Logger
	behind atomic.Pointer[behind] // nil while the model loads
	passed chan accepted
	done   chan struct{} // closed by Close
	end    func()        // closes done
	stop   func() error  // closes the listener

	serving sync.WaitGroup
	closing atomic.Bool
	mu      sync.Mutex
	lanes   map[*lane]struct{}
}

// behind is what answers: one model, or many.
type behind struct {
	one  *handler
	many *models
}

func (b *behind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.many != nil {
		b.many.ServeHTTP(w, r)
		return
	}
	b.one.ServeHTTP(w, r)
}

// take gives the handler for an invocation of model, nil when net/http is to
// answer it; leave must follow.
func (b *behind) take(model []byte) *handler {
	switch {
	case (model != nil) != (b.many != nil):
		return nil
	case b.many != nil:
		return b.many.take(model)
	}
	return b.one
}

// accepted is what Accept returns.
type accepted struct {
	net.Conn
	err error
}

// maxPlain is the longest body, in bytes, that the door answers by itself.
const maxPlain = 64 << 10

// idleTimeout is how long a connection is kept without a request. The caller
// keeps connections open between invocations; it must be the one to give up an
// idle one, or a request may meet a closing end.
const idleTimeout = 15 * time.Minute

// newDoor serves ln. What answers may come later, then first is nil.
func newDoor(ln net.Listener, log *slog.Logger, first *behind) *door {
	d := &door{Listener: ln, log: log, passed: make(chan accepted), done: make(chan struct{}), lanes: map[*lane]struct{}{}}
	d.end = sync.OnceFunc(func() { close(d.done) })
	d.stop = sync.OnceValue(ln.Close)
	d.behind.Store(first)
	go d.accept()
	return d
}

// accept takes connections until the listener is closed. Its errors are for
// net/http, which waits a little after each.
func (d *door) accept() {
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
func (d *door) Accept() (net.Conn, error) {
	select {
	case a := <-d.passed:
		return a.Conn, a.err
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and the listener.
func (d *door) Close() error {
	d.end()
	return d.stop()
}

func (d *door) pass(a accepted) {
	select {
	case d.passed <- a:
	case <-d.done:
		if a.Conn != nil {
			a.Close()
		}
	}
}

// drain takes no more connections, ends those that wait for a request, and lets
// the others answer theirs, until ctx ends.
func (d *door) drain(ctx context.Context) {
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
	case <-ctx.Done():
		d.cut()
	}
}

// cut closes the connections that the door serves.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing.Store(true)
	for l := range d.lanes {
		l.Close()
	}
}

// lane is a connection that the door serves.
type lane struct {
	net.Conn
	state atomic.Int32
	buf   []byte // what was read and not yet answered
	out   []byte
	now   time.Time // when the request came
	armed time.Time // when the idle timeout was last put off

	contentType, accept string // of the last request: the next one's are the same
	acceptHeader        []string
	date                []byte // the Date header of second
	second              int64
}

// The states of a lane: between requests a connection may be closed by drain,
// and then what comes in over it is not begun.
const (
	waiting = iota
	busy
	ended
)

// enter serves c from here on.
func (d *door) enter(c net.Conn) {
	l := &lane{Conn: c, buf: make([]byte, 0, 8<<10)}
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
func (d *door) serve(l *lane) (over bool) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("Invocation panicked", "panic", p, "stack", string(debug.Stack()))
			over = false
		}
	}()
	for {
		if len(l.buf) == 0 && !l.wait(d) {
			return false
		}
		behind := d.behind.Load()
		head, plain := plainHead(l.buf)
		if behind == nil || !plain || head.length > maxPlain {
			return true
		}
		h := behind.take(head.model)
		if h == nil {
			return true
		}
		if over, ok := d.answer(l, h, head); !ok {
			return over
		}
	}
}

// answer answers the plain request at the beginning of the buffer. ok is false
// when the connection is over, or is net/http's from here on.
func (d *door) answer(l *lane, h *handler, head head) (over, ok bool) {
	defer h.leave()
	if head.length > h.maxBody {
		return true, false
	}
	if l.fill(head.size+head.length) != nil {
		return false, false
	}
	body := l.buf[head.size : head.size+head.length]
	last := d.closing.Load()
	l.reply(h, head, body, last)
	if _, err := l.Write(l.out); err != nil || last {
		return false, false
	}
	if cap(l.out) > maxPlain {
		l.out = nil
	}
	l.buf = l.buf[:copy(l.buf, l.buf[head.size+head.length:])]
	return false, true
}

// wait reads the beginning of a request; false when the connection is over.
func (l *lane) wait(d *door) bool {
	l.state.Store(waiting)
	if d.closing.Load() {
		return false
	}
	// The timeout is coarse, for a timer moved at each request costs more than
	// parsing it.
	if now := time.Now(); now.Sub(l.armed) > time.Minute {
		l.armed = now
		if l.SetReadDeadline(now.Add(idleTimeout+time.Minute)) != nil {
			return false
		}
	}
	n, err := l.Read(l.buf[:cap(l.buf)])
	l.now = time.Now()
	l.buf = l.buf[:n]
	return l.state.CompareAndSwap(waiting, busy) && n > 0 && err == nil
}

// fill reads until the buffer holds n bytes.
func (l *lane) fill(n int) error {
	l.buf = slices.Grow(l.buf, max(0, n-len(l.buf)))
	for len(l.buf) < n {
		m, err := l.Read(l.buf[len(l.buf):cap(l.buf)])
		l.buf = l.buf[:len(l.buf)+m]
		if err != nil && len(l.buf) < n {
			return err
		}
	}
	return nil
}

// reply fills l.out with the whole answer, so that it is one write. It says
// what net/http would have said.
func (l *lane) reply(h *handler, hd head, body []byte, last bool) {
	if string(hd.contentType) != l.contentType {
		l.contentType = string(hd.contentType)
	}
	if string(hd.accept) != l.accept || l.acceptHeader == nil {
		l.accept = string(hd.accept)
		l.acceptHeader = []string{l.accept}
	}
	var accept []string
	if hd.hasAccept {
		accept = l.acceptHeader
	}
	q := h.pool.Get().(*request)
	defer h.release(q)
	contentType, no := h.answer(context.Background(), q, body, l.contentType, accept)
	switch {
	case no == nil:
		l.head(http.StatusOK, last)
		l.out = append(append(append(l.out, "Content-Type: "...), contentType[0]...), "\r\n"...)
		l.body(q.out)
	case no.text == "": // 204
		l.head(no.code, last)
		l.out = append(l.out, "\r\n"...)
	default: // as http.Error
		l.head(no.code, last)
		l.out = append(l.out, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"...)
		l.body([]byte(no.text + "\n"))
	}
}

// head begins l.out.
func (l *lane) head(code int, last bool) {
	if s := l.now.Unix(); s != l.second {
		l.second = s
		l.date = l.now.UTC().AppendFormat(l.date[:0], "Date: "+http.TimeFormat+"\r\n")
	}
	o := append(l.out[:0], "HTTP/1.1 "...)
	o = strconv.AppendInt(o, int64(code), 10)
	o = append(append(append(o, ' '), http.StatusText(code)...), "\r\n"...)
	o = append(o, l.date...)
	if last {
		o = append(o, "Connection: close\r\n"...)
	}
	l.out = o
}

// body ends l.out.
func (l *lane) body(b []byte) {
	o := append(l.out, "Content-Length: "...)
	o = strconv.AppendInt(o, int64(len(b)), 10)
	l.out = append(append(o, "\r\n\r\n"...), b...)
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
