// SPDX-License-Identifier: Apache-2.0

// Package eventstream is the framing of application/vnd.amazon.eventstream, in
// which AWS sends what comes piece by piece: a message is
//
//	total length    4 bytes, big-endian as all numbers
//	headers' length 4 bytes
//	CRC-32 of these 4 bytes
//	headers         each: length of name 1, name, type 1, value
//	payload
//	CRC-32 of all before it, 4 bytes
//
// Writer makes streams, Reader reads them. Headers are strings here, as are
// those of every service that we speak.
//
// Source: "Amazon Transcribe: event stream encoding"; botocore/eventstream.py.
package eventstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ContentType is what an answer in this framing says of itself.
const ContentType = "application/vnd.amazon.eventstream"

// The bounds of a message in bytes, as the service documents them.
const (
	MaxHeaders = 128 << 10
	MaxPayload = 16 << 20
)

const (
	preludeSize = 12
	overhead    = preludeSize + 4 // of a message without headers and payload
	stringType  = 7
)

// Header is a header whose value is a string.
type Header struct{ Name, Value string }

// Message is one message of a stream.
type Message struct {
	Headers []Header
	Payload []byte
}

// Get is the value of the first header of that name, or "".
func (m *Message) Get(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Append appends the message in its framing to b. It is an error when the
// message is above the bounds.
func (m *Message) Append(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, preludeSize)...)
	for _, h := range m.Headers {
		var err error
		if b, err = appendHeader(b, h.Name, h.Value); err != nil {
			return b[:start], err
		}
	}
	return seal(b, start, m.Payload)
}

func appendHeader(b []byte, name, value string) ([]byte, error) {
	if len(name) < 1 || len(name) > 255 || len(value) > 65535 {
		return b, fmt.Errorf("event stream header %.40q: %d bytes of name and %d of value are not possible", name, len(name), len(value))
	}
	b = append(b, byte(len(name)))
	b = append(b, name...)
	b = append(b, stringType)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...), nil
}

// seal makes a message of a prelude, still empty, and headers that begin at
// start: it fills the prelude and appends payload and checksum.
func seal(b []byte, start int, payload []byte) ([]byte, error) {
	headers := len(b) - start - preludeSize
	if headers > MaxHeaders || len(payload) > MaxPayload {
		return b[:start], fmt.Errorf("an event stream message of %d bytes of headers and %d of payload: at most %d and %d are possible", headers, len(payload), MaxHeaders, MaxPayload)
	}
	prelude := b[start:]
	binary.BigEndian.PutUint32(prelude, uint32(overhead+headers+len(payload)))
	binary.BigEndian.PutUint32(prelude[4:], uint32(headers))
	binary.BigEndian.PutUint32(prelude[8:], crc32.ChecksumIEEE(prelude[:8]))
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:])), nil
}

// ErrMalformed is a stream that is not in this framing.
var ErrMalformed = errors.New("malformed event stream")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// parsePrelude gives the lengths of the whole message and of its headers.
func parsePrelude(b *[preludeSize]byte) (total, headers int, err error) {
	if got, want := crc32.ChecksumIEEE(b[:8]), binary.BigEndian.Uint32(b[8:]); got != want {
		return 0, 0, malformed("the checksum of a message's head is %08x, not %08x", got, want)
	}
	t, h := int64(binary.BigEndian.Uint32(b[:])), int64(binary.BigEndian.Uint32(b[4:]))
	if h > MaxHeaders || t < overhead+h || t > overhead+h+MaxPayload {
		return 0, 0, malformed("a message of %d bytes, %d of them headers", t, h)
	}
	return int(t), int(h), nil
}

// valueSizes are the sizes of the values of types 0 to 9; -1 has a length of
// two bytes before it.
var valueSizes = [...]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

// parseHeaders appends the headers in b to hs. Those that are no strings are
// left out.
func parseHeaders(hs []Header, b []byte) ([]Header, error) {
	take := func(n int) (v []byte, ok bool) {
		if n > len(b) {
			return nil, false
		}
		v, b = b[:n], b[n:]
		return v, true
	}
	for len(b) > 0 {
		n := int(b[0])
		b = b[1:]
		name, ok := take(n)
		if !ok || n == 0 {
			return hs, malformed("the name of a header of %d bytes", n)
		}
		typ, ok := take(1)
		if !ok || int(typ[0]) >= len(valueSizes) {
			return hs, malformed("header %.40q has no type that is known", name)
		}
		size := valueSizes[typ[0]]
		if size < 0 {
			l, ok := take(2)
			if !ok {
				return hs, malformed("header %.40q is cut", name)
			}
			size = int(binary.BigEndian.Uint16(l))
		}
		value, ok := take(size)
		if !ok {
			return hs, malformed("header %.40q is cut", name)
		}
		if typ[0] == stringType {
			hs = append(hs, Header{string(name), string(value)})
		}
	}
	return hs, nil
}
