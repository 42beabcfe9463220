// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Logs follows the task's log; see runtime.Runtime. The error of a missing task
// is fs.ErrNotExist. An engine tells a log from its beginning only, so that a
// reader with a large offset waits until that much was read. The reader is for
// one goroutine; Close may be called by another.
func (r *Runtime) Logs(ctx context.Context, id runtime.ID, from int64) (io.ReadCloser, error) {
	s, err := r.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Phase == runtime.Missing {
		return nil, fmt.Errorf("logs of task %q: %w", id, fs.ErrNotExist)
	}
	if from < 0 {
		return nil, fmt.Errorf("logs of task %q: offset %d is negative", id, from)
	}
	l := &follower{r: r, id: id, off: from}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l, nil
}

// follower reads a log that may still grow.
type follower struct {
	r      *Runtime
	id     runtime.ID
	ctx    context.Context // of this one reader
	cancel context.CancelCauseFunc

	off   int64         // in the log, of what comes next
	ready []byte        // lines that were not asked for yet
	body  io.ReadCloser // from the engine; nil when there is none now
	lines *lines
	skip  int64 // bytes of lines that are still to be passed over
	last  bool  // the task had ended before body was opened: it is all there is
}

func (l *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(l.ready) == 0 {
		if err := l.fill(); err != nil {
			if l.ctx.Err() != nil {
				err = context.Cause(l.ctx)
			}
			return 0, l.finish(err)
		}
	}
	n := copy(p, l.ready)
	l.ready = l.ready[n:]
	l.off += int64(n)
	return n, nil
}

// fill reads until there is something ready. io.EOF says that there will be no more.
func (l *follower) fill() error {
	if l.body == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	text, err := l.lines.next()
	// A line without an end is the last one's own only if nothing can follow.
	if err == nil || errors.Is(err, io.EOF) && l.last {
		drop := min(l.skip, int64(len(text)))
		l.skip -= drop
		l.ready = text[drop:]
	}
	if err == nil || len(l.ready) > 0 && l.last && errors.Is(err, io.EOF) {
		return nil
	}
	l.body.Close()
	l.body = nil
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("logs of task %q: %w", l.id, err)
	}
	if l.last {
		return io.EOF
	}
	// Engines end a stream when the container ends, some a little too early, or
	// a little before they say that it has ended: what is known is passed over.
	select {
	case <-l.ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
	return nil
}

// open begins to read from the engine: following while the task runs, else what
// is there. It waits while the task is about to be started.
func (l *follower) open() error {
	for {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		s, err := l.r.Inspect(l.ctx, l.id)
		if err != nil {
			return err
		}
		if s.Phase == runtime.Missing {
			return io.EOF
		}
		if s.Phase != runtime.Pending {
			l.last = s.Phase == runtime.Exited
			break
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	body, err := l.r.api.ContainerLogs(l.ctx, l.r.name(l.id), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: !l.last})
	if errdefs.IsNotFound(err) {
		return io.EOF // it was removed
	}
	if err != nil {
		return fmt.Errorf("logs of task %q: %w", l.id, err)
	}
	l.body, l.lines, l.skip = body, newLines(body), l.off
	return nil
}

// finish gives up the connection; every later Read comes here again with an error.
func (l *follower) finish(err error) error {
	if l.body != nil {
		l.body.Close()
		l.body = nil
	}
	l.cancel(err)
	return err
}

// Close ends the reading; a Read that waits returns fs.ErrClosed.
func (l *follower) Close() error {
	l.cancel(fs.ErrClosed)
	return nil
}
