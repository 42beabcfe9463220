// SPDX-License-Identifier: Apache-2.0

package eventstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// Reader reads messages. It is for one goroutine.
type Reader struct {
	r   io.Reader
	buf bytes.Buffer
	m   Message
}

// NewReader reads from r, no more than the messages that are asked for.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next is the next message. It is good until the next call. The error is io.EOF
// at the end of a stream, io.ErrUnexpectedEOF where it ends within a message,
// ErrMalformed, or that of the reader below.
func (r *Reader) Next() (*Message, error) {
	var prelude [preludeSize]byte
	if _, err := io.ReadFull(r.r, prelude[:]); err != nil {
		return nil, err
	}
	total, headers, err := parsePrelude(&prelude)
	if err != nil {
		return nil, err
	}
	// The buffer grows with what comes, not with what a stranger announces.
	r.buf.Reset()
	if _, err := io.CopyN(&r.buf, r.r, int64(total-preludeSize)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	b := r.buf.Bytes()
	end := len(b) - 4
	sum := crc32.Update(crc32.ChecksumIEEE(prelude[:]), crc32.IEEETable, b[:end])
	if want := binary.BigEndian.Uint32(b[end:]); sum != want {
		return nil, malformed("the checksum of a message is %08x, not %08x", sum, want)
	}
	if r.m.Headers, err = parseHeaders(r.m.Headers[:0], b[:headers]); err != nil {
		return nil, err
	}
	r.m.Payload = b[headers:end]
	return &r.m, nil
}
