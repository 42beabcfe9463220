// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A batch is appended when it has so many lines or bytes, or when its first
// line has waited so long: a follower of the log sees it at once, and a chatty
// job costs few transactions. What one batch holds is also how long the store
// is taken from other jobs: some five milliseconds.
const (
	batchLines = 4000
	batchBytes = 1 << 20 // what CloudWatch Logs takes at once
	batchWait  = 50 * time.Millisecond
)

// How much of the log is read at once: little of one that says little, for
// there is a shipment for each host of each job and endpoint.
const (
	readLeast = 8 << 10
	readMost  = 256 << 10
)

// Shipment moves the log of one task into a stream.
type Shipment struct {
	// Open follows the task's log from a byte offset until the task has ended,
	// as runtime.Runtime.Logs does: lines "<unix milliseconds>\t<text>\n".
	Open func(ctx context.Context, from int64) (io.ReadCloser, error)
	Logs Logs
	At   Stream
	// Observe, when set, sees every line once per shipment, in order and in
	// batches, after the stream has it. A shipment that continues an earlier
	// one shows the old lines again, with fresh false: who needs the last value
	// of something starts with an empty memory after a crash. The slice is used
	// again when it returns.
	Observe func(events []Event, fresh bool)
}

// Ship moves a task's log into its stream until the task has ended and all is
// read. Each line is kept once, also when an earlier shipment was cut off at
// any point: the stream remembers the byte offset up to which it has the log.
// The stream is made even when the task says nothing, since clients wait for
// one stream per host. Text is shown as the service shows it (see Text); empty
// lines are left out, as a log event cannot be empty.
//
// Errors come from Open, from reading, from Logs or from ctx; Ship may be
// called again after any.
func Ship(ctx context.Context, s Shipment) error {
	kept, err := s.Logs.Offset(ctx, s.At)
	if err != nil {
		return fmt.Errorf("ship log %s: %w", s.At.Name, err)
	}
	if kept == 0 {
		if err := s.Logs.Append(ctx, s.At, 0, 0, nil); err != nil && !errors.Is(err, ErrOffset) {
			return fmt.Errorf("ship log %s: %w", s.At.Name, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	from := int64(0)
	if s.Observe == nil { // nobody needs to see again what is kept
		from = kept
	}
	log, err := s.Open(ctx, from)
	if err != nil {
		cancel()
		return fmt.Errorf("ship log %s: %w", s.At.Name, err)
	}
	lines, failed := make(chan []line, 1), make(chan error, 1)
	go func() {
		failed <- readLines(ctx, log, from, lines)
		close(lines)
	}()
	// Closing lets a Read that waits return; the reader has ended when lines is
	// closed, so nothing is left behind.
	defer func() {
		cancel()
		log.Close()
		for range lines {
		}
	}()
	b := batch{shipment: s, kept: kept}
	if err := b.collect(ctx, lines); err != nil {
		return fmt.Errorf("ship log %s: %w", s.At.Name, err)
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("ship log %s: %w", s.At.Name, err)
	}
	return nil
}

// line is one line of the log that ends before the byte offset end.
type line struct {
	event Event
	end   int64
}

// readLines sends the lines of log, which begins at the offset from, until its
// end: those of one read together. What is read becomes one string that all of
// them share.
func readLines(ctx context.Context, log io.Reader, from int64, lines chan<- []line) error {
	buf := make([]byte, readLeast)
	n := 0 // bytes of buf that belong to a line that is not whole yet
	for {
		got, err := log.Read(buf[n:])
		filled := n+got == len(buf)
		whole := bytes.LastIndexByte(buf[n:n+got], '\n') + 1
		if whole > 0 {
			whole += n
		}
		n += got
		if errors.Is(err, io.EOF) {
			whole = n // a last line without an end counts; one that is cut off does not
		}
		if whole > 0 {
			select {
			case lines <- cutLines(string(buf[:whole]), &from):
			case <-ctx.Done():
				return ctx.Err()
			}
			n = copy(buf, buf[whole:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case filled && len(buf) < readMost, n == len(buf): // the latter is one very long line
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// cutLines cuts text into its lines and moves the offset behind them.
func cutLines(text string, offset *int64) []line {
	out := make([]line, 0, strings.Count(text, "\n")+1)
	for raw := range strings.Lines(text) {
		*offset += int64(len(raw))
		out = append(out, line{parseLine(strings.TrimSuffix(raw, "\n")), *offset})
	}
	return out
}

// parseLine reads "<unix milliseconds>\t<text>". A line without a time, which a
// crash may have torn, is text of the time zero.
func parseLine(raw string) Event {
	stamp, text, ok := strings.Cut(raw, "\t")
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil {
		return Event{Message: Text(raw)}
	}
	return Event{Time: time.UnixMilli(ms).UTC(), Message: Text(text)}
}

// Text is s as it appears in a log event: control characters in octal after a
// hash, so that a tab is #011, on which the metric regexes of the built-in
// algorithms rely; bytes that are no UTF-8 become U+FFFD.
func Text(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			b.Write([]byte{'#', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// batch collects lines and appends them to the stream.
type batch struct {
	shipment Shipment
	kept     int64 // what the stream has of the log
	lines    []line
	bytes    int
	events   []Event   // of lines, used again and again
	last     time.Time // of the last line with a time
}

// collect ships the lines until there are no more.
func (b *batch) collect(ctx context.Context, lines <-chan []line) error {
	timer := time.NewTimer(batchWait)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case some, ok := <-lines:
			if !ok {
				if err := ctx.Err(); err != nil {
					return err
				}
				return b.flush(ctx)
			}
			if len(b.lines) == 0 {
				timer.Reset(batchWait)
			}
			for _, l := range some {
				b.add(l)
				if len(b.lines) < batchLines && b.bytes < batchBytes {
					continue
				}
				if err := b.flush(ctx); err != nil {
					return err
				}
				timer.Reset(batchWait)
			}
			if len(b.lines) > 0 {
				continue
			}
		case <-timer.C:
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		timer.Stop()
	}
}

func (b *batch) add(l line) {
	if l.event.Time.IsZero() {
		l.event.Time = b.last
	}
	b.last = l.event.Time
	b.lines = append(b.lines, l)
	b.bytes += len(l.event.Message)
}

// flush appends what the stream lacks of the batch and shows it to the observer.
func (b *batch) flush(ctx context.Context) error {
	for rest := b.lines; len(rest) > 0; {
		// Old lines and new ones are two batches to the observer.
		n := 0
		for n < len(rest) && rest[n].end <= b.kept {
			n++
		}
		fresh := n == 0
		if fresh {
			n = len(rest)
		}
		b.events = b.events[:0]
		for _, l := range rest[:n] {
			if l.event.Message != "" {
				b.events = append(b.events, l.event)
			}
		}
		if fresh {
			end := rest[n-1].end
			err := b.shipment.Logs.Append(ctx, b.shipment.At, b.kept, end, b.events)
			if errors.Is(err, ErrOffset) {
				if err := b.relocate(ctx); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			b.kept = end
		}
		if b.shipment.Observe != nil && len(b.events) > 0 {
			b.shipment.Observe(b.events, fresh)
		}
		rest = rest[n:]
	}
	clear(b.lines) // the texts they share go with them
	b.lines, b.bytes = b.lines[:0], 0
	return nil
}

// relocate asks the stream again how much it has: an append that was thought
// to have failed may have been kept. An offset that goes backwards, or that did
// not move, is an error, for it would be asked for ever.
func (b *batch) relocate(ctx context.Context) error {
	kept, err := b.shipment.Logs.Offset(ctx, b.shipment.At)
	if err != nil {
		return err
	}
	if kept <= b.kept {
		return fmt.Errorf("%w: the stream is at %d, the log at %d", ErrOffset, kept, b.kept)
	}
	b.kept = kept
	return nil
}
