// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/transform/batch"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
)

// slot is one mini-batch and its memory, which is used again. It is held from
// when the mini-batch is read until its answer is written, so that a slow one
// holds the others up and not the memory.
type slot struct {
	index   int    // of the mini-batch in its object
	body    []byte // as it was read
	sent    []byte // what is sent: body, or kept
	kept    []byte
	between []byte // answers within a pipeline
	answer  []byte
	out     []byte // what is written: answer, or what DataProcessing makes of it
	made    []byte
	err     error
	done    chan struct{}
}

// maxKept is the largest memory of an answer that is kept for the next.
const maxKept = 32 << 20

// release gives a slot back.
func (a *agent) release(b *slot) {
	for _, m := range []*[]byte{&b.between, &b.answer, &b.made} {
		if cap(*m) > maxKept {
			*m = nil
		}
	}
	b.sent, b.out, b.err = nil, nil, nil
	a.free <- b
}

// objectAttempts is how often an object is begun anew when the object store
// fails.
const objectAttempts = 4

// do transforms one object and notes what became of it. Errors are not the
// object's: the instance cannot go on.
func (a *agent) do(ctx context.Context, i int, item transfer.Item) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	for attempt := range objectAttempts {
		if err = a.transform(ctx, i, item); err == nil || ctx.Err() != nil || errors.Is(err, errLost) {
			break
		}
		if _, refused := errors.AsType[*refusal](err); refused {
			break
		}
		if errors.Is(err, object.ErrNotFound) {
			err = &refusal{kind: clientError, text: err.Error()}
			break
		}
		select {
		case <-time.After(retryPause << attempt):
		case <-ctx.Done():
		}
	}
	switch {
	case err == nil:
		return a.book.note(i, "")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errLost):
		return err
	}
	no, refused := errors.AsType[*refusal](err)
	if !refused {
		a.s.Log.WarnContext(ctx, "object was not transformed", "arn", a.j.ARN, "object", item.URI.String(), "err", err)
		no = &refusal{kind: internalError, text: err.Error()}
	}
	a.log.refused(item.URI, no)
	return a.book.note(i, no.kind)
}

// transform makes the output of one object. It is there as a whole or not at
// all.
func (a *agent) transform(ctx context.Context, i int, item transfer.Item) (err error) {
	to, err := outputOf(a.j, item)
	if err != nil {
		return &refusal{kind: clientError, text: err.Error()}
	}
	f, err := os.OpenFile(filepath.Join(a.dir, outName, fmt.Sprint(i)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make output: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w := bufio.NewWriterSize(f, 64<<10)
	if a.set.payload == 0 && !(a.set.single && a.splits()) {
		err = a.stream(ctx, item, f, w)
	} else {
		err = a.batches(ctx, i, item, w)
	}
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := a.s.Objects.Put(ctx, to, f); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func (a *agent) splits() bool { return a.j.Doc.TransformInput.SplitType != batch.None }

// open reads an object, decompressed where the request says so.
func (a *agent) open(ctx context.Context, item transfer.Item) (io.Reader, io.Closer, error) {
	r, err := a.s.Objects.Open(ctx, item.URI, 0, -1)
	if err != nil {
		return nil, nil, err
	}
	if a.j.Doc.TransformInput.CompressionType != gzipped {
		return r, r, nil
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
	if errors.Is(err, io.EOF) { // an empty object
		return r, r, nil
	}
	if err != nil {
		r.Close()
		return nil, nil, &refusal{kind: clientError, text: "the object is not a gzip file: " + err.Error()}
	}
	return z, r, nil
}

// badData makes a refusal of what is wrong with the data that was read.
func badData(err error) error {
	_, large := errors.AsType[*batch.TooLargeError](err)
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if large || corrupt || errors.Is(err, batch.ErrFormat) || errors.Is(err, batch.ErrRecord) ||
		errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &refusal{kind: clientError, text: err.Error()}
	}
	return err
}

// batches sends an object in mini-batches and writes their answers in order.
// Several are under way at a time.
func (a *agent) batches(ctx context.Context, i int, item transfer.Item, w *bufio.Writer) error {
	r, closer, err := a.open(ctx, item)
	if err != nil {
		return err
	}
	defer closer.Close()
	split := batch.New(r, batch.Rules{Split: a.j.Doc.TransformInput.SplitType, Single: a.set.single, Limit: a.set.payload})
	process := a.process
	if process != nil && stamps(a.j.Doc.DataCaptureConfig) {
		own, id := *process, identity(a.j)
		own.Stamp = func(mini, n int) (string, string) {
			return uuid(id, " ", item.URI, " ", mini, " ", n), stamp(time.Now())
		}
		process = &own
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := make(chan *slot, cap(a.free))
	written := make(chan error, 1)
	go func() {
		var first error
		for b := range order {
			<-b.done
			if first == nil {
				if first = b.err; first == nil {
					first = a.write(w, b.out)
				}
				if first != nil {
					cancel()
				}
			}
			a.release(b)
		}
		written <- first
	}()

	var readErr error
	for n := 0; ; n++ {
		var b *slot
		select {
		case b = <-a.free:
		case <-ctx.Done():
		}
		if b == nil {
			break
		}
		if b.body, readErr = split.Next(b.body); readErr != nil {
			a.release(b)
			break
		}
		b.index = n
		order <- b
		select {
		case a.under <- struct{}{}:
			go func() {
				b.err = a.answer(ctx, process, b)
				<-a.under
				b.done <- struct{}{}
			}()
		case <-ctx.Done():
			b.err = ctx.Err()
			b.done <- struct{}{}
		}
	}
	close(order)
	if err := <-written; err != nil {
		return err
	}
	if errors.Is(readErr, io.EOF) {
		return nil
	}
	if readErr == nil {
		return ctx.Err()
	}
	return badData(readErr)
}

// answer fills in what is written of a mini-batch.
func (a *agent) answer(ctx context.Context, process *batch.Process, b *slot) error {
	b.sent = b.body
	var err error
	if process != nil {
		if b.sent, err = process.Before(b.kept[:0], b.body); err != nil {
			return badData(err)
		}
		if len(b.sent) > 0 && len(b.body) > 0 && &b.sent[0] != &b.body[0] {
			b.kept = b.sent
		}
	}
	if err := a.ask(ctx, b); err != nil {
		return err
	}
	b.out = b.answer
	if process != nil {
		if b.made, err = process.After(b.made[:0], b.body, b.answer, b.index); err != nil {
			return badData(err)
		}
		b.out = b.made
	}
	return nil
}

// write appends an answer to the output.
func (a *agent) write(w *bufio.Writer, answer []byte) error {
	_, err := w.Write(answer)
	if err == nil && a.j.Doc.TransformOutput.AssembleWith == batch.Line && !bytes.HasSuffix(answer, []byte("\n")) {
		err = w.WriteByte('\n')
	}
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// stream sends an object as it is, in chunks, through all containers at once,
// and writes the answer as it comes: MaxPayloadInMB 0.
func (a *agent) stream(ctx context.Context, item transfer.Item, f *os.File, w *bufio.Writer) error {
	return a.again(ctx, func() error {
		if err := f.Truncate(0); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		w.Reset(f)
		return a.streamOnce(ctx, item, w)
	})
}

func (a *agent) streamOnce(ctx context.Context, item transfer.Item, w *bufio.Writer) error {
	r, closer, err := a.open(ctx, item)
	if err != nil {
		return err
	}
	defer closer.Close()
	select {
	case a.under <- struct{}{}:
		defer func() { <-a.under }()
	case <-ctx.Done():
		return ctx.Err()
	}
	source := &watched{Reader: r}
	body, typ := io.Reader(source), a.j.Doc.TransformInput.ContentType
	for i, backend := range a.chain {
		resp, err := a.post(ctx, backend, i, typ, body, -1)
		if broken := source.failed(); broken != nil { // it is not the container's fault
			return badData(broken)
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, typ = resp.Body, resp.Header.Get("Content-Type")
	}
	last := &lastByte{w: w}
	if _, err := io.Copy(last, body); err != nil {
		if broken := source.failed(); broken != nil {
			return badData(broken)
		}
		return &refusal{kind: algorithmError, text: "the answer cannot be read: " + err.Error()}
	}
	if a.j.Doc.TransformOutput.AssembleWith == batch.Line && last.b != '\n' {
		return w.WriteByte('\n')
	}
	return nil
}

// watched remembers why reading ended early. The HTTP client may read on when
// the answer is there.
type watched struct {
	io.Reader
	mu  sync.Mutex
	err error
}

func (r *watched) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && err != io.EOF {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
	}
	return n, err
}

func (r *watched) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// lastByte remembers the last byte that was written.
type lastByte struct {
	w io.Writer
	b byte
}

func (l *lastByte) Write(b []byte) (int, error) {
	if len(b) > 0 {
		l.b = b[len(b)-1]
	}
	return l.w.Write(b)
}
