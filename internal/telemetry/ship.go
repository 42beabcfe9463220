// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bufio"
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
// job costs few transactions.
const (
	batchLines = 1000
	batchBytes = 1 << 20 // what CloudWatch Logs takes at once
	batchWait  = 50 * time.Millisecond
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
	// of something starts with an empty memory after a crash.
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
	log, err := s.Open(ctx, 0)
	if err != nil {
		cancel()
		return fmt.Errorf("ship log %s: %w", s.At.Name, err)
	}
	lines, failed := make(chan line, batchLines), make(chan error, 1)
	go func() {
		failed <- readLines(ctx, log, lines)
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

// readLines sends the lines of log until its end.
func readLines(ctx context.Context, log io.Reader, lines chan<- line) error {
	in := bufio.NewReaderSize(log, 1<<16)
	var end int64
	for {
		raw, err := in.ReadBytes('\n')
		end += int64(len(raw))
		if len(raw) > 0 {
			select {
			case lines <- line{parseLine(bytes.TrimSuffix(raw, []byte("\n"))), end}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// parseLine reads "<unix milliseconds>\t<text>". A line without a time, which a
// crash may have torn, is text of the time zero.
func parseLine(raw []byte) Event {
	stamp, text, ok := bytes.Cut(raw, []byte{'\t'})
	ms, err := strconv.ParseInt(string(stamp), 10, 64)
	if !ok || err != nil {
		return Event{Message: Text(string(raw))}
	}
	return Event{Time: time.UnixMilli(ms).UTC(), Message: Text(string(text))}
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
	last     time.Time // of the last line with a time
}

// collect ships the lines until there are no more.
func (b *batch) collect(ctx context.Context, lines <-chan line) error {
	timer := time.NewTimer(batchWait)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				if err := ctx.Err(); err != nil {
					return err
				}
				return b.flush(ctx)
			}
			if len(b.lines) == 0 {
				timer.Reset(batchWait)
			}
			if l.event.Time.IsZero() {
				l.event.Time = b.last
			}
			b.last = l.event.Time
			b.lines = append(b.lines, l)
			b.bytes += len(l.event.Message)
			if len(b.lines) < batchLines && b.bytes < batchBytes {
				continue
			}
		case <-timer.C:
		}
		timer.Stop()
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
}

// flush appends what the stream lacks of the batch and shows it to the observer.
func (b *batch) flush(ctx context.Context) error {
	for len(b.lines) > 0 {
		// Old lines and new ones are two batches to the observer.
		n := 0
		for n < len(b.lines) && b.lines[n].end <= b.kept {
			n++
		}
		fresh := n == 0
		if fresh {
			n = len(b.lines)
		}
		events := make([]Event, 0, n)
		for _, l := range b.lines[:n] {
			if l.event.Message != "" {
				events = append(events, l.event)
			}
		}
		if fresh {
			end := b.lines[n-1].end
			err := b.shipment.Logs.Append(ctx, b.shipment.At, b.kept, end, events)
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
		if b.shipment.Observe != nil && len(events) > 0 {
			b.shipment.Observe(events, fresh)
		}
		b.lines = b.lines[n:]
	}
	b.lines, b.bytes = nil, 0
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
