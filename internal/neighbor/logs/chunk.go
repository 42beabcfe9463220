// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// event is one log event. Times are in milliseconds since 1970.
type event struct {
	ts  int64 // of the event
	id  int64 // its number in the stream, from 1
	in  int64 // when it came
	msg string
}

// cut is a place between two events of a stream: before the event with this
// time and number, or before where it would stand.
type cut struct{ ts, id int64 }

// from reports whether e stands behind the cut.
func (c cut) from(e event) bool { return e.ts > c.ts || e.ts == c.ts && e.id >= c.id }

func (e event) cut() cut { return cut{e.ts, e.id} }

// eventOverhead is what an event counts in sizes besides its message, in bytes;
// PutLogEvents counts so.
const eventOverhead = 26

func (e event) size() int64 { return int64(len(e.msg)) + eventOverhead }

const (
	chunkBytes = 256 << 10      // a chunk ends when its events come to this
	chunkSpan  = 60 * 60 * 1000 // or when they span this many milliseconds
	smallBatch = 16 << 10       // a batch below this is merged with others later
	mergeCount = 16
)

// split cuts ordered events into chunks.
func split(events []event) [][]event {
	var out [][]event
	begin, size := 0, int64(0)
	for i, e := range events {
		if i > begin && (size+e.size() > chunkBytes || e.ts-events[begin].ts > chunkSpan) {
			out = append(out, events[begin:i])
			begin, size = i, 0
		}
		size += e.size()
	}
	if begin < len(events) {
		out = append(out, events[begin:])
	}
	return out
}

// The first byte of a chunk.
const (
	plain      = 0
	compressed = 1
)

// codec writes and reads chunks. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return codec{}, fmt.Errorf("make compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return codec{}, fmt.Errorf("make decompressor: %w", err)
	}
	return codec{enc, dec}, nil
}

// encode writes events as one chunk: the number of events, for each its times,
// number and length as differences to the one before, then all messages.
func (c codec) encode(events []event) []byte {
	size := 16
	for _, e := range events {
		size += len(e.msg) + 12
	}
	b := append(make([]byte, 0, size), plain)
	b = binary.AppendUvarint(b, uint64(len(events)))
	var last event
	for _, e := range events {
		b = binary.AppendVarint(b, e.ts-last.ts)
		b = binary.AppendVarint(b, e.id-last.id)
		b = binary.AppendVarint(b, e.in-last.in)
		b = binary.AppendUvarint(b, uint64(len(e.msg)))
		last = e
	}
	for _, e := range events {
		b = append(b, e.msg...)
	}
	if len(b) < 256 {
		return b
	}
	out := c.enc.EncodeAll(b[1:], append(make([]byte, 0, len(b)/3), compressed))
	if len(out) >= len(b) {
		return b
	}
	return out
}

var errChunk = errors.New("log chunk is damaged")

// decode reads a chunk. The events do not share memory with b.
func (c codec) decode(b []byte) ([]event, error) {
	if len(b) == 0 {
		return nil, errChunk
	}
	raw := b[1:]
	switch b[0] {
	case plain:
	case compressed:
		var err error
		if raw, err = c.dec.DecodeAll(raw, nil); err != nil {
			return nil, fmt.Errorf("%w: %w", errChunk, err)
		}
	default:
		return nil, errChunk
	}
	r := numbers{b: raw}
	n := r.unsigned()
	if n > uint64(len(raw)) {
		return nil, errChunk
	}
	events := make([]event, n)
	lengths := make([]uint64, n)
	var last event
	for i := range events {
		e := &events[i]
		e.ts, e.id, e.in = last.ts+r.signed(), last.id+r.signed(), last.in+r.signed()
		lengths[i] = r.unsigned()
		last = *e
	}
	text := string(r.b)
	for i, l := range lengths {
		if l > uint64(len(text)) {
			return nil, errChunk
		}
		events[i].msg, text = text[:l], text[l:]
	}
	if r.bad || text != "" {
		return nil, errChunk
	}
	return events, nil
}

// numbers reads varints; bad says that one was not there.
type numbers struct {
	b   []byte
	bad bool
}

func (r *numbers) signed() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *numbers) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *numbers) skip(n int) {
	if n <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}
