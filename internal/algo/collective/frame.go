// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf8"
)

// frameKind tells what a frame is for.
type frameKind uint8

const (
	dataFrame  frameKind = iota + 1
	beatFrame            // says that the host is there
	abortFrame           // the host gives up; the payload is a HostError
	byeFrame             // the host leaves in peace
	lastKind   = byeFrame
)

// opKind is the operation that a data frame belongs to.
type opKind uint8

const (
	noOp opKind = iota
	sumOp
	scatterOp
	spreadOp
	gatherOp
	broadcastOp
	lastOp = broadcastOp
)

func (o opKind) String() string {
	switch o {
	case sumOp:
		return "sum"
	case scatterOp:
		return "scatter"
	case spreadOp:
		return "spread"
	case gatherOp:
		return "gather"
	case broadcastOp:
		return "broadcast"
	}
	return "none"
}

// header is what stands before the payload of each frame, little-endian: kind,
// operation, 1 if more frames of it follow, 0, sequence number of the operation
// (4 bytes), length of the payload (4), CRC-32 (Castagnoli) of these twelve (4).
type header struct {
	kind   frameKind
	op     opKind
	more   bool
	seq    uint32
	length uint32
}

const (
	headerBytes = 16
	// maxPayload is the most that one frame holds; more is sent in pieces.
	maxPayload = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) encode() (b [headerBytes]byte) {
	b[0], b[1] = byte(h.kind), byte(h.op)
	if h.more {
		b[2] = 1
	}
	binary.LittleEndian.PutUint32(b[4:], h.seq)
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], castagnoli))
	return b
}

var errFrame = errors.New("what came is no frame")

func decodeHeader(b [headerBytes]byte) (header, error) {
	h := header{
		kind: frameKind(b[0]), op: opKind(b[1]), more: b[2] == 1,
		seq: binary.LittleEndian.Uint32(b[4:]), length: binary.LittleEndian.Uint32(b[8:]),
	}
	switch {
	case binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli):
		return h, fmt.Errorf("%w: its checksum is wrong", errFrame)
	case h.kind == 0 || h.kind > lastKind || h.op > lastOp || b[2] > 1 || b[3] != 0:
		return h, fmt.Errorf("%w: kind %d, operation %d", errFrame, b[0], b[1])
	case (h.kind == dataFrame) != (h.op != noOp) || h.more && h.kind != dataFrame:
		return h, fmt.Errorf("%w: kind %d with operation %d", errFrame, b[0], b[1])
	case h.length > maxPayload:
		return h, fmt.Errorf("%w: %d bytes, at most %d", errFrame, h.length, maxPayload)
	}
	return h, nil
}

// readFrame reads one frame. The payload uses buf where it suffices. Memory
// grows with what really comes, not with what the header promises.
func readFrame(r io.Reader, buf []byte) (header, []byte, error) {
	var b [headerBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, nil, err
	}
	h, err := decodeHeader(b)
	if err != nil {
		return h, nil, err
	}
	const trust = 1 << 20
	buf = buf[:0]
	for n := int(h.length); len(buf) < n; {
		from, to := len(buf), min(n, max(cap(buf), 2*len(buf), trust))
		if to > cap(buf) {
			buf = append(make([]byte, 0, to), buf...)
		}
		buf = buf[:to]
		if _, err := io.ReadFull(r, buf[from:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return h, nil, err
		}
	}
	return h, buf, nil
}

// maxText bounds what one host tells the others of its failure.
const maxText = 4 << 10

// encode gives cause, length of the host's name, name, text.
func (e *HostError) encode() []byte {
	b := append([]byte{byte(e.Cause), byte(min(len(e.Host), 255))}, e.Host[:min(len(e.Host), 255)]...)
	return append(b, e.Text[:min(len(e.Text), maxText)]...)
}

// decodeHostError inverts encode; ok is false for anything else.
func decodeHostError(b []byte) (e *HostError, ok bool) {
	if len(b) < 2 || Cause(b[0]) < Lost || Cause(b[0]) > Stopped || len(b) < 2+int(b[1]) || len(b) > 2+255+maxText || !utf8.Valid(b[2:2+int(b[1])]) {
		return nil, false
	}
	return &HostError{Host: string(b[2 : 2+int(b[1])]), Cause: Cause(b[0]), Text: string(b[2+int(b[1]):])}, true
}
