// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Header is what stands before a whole record of n bytes. It is an error when n
// is above MaxPart: readers could not tell where the record ends.
func Header(n int64) (h [HeaderSize]byte, err error) {
	if n < 0 || n > MaxPart {
		return h, fmt.Errorf("a RecordIO record of %d bytes: at most %d are possible", n, MaxPart)
	}
	binary.LittleEndian.PutUint32(h[:], Magic)
	binary.LittleEndian.PutUint32(h[4:], uint32(n))
	return h, nil
}

var zeros [3]byte

// Padding is what stands behind a record of n bytes: none to three zeros.
func Padding(n int64) []byte { return zeros[:-n&3] }

// AppendWhole appends a record of at most MaxPart bytes to dst as a whole,
// whatever is in it: the form that SageMaker's own readers understand.
func AppendWhole(dst, record []byte) ([]byte, error) {
	h, err := Header(int64(len(record)))
	if err != nil {
		return dst, err
	}
	dst = append(append(dst, h[:]...), record...)
	return append(dst, zeros[:padding(len(record))]...), nil
}

// Writer writes records to a stream, unbuffered: each record is one Write. It
// is for one goroutine.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes a record as AppendWhole does.
func (w *Writer) Write(record []byte) (err error) {
	if w.buf, err = AppendWhole(w.buf[:0], record); err != nil {
		return err
	}
	return w.flush(0)
}

// WriteSplit writes a record as MXNet does: where the magic word stands in it,
// at a multiple of four bytes, it is split, so that the magic word is never
// found but at the head of a part. That makes a file that can be cut anywhere
// into shards.
func (w *Writer) WriteSplit(record []byte) error {
	if len(record) > MaxPart {
		_, err := Header(int64(len(record)))
		return err
	}
	w.buf = w.buf[:0]
	kind, from := whole, 0
	for at := 0; at+4 <= len(record); at += 4 {
		if binary.LittleEndian.Uint32(record[at:]) != Magic {
			continue
		}
		if kind = middle; from == 0 {
			kind = first
		}
		w.part(kind, record[from:at])
		from = at + 4
	}
	if kind != whole {
		kind = last
	}
	w.part(kind, record[from:])
	return w.flush(padding(len(record) - from))
}

// part appends a part; only the last one, which flush pads, has an odd length.
func (w *Writer) part(kind uint32, payload []byte) {
	w.buf = binary.LittleEndian.AppendUint32(w.buf, Magic)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, kind<<29|uint32(len(payload)))
	w.buf = append(w.buf, payload...)
}

func (w *Writer) flush(pad int) error {
	w.buf = append(w.buf, zeros[:pad]...)
	_, err := w.w.Write(w.buf)
	return err
}
