// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestHeaders(t *testing.T) {
	good := header{kind: dataFrame, op: scatterOp, more: true, seq: 7, length: 5}
	b := good.encode()
	if got, err := decodeHeader(b); err != nil || got != good {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		h    header
	}{
		{"a kind that is none", header{kind: 9}},
		{"a beat with an operation", header{kind: beatFrame, op: sumOp}},
		{"data without one", header{kind: dataFrame}},
		{"more than is allowed", header{kind: dataFrame, op: sumOp, length: maxPayload + 1}},
		{"a farewell that goes on", header{kind: byeFrame, more: true}},
	} {
		if _, err := decodeHeader(c.h.encode()); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for i := range b {
		broken := b
		broken[i] ^= 0x40
		if _, err := decodeHeader(broken); !errors.Is(err, errFrame) {
			t.Errorf("byte %d wrong: %v", i, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	head := header{kind: dataFrame, op: sumOp, seq: 1, length: 3}.encode()
	f.Add(append(head[:], 1, 2, 3))
	long := header{kind: dataFrame, op: gatherOp, length: maxPayload}.encode()
	f.Add(long[:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := readFrame(bytes.NewReader(b), nil)
		if err != nil {
			if payload != nil {
				t.Error("a payload with an error")
			}
			return
		}
		if len(payload) != int(h.length) || cap(payload) > 2*len(b)+1<<20 {
			t.Fatalf("%d bytes in %d for %d", len(payload), cap(payload), h.length)
		}
		again := h.encode()
		if !bytes.Equal(append(again[:], payload...), b[:headerBytes+len(payload)]) {
			t.Error("encodes to something else")
		}
	})
}

func TestACutFrameIsNoEnd(t *testing.T) {
	head := header{kind: dataFrame, op: sumOp, seq: 1, length: 3}.encode()
	whole := append(head[:], 1, 2, 3)
	for n := 1; n < len(whole); n++ {
		if _, _, err := readFrame(bytes.NewReader(whole[:n]), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, _, err := readFrame(bytes.NewReader(nil), nil); !errors.Is(err, io.EOF) {
		t.Errorf("no bytes: %v", err)
	}
}

func FuzzHostError(f *testing.F) {
	f.Add((&HostError{"algo-2", Client, "failed: text"}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := decodeHostError(b); ok && !bytes.Equal(e.encode(), b) && len(e.Text) <= maxText {
			t.Errorf("%q encodes to something else", b)
		}
	})
}
