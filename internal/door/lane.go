// SPDX-License-Identifier: Apache-2.0

package door

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Lane is a connection that a door serves.
type Lane struct {
	net.Conn
	door  *Door
	state atomic.Int32
	turn  atomic.Uint32 // how many requests were begun
	seen  uint32        // turn when watch looked last
	buf   []byte        // what was read and not yet answered
	first bool          // no request has come yet
	now   time.Time     // when the request came
	armed time.Time     // when the idle timeout was last put off

	ctx    context.Context //nolint:containedctx // of the connection, as net/http has it
	cancel context.CancelFunc

	date   []byte // the Date header of second
	second int64
}

// The states of a lane: between requests a connection may be closed by Drain,
// and then what comes in over it is not begun.
const (
	waiting = iota
	busy
	ended
)

func newLane(d *Door, c net.Conn) *Lane {
	l := &Lane{Conn: c, door: d, buf: make([]byte, 0, 8<<10), first: true}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Buffered is what was read and not yet answered; valid until Fill or Answered.
func (l *Lane) Buffered() []byte { return l.buf }

// Last tells whether the connection is to be closed after this request.
func (l *Lane) Last() bool { return l.door.closing.Load() }

// Answered takes the first n bytes out of the buffer.
func (l *Lane) Answered(n int) { l.buf = l.buf[:copy(l.buf, l.buf[n:])] }

// wait reads the beginning of a request; false when the connection is over.
func (l *Lane) wait() bool {
	l.state.Store(waiting)
	if l.door.closing.Load() {
		return false
	}
	if !l.arm() {
		return false
	}
	n, err := l.Read(l.buf[:cap(l.buf)])
	l.now = time.Now()
	l.buf = l.buf[:n]
	return l.state.CompareAndSwap(waiting, busy) && n > 0 && err == nil
}

// arm sets the time until which a request must come. It is coarse, for a timer
// moved at each request costs more than parsing it.
func (l *Lane) arm() bool {
	o := &l.door.opt
	now := time.Now()
	if l.first {
		l.first = false
		return l.SetReadDeadline(now.Add(o.First)) == nil
	}
	if now.Sub(l.armed) <= o.Idle/4 {
		return true
	}
	l.armed = now
	return l.SetReadDeadline(now.Add(o.Idle+o.Idle/4)) == nil
}

// Fill reads until the buffer holds n bytes.
func (l *Lane) Fill(n int) error {
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

// AppendHead begins an answer: its first line, the date, and Connection: close
// where it is the last. It says what net/http would have said.
func (l *Lane) AppendHead(o []byte, code int, last bool) []byte {
	if s := l.now.Unix(); s != l.second {
		l.second = s
		l.date = l.now.UTC().AppendFormat(l.date[:0], "Date: "+http.TimeFormat+"\r\n")
	}
	o = append(o, "HTTP/1.1 "...)
	o = strconv.AppendInt(o, int64(code), 10)
	o = append(o, ' ')
	if text := http.StatusText(code); text != "" {
		o = append(o, text...)
	} else {
		o = strconv.AppendInt(append(o, "status code "...), int64(code), 10)
	}
	o = append(o, "\r\n"...)
	o = append(o, l.date...)
	if last {
		o = append(o, "Connection: close\r\n"...)
	}
	return o
}

// AppendLength ends the head of an answer whose body has n bytes.
func AppendLength(o []byte, n int) []byte {
	o = append(o, "Content-Length: "...)
	o = strconv.AppendInt(o, int64(n), 10)
	return append(o, "\r\n\r\n"...)
}
