// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Options are what a feeder may be given besides its Spec.
type Options struct {
	Log *slog.Logger // nil for none
	// Open opens a file of a Part; nil is os.Open. What is no *os.File of a regular
	// file is opened a second time where its size must be known before it is sent.
	Open func(ctx context.Context, path string) (io.ReadCloser, error)
}

// Run feeds all channels of s until ctx is done. Nil means that each reader
// that has met the end of a file has met the end of an epoch; see the package's
// text for what hangs on that. An error of any channel ends all, and stands in
// Spec.Failure before the first FIFO is closed.
func Run(ctx context.Context, s Spec, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Open == nil {
		o.Open = func(_ context.Context, path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	f := feeder{spec: s, Options: o}
	if err := s.check(); err != nil {
		return f.fail(err)
	}
	if err := Prepare(s); err != nil {
		return f.fail(err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range s.Channels {
		group.Go(func() error {
			if err := f.channel(ctx, c); err != nil {
				return fmt.Errorf("channel %q: %w", c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// ErrCut says that a reader was there when the feeder was stopped.
var ErrCut = errors.New("stopped before the end of an epoch that was being read")

type feeder struct {
	spec Spec
	Options

	failed sync.Once
}

// fail tells of the first failure.
func (f *feeder) fail(err error) error {
	f.failed.Do(func() {
		if e := writeFailure(f.spec.Failure, err); e != nil {
			f.Log.Error("failure not written", "err", e)
		}
	})
	return err
}

// channel feeds one channel, epoch after epoch.
func (f *feeder) channel(ctx context.Context, c Channel) error {
	l, err := openList(c.List, c.ShuffleSeed != nil)
	if err != nil {
		return f.fail(err)
	}
	defer func() { _ = l.close() }() // it was only read
	out := newSink()
	for epoch := 0; ; epoch++ {
		w, err := openFIFO(ctx, c.fifo(epoch))
		if w == nil && ctx.Err() != nil {
			return nil // between two epochs nobody misses anything
		}
		if err != nil {
			return f.fail(fmt.Errorf("open the FIFO of epoch %d: %w", epoch, err))
		}
		if err := f.epoch(ctx, c, epoch, l, w, out); err != nil {
			return err
		}
	}
}

// epoch feeds one reader, and closes w last of all: only then does the reader
// meet the end.
func (f *feeder) epoch(ctx context.Context, c Channel, epoch int, l *list, w *os.File, out *sink) error {
	defer w.Close()
	begun := time.Now()
	if err := c.make(epoch + 1); err != nil {
		return f.fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	out.reset(w)
	err := f.send(ctx, c, epoch, l, out)
	if err == nil {
		err = out.flush()
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		f.Log.Debug("reader left", "channel", c.Name, "epoch", epoch, "bytes", out.sent)
	case err != nil && ctx.Err() != nil:
		if !hasReader(w) {
			return nil
		}
		f.Log.Warn("stopped within an epoch", "channel", c.Name, "epoch", epoch, "bytes", out.sent)
		return fmt.Errorf("epoch %d: %w", epoch, ErrCut)
	case err != nil:
		return f.fail(fmt.Errorf("epoch %d: %w", epoch, err))
	default:
		f.Log.Info("epoch sent", "channel", c.Name, "epoch", epoch, "bytes", out.sent, "dur", time.Since(begun))
	}
	// Removed before it is closed: who opens it later is refused and does not
	// wait for a writer that will not come.
	if err := os.Remove(c.fifo(epoch)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return f.fail(fmt.Errorf("epoch %d: %w", epoch, err))
	}
	return nil
}

// send sends the whole list.
func (f *feeder) send(ctx context.Context, c Channel, epoch int, l *list, out *sink) error {
	for sample, err := range l.samples(c.ShuffleSeed, epoch) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		for _, p := range sample {
			if p.Text != nil {
				err = out.text(*p.Text, c.Wrap)
			} else if err = f.file(ctx, p.Path, c, out); err != nil && !errors.Is(err, syscall.EPIPE) {
				err = fmt.Errorf("send %s: %w", p.Path, err)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// openFIFO waits until there is a reader. It is nil when ctx was done before
// there was one.
func openFIFO(ctx context.Context, path string) (*os.File, error) {
	opened, left := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		// The kernel lets the writer in as soon as there is a reader: us.
		r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return
		}
		<-opened
		r.Close()
	})
	w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	close(opened)
	if !stop() {
		<-left // or we would take ourselves for a reader
		if err == nil && !hasReader(w) {
			w.Close()
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	// The container may have put something else in its place.
	if info, err := w.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		w.Close()
		return nil, fmt.Errorf("%s is no FIFO any more: %w", path, err)
	}
	return w, nil
}

// hasReader reports whether anyone has the other end open.
func hasReader(w *os.File) bool {
	c, err := w.SyscallConn()
	if err != nil {
		return false
	}
	has := false
	_ = c.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		_, err := unix.Poll(p, 0)
		has = err == nil && p[0].Revents&(unix.POLLERR|unix.POLLHUP) == 0
	})
	return has
}
