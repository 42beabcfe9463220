// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// Passed are the headers of an answer that reach the caller, as http.Header
// spells them.
var Passed = [...]string{"Content-Type", "X-Amzn-Sagemaker-Custom-Attributes", "X-Amzn-Sagemaker-New-Session-Id", "X-Amzn-Sagemaker-Closed-Session-Id"}

// Answer is a container's, its body still to be read from the connection.
type Answer struct {
	Status int
	Length int64                 // of the body in bytes; -1 when the container does not tell
	Header [len(Passed)][]string // of Passed, in their order; shared with later answers: not to be changed
	last   bool                  // the container closes the connection after it
	body   io.Reader             // nil when the body is the next Length bytes of the connection
}

// maxInterim bounds the answers that tell of another to come.
const maxInterim = 5

// readAnswer reads an answer's head. The plain one, which is whole in the
// buffer, is read in place; net/http reads all others. Heads that tell of
// another to come, 1xx, are passed over.
func (c *Conn) readAnswer() (Answer, error) {
	if _, err := c.r.Peek(1); err != nil {
		return Answer{}, err
	}
	b, _ := c.r.Peek(c.r.Buffered())
	if h, plain := plainHead(b); plain {
		a := Answer{Status: h.status, Length: h.length}
		if string(h.contentType) != c.contentType || c.typeHeader == nil {
			c.contentType = string(h.contentType)
			c.typeHeader = []string{c.contentType}
		}
		if h.contentType != nil {
			a.Header[0] = c.typeHeader
		}
		_, err := c.r.Discard(h.size)
		return a, err
	}
	for range maxInterim {
		resp, err := http.ReadResponse(c.r, postRequest)
		if err != nil {
			return Answer{}, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if resp.StatusCode < 200 {
			return Answer{}, errNoAnswer
		}
		a := Answer{Status: resp.StatusCode, Length: resp.ContentLength, last: resp.Close, body: resp.Body}
		for i, name := range Passed {
			a.Header[i] = resp.Header[name]
		}
		return a, nil
	}
	return Answer{}, errNoAnswer
}

// errNoAnswer is HTTP, but no answer to a request.
var errNoAnswer = errors.New("the container sent heads of HTTP without an answer")

var postRequest = &http.Request{Method: http.MethodPost}

// Whole tells whether the body is here already, so that CopyBody cannot fail by
// the container.
func (c *Conn) Whole(a *Answer) bool {
	return a.body == nil && a.Length <= int64(c.r.Buffered())
}

// CopyBody hands the body to w. An error, of either side, leaves the connection
// within the body.
func (c *Conn) CopyBody(w io.Writer, a *Answer) error {
	switch {
	case a.body != nil:
		_, err := io.Copy(w, a.body)
		return err
	case a.Length > int64(c.r.Buffered()):
		_, err := io.CopyN(w, c.r, a.Length)
		return err
	}
	b, err := c.r.Peek(int(a.Length))
	if err != nil {
		return err
	}
	if _, err = w.Write(b); err != nil {
		return err
	}
	_, err = c.r.Discard(len(b))
	return err
}

// head is a plain answer's. The bytes are those of the connection's buffer.
type head struct {
	size        int // bytes up to the body
	status      int
	length      int64
	contentType []byte // nil without one
}

// plainHead reads the head of an answer that is whole in b, tells its length,
// and has no header that says how the connection goes on, or that is passed on
// and rare. Anything else is false; what is plain here, net/http reads the same
// way.
func plainHead(b []byte) (h head, plain bool) {
	const version = "HTTP/1.1 "
	if !bytes.HasPrefix(b, []byte(version)) || len(b) < len(version)+4 {
		return h, false
	}
	h.status, h.length = int(plainLength(b[len(version):len(version)+3])), -1
	if h.status < 200 || h.status == http.StatusNoContent || h.status == http.StatusNotModified || b[len(version)+3] != ' ' {
		return h, false
	}
	for first := true; ; first = false {
		end := bytes.IndexByte(b[h.size:], '\n')
		if end < 1 || b[h.size+end-1] != '\r' {
			return h, false
		}
		line := b[h.size : h.size+end-1]
		h.size += end + 1
		for _, c := range line {
			if c < ' ' || c > '~' {
				return h, false
			}
		}
		if first {
			continue
		}
		if len(line) == 0 {
			return h, h.length >= 0
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !h.take(name, bytes.Trim(value, " ")) {
			return h, false
		}
	}
}

// take reads one header; false when it is not one of a plain answer's.
func (h *head) take(name, value []byte) bool {
	switch {
	case is(name, "content-length"):
		again := h.length >= 0
		h.length = plainLength(value)
		return !again && h.length >= 0
	case is(name, "content-type"):
		again := h.contentType != nil
		h.contentType = value
		return !again && value != nil
	case is(name, "date"), is(name, "server"), is(name, "x-content-type-options"):
		return true
	}
	return false
}

// is compares a header's name, ASCII, with one in lower case.
func is(name []byte, lower string) bool {
	return len(name) == len(lower) && bytes.EqualFold(name, []byte(lower))
}

// plainLength reads up to nine digits; -1 for anything else.
func plainLength(v []byte) int64 {
	if len(v) == 0 || len(v) > 9 {
		return -1
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
