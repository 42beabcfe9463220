// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Options of a Writer.
type Options struct {
	Objects object.Store
	Log     *slog.Logger     // slog.Default() if it is nil
	Now     func() time.Time // time.Now if it is nil
	// HoldBytes bounds what is held in memory, waiting and not yet written:
	// 64 MiB if it is 0.
	HoldBytes int64
}

const (
	fileBytes = 8 << 20         // a file is written when it has so much,
	fileAge   = 5 * time.Second // or so long after its first line: users wait for it
	retry     = 5 * time.Second // after a failure of the object store
	patience  = 5 * time.Minute // so long a file that cannot be written is held
	lastWrite = 10 * time.Second
)

// Writer writes what is captured on a server. Offer may be called from several
// goroutines.
type Writer struct {
	Options
	wake  chan struct{}
	files map[string]*file // open ones by folder; of Run's goroutine alone
	full  []*file          // closed ones that are not written yet

	mu      sync.Mutex
	queue   []offer
	held    int64 // bytes of queue and files
	dropped uint64
	warned  uint64 // of dropped, those that the log knows of
	told    time.Time
	ended   bool
}

type offer struct {
	v *Variant
	r Record
}

// file is one that is being filled.
type file struct {
	uri    object.URI
	folder string // with the hour
	lines  int
	buf    bytes.Buffer
	opened time.Time
	next   time.Time // when it is to be written
}

// New makes a Writer. It writes while Run runs.
func New(o Options) *Writer {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	o.HoldBytes = cmp.Or(o.HoldBytes, 64<<20)
	return &Writer{Options: o, wake: make(chan struct{}, 1), files: map[string]*file{}}
}

// Offer takes a record to be written, and never waits. It leaves the record out
// when too much is held already.
func (w *Writer) Offer(v *Variant, r Record) {
	if v == nil {
		return
	}
	if !v.input {
		r.Input = nil
	}
	if !v.output {
		r.Output = nil
	}
	if r.Time.IsZero() {
		r.Time = w.Now()
	}
	size := r.size()
	w.mu.Lock()
	if w.ended || w.held+size > w.HoldBytes {
		w.dropped++
	} else {
		w.held += size
		w.queue = append(w.queue, offer{v, r})
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Dropped is how many records were left out or lost.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Run writes files until ctx is done, then all that was taken.
func (w *Writer) Run(ctx context.Context) error {
	timer := time.NewTimer(fileAge)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			w.end(last)
			return ctx.Err()
		case <-w.wake:
		case <-timer.C:
		}
		w.fill(ctx)
		timer.Reset(w.write(ctx))
	}
}

// end writes everything; what is offered later is left out.
func (w *Writer) end(ctx context.Context) {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.fill(ctx)
	for _, f := range w.files {
		w.full = append(w.full, f)
	}
	w.files = map[string]*file{}
	for _, f := range w.full {
		if err := w.put(ctx, f); err != nil {
			w.lose(f, err)
		}
	}
	w.full = nil
	w.warn()
}

// fill turns what waits into lines.
func (w *Writer) fill(ctx context.Context) {
	w.mu.Lock()
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	for i := range queue {
		o := &queue[i]
		f := w.fileOf(o)
		before, size := f.buf.Len(), o.r.size()
		if err := o.v.appendLine(&f.buf, &o.r); err != nil {
			panic(fmt.Sprintf("capture: a record as JSON: %v", err)) // texts and nothing else
		}
		f.lines++
		o.r = Record{} // the bodies are copied
		w.hold(int64(f.buf.Len()-before) - size)
		if f.buf.Len() >= fileBytes {
			w.closeFile(f)
			w.writeFull(ctx)
		}
	}
	w.warn()
}

// fileOf is the open file for a record: of its variant and of its hour, so that
// each hour's folder has the records of that hour.
func (w *Writer) fileOf(o *offer) *file {
	t := o.r.Time.UTC()
	folder := o.v.folder.Join(t.Format("2006/01/02/15"))
	f := w.files[folder.String()]
	if f == nil {
		now := w.Now()
		name := fmt.Sprintf("%s-%03d-%s.jsonl", t.Format("04-05"), t.Nanosecond()/int(time.Millisecond), uuid.NewString())
		f = &file{uri: folder.Join(name), folder: folder.String(), opened: now, next: now.Add(fileAge)}
		w.files[f.folder] = f
	}
	return f
}

func (w *Writer) closeFile(f *file) {
	delete(w.files, f.folder)
	f.next = w.Now()
	w.full = append(w.full, f)
}

// write closes the files that are old enough and writes what is closed. It tells
// how long until there is more to do.
func (w *Writer) write(ctx context.Context) time.Duration {
	now := w.Now()
	for _, f := range w.files {
		if !now.Before(f.next) {
			w.closeFile(f)
		}
	}
	w.writeFull(ctx)
	wait := time.Hour
	now = w.Now()
	for _, f := range w.files {
		wait = min(wait, f.next.Sub(now))
	}
	for _, f := range w.full {
		wait = min(wait, f.next.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// writeFull writes the closed files whose time has come. One that cannot be
// written is tried again under the same name, and at last given up.
func (w *Writer) writeFull(ctx context.Context) {
	left := w.full[:0]
	for _, f := range w.full {
		if w.Now().Before(f.next) {
			left = append(left, f)
			continue
		}
		err := w.put(ctx, f)
		switch {
		case err == nil:
		case ctx.Err() == nil && w.Now().Sub(f.opened) > patience:
			w.lose(f, err)
		default:
			if ctx.Err() == nil {
				w.Log.Warn("captured data not written, to be tried again", "uri", f.uri.String(), "err", err)
			}
			f.next = w.Now().Add(retry)
			left = append(left, f)
		}
	}
	clear(w.full[len(left):])
	w.full = left
}

func (w *Writer) put(ctx context.Context, f *file) error {
	if _, err := w.Objects.Put(ctx, f.uri, bytes.NewReader(f.buf.Bytes())); err != nil {
		return err
	}
	w.hold(-int64(f.buf.Len()))
	return nil
}

// lose gives a file up.
func (w *Writer) lose(f *file, err error) {
	w.Log.Error("captured data lost", "uri", f.uri.String(), "records", f.lines, "err", err)
	w.hold(-int64(f.buf.Len()))
	w.mu.Lock()
	w.dropped += uint64(f.lines)
	w.warned += uint64(f.lines)
	w.mu.Unlock()
}

func (w *Writer) hold(bytes int64) {
	w.mu.Lock()
	w.held += bytes
	w.mu.Unlock()
}

// warn tells of records that were left out since it told last, not too often.
func (w *Writer) warn() {
	now := w.Now()
	w.mu.Lock()
	n := w.dropped - w.warned
	if n > 0 && !w.ended && now.Sub(w.told) < retry {
		n = 0
	}
	if n > 0 {
		w.warned, w.told = w.dropped, now
	}
	w.mu.Unlock()
	if n > 0 {
		w.Log.Warn("captured data left out: too much waits to be written", "records", n, "bound_bytes", w.HoldBytes)
	}
}
