// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// link is the connection to one other host.
type link struct {
	rank int
	conn net.Conn
	in   chan message // data frames; closed when the host has left
	free chan []byte  // payloads to use again
	out  []byte       // what is sent to this host in a scatter

	mu sync.Mutex // held while a frame is written
}

// message is a data frame that came.
type message struct {
	header
	payload []byte
}

func newLink(rank int, conn net.Conn) *link {
	// Sums let no host run ahead by more than two frames. Where others do, in
	// broadcasts and long gathers, they wait for this one to catch up.
	return &link{rank: rank, conn: conn, in: make(chan message, 8), free: make(chan []byte, 4)}
}

// send writes one frame.
func (l *link) send(h header, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.length = uint32(len(payload))
	head := h.encode()
	if len(payload) <= 4<<10 {
		_, err := l.conn.Write(append(head[:], payload...))
		return err
	}
	_, err := (&net.Buffers{head[:], payload}).WriteTo(l.conn)
	return err
}

// beat tells the other host now and then that this one is there.
func (l *link) beat(every time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if l.mu.TryLock() { // otherwise data is on its way, which says as much
			head := header{kind: beatFrame}.encode()
			_, _ = l.conn.Write(head[:]) // the reader learns what is wrong
			l.mu.Unlock()
		}
	}
}

// part ends the sending side and gives the other side a moment to do likewise.
func (l *link) part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetReadDeadline(time.Now().Add(parting))
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// listener reads from a connection on which something must come every silence.
type listener struct {
	net.Conn
	silence time.Duration
	stop    <-chan struct{}
}

func (r *listener) Read(b []byte) (int, error) {
	select {
	case <-r.stop: // part has set the last deadline
	default:
		_ = r.SetReadDeadline(time.Now().Add(r.silence))
	}
	return r.Conn.Read(b)
}

// receive reads frames of l until its host leaves.
func (g *Group) receive(l *link, silence time.Duration) {
	r := bufio.NewReaderSize(&listener{l.conn, silence, g.stop}, 64<<10)
	defer close(l.in)
	for {
		var buf []byte
		select {
		case buf = <-l.free:
		default:
		}
		h, payload, err := readFrame(r, buf)
		switch {
		case err != nil:
			g.lost(l, silence, err)
			return
		case h.kind == beatFrame:
			if payload != nil {
				select {
				case l.free <- payload:
				default:
				}
			}
		case h.kind == byeFrame:
			return
		case h.kind == abortFrame:
			e, ok := decodeHostError(payload)
			if !ok {
				e = &HostError{Host: g.hosts[l.rank], Cause: Failed, Text: "gave up"}
			}
			_ = g.fail(e)
		default:
			select {
			case l.in <- message{h, payload}:
			case <-g.dead: // read on, so that the other side can end its writing
			case <-g.stop:
			}
		}
	}
}

// lost fails the group because the host of l is gone, unless this one has left.
func (g *Group) lost(l *link, silence time.Duration, err error) {
	select {
	case <-g.stop:
		return
	default:
	}
	text := "ended without a word"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = fmt.Sprintf("has not been heard of for %v", silence)
	case errors.Is(err, errFrame):
		text = "sent what cannot be read: " + err.Error()
	}
	_ = g.fail(&HostError{Host: g.hosts[l.rank], Cause: Lost, Text: text})
}

// sendData sends payload to rank, in pieces if it is long.
func (g *Group) sendData(rank int, op opKind, seq uint32, payload []byte) error {
	l := g.links[rank]
	for {
		n := min(len(payload), maxPayload)
		h := header{kind: dataFrame, op: op, seq: seq, more: n < len(payload)}
		if err := l.send(h, payload[:n]); err != nil {
			// The reader knows better what befell the host: it may have said so.
			select {
			case <-g.dead:
				return g.failed()
			case <-time.After(parting):
				return g.fail(&HostError{Host: g.hosts[rank], Cause: Lost, Text: "cannot be reached: " + err.Error()})
			}
		}
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
	}
}

// begin opens an operation: it gives its number, and end, to be called when it
// is over. When ctx is done before that the group has failed.
func (g *Group) begin(ctx context.Context) (seq uint32, end func() bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, g.fail(err)
	}
	if err := g.failed(); err != nil {
		return 0, nil, err
	}
	seq = g.seq
	g.seq++
	return seq, context.AfterFunc(ctx, func() { _ = g.fail(ctx.Err()) }), nil
}

// take gives the next frame of rank, which must be of the operation op. want
// is its length, or -1 for any. The payload goes back by give.
func (g *Group) take(rank int, op opKind, seq uint32, want int) (message, error) {
	select {
	case m, ok := <-g.links[rank].in:
		switch {
		case !ok:
			if err := g.failed(); err != nil {
				return m, err
			}
			return m, g.fail(&HostError{Host: g.hosts[rank], Cause: Failed, Text: "has ended its work while the others went on"})
		case m.op != op || m.seq != seq || want >= 0 && int(m.length) != want:
			return m, g.outOfStep(rank, header{op: op, seq: seq, length: uint32(max(want, 0))}, m.header)
		}
		return m, nil
	case <-g.dead:
		return message{}, g.failed()
	}
}

// give lets the reader of rank use the payload of m again.
func (g *Group) give(rank int, m message) {
	select {
	case g.links[rank].free <- m.payload:
	default:
	}
}
