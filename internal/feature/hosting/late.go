// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// holdBack is how much of an answer, in bytes, is held until the rest is there:
// a container that breaks off within it is told as ModelError. Of a longer one
// the caller has the head by then, and sees its connection end.
const holdBack = 1 << 20

// lateHead writes the head of an answer with the first byte that is not held.
type lateHead struct {
	w    io.Writer
	head func(length int64) // writes it; -1 for a length that is not known yet
	held *bytes.Buffer
	sent bool
	src  noted
}

func (l *lateHead) Write(p []byte) (int, error) {
	n, err := l.ReadFrom(bytes.NewReader(p))
	return int(n), err
}

// ReadFrom takes a body that comes from the container.
func (l *lateHead) ReadFrom(r io.Reader) (n int64, err error) {
	l.src.Reader = r
	if !l.sent {
		n, err = l.held.ReadFrom(io.LimitReader(&l.src, holdBack+1-int64(l.held.Len())))
		if err != nil || l.held.Len() <= holdBack {
			return n, err
		}
		if err = l.flush(-1); err != nil {
			return n, err
		}
	}
	m, err := io.Copy(l.w, &l.src)
	return n + m, err
}

// flush sends what is held.
func (l *lateHead) flush(length int64) error {
	l.sent = true
	l.head(length)
	_, err := l.held.WriteTo(l.w)
	return err
}

// noted remembers the error of its reader, which is not that of the writer.
type noted struct {
	io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return k, err
}

// copyLate hands on a body that is not whole yet. A container that breaks off
// or is late is an error with broken true; any other error is the caller's, who
// is gone.
func (x *exchange) copyLate(ctx context.Context, l *lateHead) (broken bool, err error) {
	err = x.copyBody(ctx, l)
	if err == nil && !l.sent {
		err = l.flush(int64(l.held.Len()))
		return false, err
	}
	return ctx.Err() == nil && (l.src.err != nil || errors.Is(err, io.EOF)), err
}

// copyBody is CopyBody that ends when the caller goes away, and gives the
// connection back.
func (x *exchange) copyBody(ctx context.Context, w io.Writer) error {
	stop := context.AfterFunc(ctx, func() { _ = x.conn.SetDeadline(time.Unix(1, 0)) })
	err := x.conn.CopyBody(w, &x.answer)
	x.backend.Done(x.conn, &x.answer, stop() && err == nil)
	return err
}
