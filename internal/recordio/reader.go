// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Magic begins every part, little-endian.
const Magic = 0xCED7230A

// MaxPart is how long the payload of one part can be, in bytes: its length has
// 29 bits.
const MaxPart = 1<<29 - 1

// HeaderSize is what stands before the payload of a part, in bytes.
const HeaderSize = 8

// ErrFormat is what a stream that is no RecordIO gives. Errors that wrap it
// tell the offset.
var ErrFormat = errors.New("not RecordIO")

// The kinds of parts.
const (
	whole uint32 = iota
	first
	middle
	last
)

// readSize is how much is read at a time, in bytes. A whole record that fits is
// handed out where it was read to.
const readSize = 256 << 10

// Reader reads records from a stream. It is for one goroutine.
type Reader struct {
	r      *bufio.Reader
	limit  int
	offset int64  // of the next part, in bytes
	used   int    // bytes at the head of r that the last record still lies in
	buf    []byte // of records that do not lie in r as a whole
}

// NewReader reads records of at most limit bytes each from r; a limit of 0 is
// MaxPart.
func NewReader(r io.Reader, limit int) *Reader {
	if limit <= 0 {
		limit = MaxPart
	}
	return &Reader{r: bufio.NewReaderSize(r, readSize), limit: limit}
}

// Next is the next record's payload, which stays as it is until Next is called
// again. At the end of the stream it is io.EOF; a stream that ends within a
// record is io.ErrUnexpectedEOF, one that is not RecordIO or exceeds the limit
// is ErrFormat, both wrapped.
func (r *Reader) Next() ([]byte, error) {
	if err := r.release(); err != nil {
		return nil, err
	}
	kind, n, err := r.header(0)
	if err != nil {
		return nil, err
	}
	switch kind {
	case whole:
		if span := HeaderSize + n + padding(n); span <= readSize {
			b, err := r.r.Peek(span)
			if err != nil {
				return nil, r.short(err)
			}
			r.used = span
			return b[HeaderSize : HeaderSize+n : HeaderSize+n], nil
		}
		r.buf = r.buf[:0]
		return r.buf, r.payload(n)
	case first:
		r.buf = r.buf[:0]
	default:
		return nil, r.wrong("a record begins with part %d of another", kind)
	}
	for {
		if err := r.payload(n); err != nil {
			return nil, err
		}
		if kind == last {
			return r.buf, nil
		}
		if kind, n, err = r.header(len(r.buf) + 4); errors.Is(err, io.EOF) {
			return nil, r.short(err)
		} else if err != nil {
			return nil, err
		}
		if kind != middle && kind != last {
			return nil, r.wrong("a record begins within another")
		}
		r.buf = binary.LittleEndian.AppendUint32(r.buf, Magic)
	}
}

// release lets go of the record that lies in the buffer.
func (r *Reader) release() error {
	n, err := r.r.Discard(r.used)
	r.offset += int64(n)
	r.used = 0
	return err
}

// header looks at the next part's header, for a record of which there are so
// many bytes. It is io.EOF at the end of the stream.
func (r *Reader) header(sofar int) (kind uint32, n int, err error) {
	h, err := r.r.Peek(HeaderSize)
	if err == io.EOF && len(h) == 0 {
		return 0, 0, io.EOF
	}
	if err != nil {
		return 0, 0, r.short(err)
	}
	if magic := binary.LittleEndian.Uint32(h); magic != Magic {
		return 0, 0, r.wrong("%#08x stands in place of the magic word %#08x", magic, Magic)
	}
	word := binary.LittleEndian.Uint32(h[4:])
	kind, n = word>>29, int(word&MaxPart)
	if kind > last {
		return 0, 0, r.wrong("there is no part of kind %d", kind)
	}
	if sofar+n > r.limit {
		return 0, 0, r.wrong("a record has %d bytes or more, %d are allowed", sofar+n, r.limit)
	}
	return kind, n, nil
}

// payload appends a part, whose header is next, to buf.
func (r *Reader) payload(n int) error {
	if _, err := r.r.Discard(HeaderSize); err != nil {
		return err
	}
	// The length may be a lie: what is allocated follows what is there.
	for have := 0; have < n; {
		step := min(n-have, max(1<<20, len(r.buf)))
		at := len(r.buf)
		r.buf = append(r.buf, make([]byte, step)...)
		if _, err := io.ReadFull(r.r, r.buf[at:]); err != nil {
			return r.short(err)
		}
		have += step
	}
	if _, err := r.r.Discard(padding(n)); err != nil {
		return r.short(err)
	}
	r.offset += int64(HeaderSize + n + padding(n))
	return nil
}

func (r *Reader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the record at byte %d: the data ends within it: %w", r.offset, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read the record at byte %d: %w", r.offset, err)
}

func (r *Reader) wrong(format string, args ...any) error {
	return fmt.Errorf("read the record at byte %d: %w: %s", r.offset, ErrFormat, fmt.Sprintf(format, args...))
}

// padding is how many zeros follow n bytes of payload.
func padding(n int) int { return -n & 3 }

// Begins reports whether a stream that begins with head, of at least HeaderSize
// bytes, and has size bytes in all looks like RecordIO. Other data does by a
// chance of one in four thousand million.
func Begins(head []byte, size int64) bool {
	if len(head) < HeaderSize || binary.LittleEndian.Uint32(head) != Magic {
		return false
	}
	word := binary.LittleEndian.Uint32(head[4:])
	n := int(word & MaxPart)
	return word>>29 <= first && int64(HeaderSize+n+padding(n)) <= size
}
