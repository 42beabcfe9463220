// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// watcher is one reader of Events. Its queue is guarded by Runtime.mu.
type watcher struct {
	queue []runtime.ID
	more  chan struct{} // has room for one
}

func (w *watcher) add(id runtime.ID) {
	w.queue = append(w.queue, id)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Events tells of every change, in order. Its goroutine ends with ctx.
func (r *Runtime) Events(ctx context.Context) <-chan runtime.ID {
	out := make(chan runtime.ID)
	w := &watcher{more: make(chan struct{}, 1)}
	r.mu.Lock()
	if r.watchers == nil {
		r.watchers = map[*watcher]bool{}
	}
	r.watchers[w] = true
	r.mu.Unlock()
	go func() {
		defer close(out)
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.watchers, w)
		}()
		for {
			select {
			case <-w.more:
			case <-ctx.Done():
				return
			}
			r.mu.Lock()
			queue := w.queue
			w.queue = nil
			r.mu.Unlock()
			for _, id := range queue {
				select {
				case out <- id:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// Logs follows what FAKE_LOG said. The error of a missing task is
// fs.ErrNotExist.
func (r *Runtime) Logs(ctx context.Context, id runtime.ID, from int64) (io.ReadCloser, error) {
	r.mu.Lock()
	k := r.tasks[id]
	r.mu.Unlock()
	if k == nil {
		return nil, missing(id)
	}
	if from < 0 {
		return nil, fmt.Errorf("logs of task %q: offset %d is negative", id, from)
	}
	l := &reader{r: r, k: k, off: from}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l, nil
}

type reader struct {
	r      *Runtime
	k      *task
	off    int64
	ctx    context.Context // of this one reader
	cancel context.CancelCauseFunc
}

func (l *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if l.ctx.Err() != nil {
			return 0, context.Cause(l.ctx)
		}
		l.r.mu.Lock()
		n := 0
		if l.off < int64(len(l.k.log)) {
			n = copy(p, l.k.log[l.off:])
		}
		ended, changed := l.k.gone || l.k.state.Phase == runtime.Exited, l.k.changed
		l.r.mu.Unlock()
		l.off += int64(n)
		switch {
		case n > 0:
			return n, nil
		case ended:
			l.cancel(io.EOF)
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
	}
}

// Close ends the reading; a Read that waits returns fs.ErrClosed.
func (l *reader) Close() error {
	l.cancel(fs.ErrClosed)
	return nil
}
