// SPDX-License-Identifier: Apache-2.0

package eventstream

import "io"

// Writer writes messages, unbuffered: each is one Write, so that a flush after
// it sends it whole. It is for one goroutine.
type Writer struct {
	w    io.Writer
	buf  []byte
	kind string // of the event whose prelude and headers buf begins with
	head int    // bytes of these
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Event writes an event whose payload is a blob, as PayloadPart's is. The type
// is the event's name in the model. The payload may be changed afterwards.
// Events of one type in a row make no garbage.
func (w *Writer) Event(eventType string, payload []byte) error {
	if w.kind != eventType || w.head == 0 {
		if err := w.headers("event", ":event-type", eventType, "application/octet-stream"); err != nil {
			return err
		}
	}
	return w.write(payload)
}

// Exception writes a modelled exception; it is the last message of a stream.
func (w *Writer) Exception(exceptionType string, jsonBody []byte) error {
	if err := w.headers("exception", ":exception-type", exceptionType, "application/json"); err != nil {
		return err
	}
	w.kind = "" // what buf begins with is no event
	err := w.write(jsonBody)
	w.head = 0
	return err
}

// headers puts the headers of a message into buf.
func (w *Writer) headers(messageType, typeName, typ, contentType string) error {
	w.head = 0
	b := append(w.buf[:0], make([]byte, preludeSize)...)
	for _, h := range [...]Header{{typeName, typ}, {":content-type", contentType}, {":message-type", messageType}} {
		var err error
		if b, err = appendHeader(b, h.Name, h.Value); err != nil {
			return err
		}
	}
	w.buf, w.kind, w.head = b, typ, len(b)
	return nil
}

func (w *Writer) write(payload []byte) error {
	b, err := seal(w.buf[:w.head], 0, payload)
	if err != nil {
		return err
	}
	w.buf = b
	_, err = w.w.Write(b)
	return err
}
