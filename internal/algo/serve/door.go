// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/door"
)

// porch is the listener in front of net/http, which answers plain invocations by
// itself. They are short (door.MaxPlain), so nobody waits for one that was given
// up.
type porch struct {
	*door.Door
	behind atomic.Pointer[behind] // nil while the model loads
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

// idleTimeout is how long a connection is kept without a request. The caller
// keeps connections open between invocations; it must be the one to give up an
// idle one, or a request may meet a closing end.
const idleTimeout = 15 * time.Minute

// newPorch serves ln. What answers may come later, then first is nil.
func newPorch(ln net.Listener, log *slog.Logger, first *behind) *porch {
	p := &porch{}
	p.behind.Store(first)
	p.Door = door.New(ln, door.Options{Log: log, Idle: idleTimeout, Open: func(l *door.Lane) func() door.Next {
		return (&lane{Lane: l, porch: p}).next
	}})
	return p
}

// lane is a connection that the door serves.
type lane struct {
	*door.Lane
	porch *porch
	out   []byte

	contentType, accept string // of the last request: the next one's are the same
	acceptHeader        []string
}

// next answers the plain request at the beginning of the buffer.
func (l *lane) next() door.Next {
	behind := l.porch.behind.Load()
	head, plain := plainHead(l.Buffered())
	if behind == nil || !plain || head.length > door.MaxPlain {
		return door.Over
	}
	h := behind.take(head.model)
	if h == nil {
		return door.Over
	}
	defer h.leave()
	if head.length > h.maxBody {
		return door.Over
	}
	if l.Fill(head.size+head.length) != nil {
		return door.End
	}
	last := l.Last()
	l.reply(h, head, l.Buffered()[head.size:head.size+head.length], last)
	if _, err := l.Write(l.out); err != nil || last {
		return door.End
	}
	if cap(l.out) > door.MaxPlain {
		l.out = nil
	}
	l.Answered(head.size + head.length)
	return door.Again
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
		l.out = l.AppendHead(l.out[:0], http.StatusOK, last)
		l.out = append(append(append(l.out, "Content-Type: "...), contentType[0]...), "\r\n"...)
		l.body(q.out)
	case no.text == "": // 204
		l.out = l.AppendHead(l.out[:0], no.code, last)
		l.out = append(l.out, "\r\n"...)
	default: // as http.Error
		l.out = l.AppendHead(l.out[:0], no.code, last)
		l.out = append(l.out, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"...)
		l.body([]byte(no.text + "\n"))
	}
}

// body ends l.out.
func (l *lane) body(b []byte) { l.out = append(door.AppendLength(l.out, len(b)), b...) }
