// SPDX-License-Identifier: Apache-2.0

package door

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// held is how much of an answer's body, in bytes, is gathered before it is sent.
// What is shorter is one write.
const held = 32 << 10

// response is the http.ResponseWriter of a plain request.
type response struct {
	lane     *Lane
	last     bool
	header   http.Header
	wrote    bool
	status   int
	length   int64 // as the handler told it; -1 when it did not
	written  int64 // of the body
	typed    bool  // the handler told a type, or that there is none
	head     []byte
	body     []byte
	sent     bool // the head is gone
	chunked  bool
	bodyless bool
	err      error // of the connection
}

func (w *response) begin(l *Lane, last bool) {
	if cap(w.body) > MaxPlain {
		w.body = nil
	}
	clear(w.header)
	*w = response{lane: l, last: last, header: w.header, head: w.head[:0], body: w.body[:0], length: -1}
}

// Header is http.ResponseWriter's.
func (w *response) Header() http.Header { return w.header }

// WriteHeader is http.ResponseWriter's. Heads that tell of another to come, 1xx,
// are not sent.
func (w *response) WriteHeader(code int) {
	if w.wrote || code >= 100 && code < 200 {
		return
	}
	w.wrote, w.status = true, code
	w.bodyless = code == http.StatusNoContent || code == http.StatusNotModified
	h := w.lane.AppendHead(w.head, code, w.last)
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			n, err := strconv.ParseInt(strings.TrimSpace(strings.Join(values, "")), 10, 64)
			if err == nil && n >= 0 && len(values) == 1 {
				w.length = n
			}
			continue
		case "Transfer-Encoding", "Connection", "Date": // the door's own to tell
			continue
		case "Content-Type", "Content-Encoding":
			w.typed = true
		}
		for _, v := range values {
			h = append(append(h, name...), ": "...)
			if strings.ContainsAny(v, "\r\n") {
				v = strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
			}
			h = append(append(h, strings.Trim(v, " \t")...), "\r\n"...)
		}
	}
	w.head = h
}

// Write is http.ResponseWriter's.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.err != nil:
		return 0, w.err
	case w.bodyless:
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if len(w.body)+len(p) <= held {
		w.body = append(w.body, p...)
		return len(p), nil
	}
	if w.send(w.body); w.err == nil {
		w.body = w.body[:0]
		w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// send sends a piece of the body, before it the head where it is not gone, of an
// answer that is not whole yet.
func (w *response) send(p []byte) {
	if !w.sent {
		w.sent = true
		w.sniff(p)
		if w.chunked = w.length < 0; w.chunked {
			w.head = append(w.head, "Transfer-Encoding: chunked\r\n\r\n"...)
		} else {
			w.head = AppendLength(w.head, int(w.length))
		}
		if _, w.err = w.lane.Write(w.head); w.err != nil {
			return
		}
	}
	if len(p) == 0 {
		return
	}
	if w.chunked {
		w.head = append(strconv.AppendInt(w.head[:0], int64(len(p)), 16), "\r\n"...)
		if _, w.err = w.lane.Write(w.head); w.err != nil {
			return
		}
	}
	if _, w.err = w.lane.Write(p); w.err == nil && w.chunked {
		_, w.err = w.lane.Write([]byte("\r\n"))
	}
}

// sniff tells a type where the handler did not.
func (w *response) sniff(p []byte) {
	if !w.typed && len(p) > 0 {
		w.head = append(append(append(w.head, "Content-Type: "...), http.DetectContentType(p)...), "\r\n"...)
	}
}

// errLength is an answer that is not as long as it said.
var errLength = errors.New("the handler told another length")

// finish sends what is left. After an error the connection cannot be used.
func (w *response) finish() error {
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return w.err
	}
	wrong := w.length >= 0 && w.written != w.length && !w.bodyless
	switch {
	case w.sent || wrong:
		w.send(w.body)
		if w.err == nil && w.chunked {
			_, w.err = w.lane.Write([]byte("0\r\n\r\n"))
		}
	case w.bodyless:
		_, w.err = w.lane.Write(append(w.head, "\r\n"...))
	default:
		w.sniff(w.body)
		w.head = append(AppendLength(w.head, len(w.body)), w.body...)
		_, w.err = w.lane.Write(w.head)
	}
	if w.err == nil && wrong {
		return errLength
	}
	return w.err
}
