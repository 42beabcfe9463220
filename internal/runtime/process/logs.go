// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// How often a reader that has read all looks for more. inotify would be
// quicker but a user has few instances of it (128 by default), and there is a
// reader for each job.
const (
	logPollMin = 2 * time.Millisecond
	logPollMax = 25 * time.Millisecond
)

// Logs follows the task's log; see runtime.Runtime. The error of a missing
// task is fs.ErrNotExist. The reader is for one goroutine; Close may be called
// by another.
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
	l := &follower{r: r, id: id, off: from, wait: logPollMin}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l, nil
}

// follower reads a log that may still grow.
type follower struct {
	r      *Runtime
	id     runtime.ID
	ctx    context.Context // of this one reader
	cancel context.CancelCauseFunc

	f      *os.File // nil until there is a log
	off    int64
	wait   time.Duration
	looked time.Time // when the task was last inspected
}

func (l *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if l.ctx.Err() != nil {
			return 0, l.finish(context.Cause(l.ctx))
		}
		ended := l.ended() // asked before reading: what is written later than this is none
		n, err := l.readSome(p)
		if n > 0 {
			l.wait = logPollMin
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
			return 0, l.finish(fmt.Errorf("logs of task %q: %w", l.id, err))
		}
		if ended {
			return 0, l.finish(io.EOF)
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(l.wait):
			l.wait = min(l.wait*3/2, logPollMax)
		}
	}
}

func (l *follower) readSome(p []byte) (int, error) {
	if l.f == nil {
		f, err := os.Open(l.r.task(l.id).path("log"))
		if err != nil {
			return 0, err
		}
		l.f = f
	}
	n, err := l.f.ReadAt(p, l.off)
	l.off += int64(n)
	return n, err
}

// ended says whether the task will write no more. exit.json tells; only now
// and then the whole state is looked at, for a parent may have died.
func (l *follower) ended() bool {
	if l.r.task(l.id).has("exit.json") {
		return true
	}
	if time.Since(l.looked) < 250*time.Millisecond {
		return false
	}
	l.looked = time.Now()
	s, err := l.r.state(l.id)
	return err == nil && (s.Phase == runtime.Exited || s.Phase == runtime.Missing)
}

// finish closes the file; every later Read comes here again with an error.
func (l *follower) finish(err error) error {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
	l.cancel(err)
	return err
}

// Close ends the reading; a Read that waits returns fs.ErrClosed.
func (l *follower) Close() error {
	l.cancel(fs.ErrClosed)
	return nil
}
