// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// tfRecords reads TensorFlow's record files: for each record its length (64
// bits), the masked CRC of that (32 bits), the data, the masked CRC of the data,
// all little-endian. Source: tensorflow/core/lib/io/record_writer.h.
type tfRecords struct {
	r      *bufio.Reader
	buf    []byte
	offset int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, rotated and shifted: a CRC of data that holds CRCs says
// little.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

const tfHeader = 12

func (s *tfRecords) next(limit int) ([]byte, error) {
	h, err := s.r.Peek(tfHeader)
	if err == io.EOF && len(h) == 0 {
		return nil, io.EOF
	}
	if err != nil {
		return nil, s.short(err)
	}
	if maskedCRC(h[:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return nil, s.wrong("the length of a record does not match its checksum")
	}
	size := binary.LittleEndian.Uint64(h)
	if size > 1<<40 {
		return nil, s.wrong("a record has %d bytes", size)
	}
	if limit > 0 && size > uint64(limit) {
		return nil, &TooLargeError{Size: int64(size)}
	}
	if _, err := s.r.Discard(tfHeader); err != nil {
		return nil, err
	}
	// The length may be a lie: what is allocated follows what is there.
	want := int(size) + 4
	s.buf = s.buf[:0]
	for len(s.buf) < want {
		at := len(s.buf)
		step := min(want-at, max(1<<20, at))
		s.buf = append(s.buf, make([]byte, step)...)
		if _, err := io.ReadFull(s.r, s.buf[at:]); err != nil {
			return nil, s.short(err)
		}
	}
	record := s.buf[:size]
	if maskedCRC(record) != binary.LittleEndian.Uint32(s.buf[size:]) {
		return nil, s.wrong("a record does not match its checksum")
	}
	s.offset += int64(tfHeader + want)
	return record, nil
}

func (s *tfRecords) frame(dst, record []byte) ([]byte, error) {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(record)))
	dst = binary.LittleEndian.AppendUint32(dst, maskedCRC(dst[at:]))
	dst = append(dst, record...)
	return binary.LittleEndian.AppendUint32(dst, maskedCRC(record)), nil
}

func (s *tfRecords) short(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return s.wrong("the data ends within it")
}

func (s *tfRecords) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: TFRecord at byte %d: %s", ErrFormat, s.offset, fmt.Sprintf(format, args...))
}
