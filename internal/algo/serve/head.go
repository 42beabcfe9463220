// SPDX-License-Identifier: Apache-2.0

package serve

import "bytes"

// head is what a plain request says before its body. The bytes are those of the
// connection's buffer.
type head struct {
	model       []byte // of many, nil of /invocations
	size        int    // bytes up to the body
	length      int    // of the body
	contentType []byte
	accept      []byte
	hasAccept   bool
}

// The first lines of plain requests: plainLine, or manyLine, a name and
// manyTail.
const (
	plainLine = "POST /invocations HTTP/1.1\r\n"
	manyLine  = "POST /models/"
	manyTail  = "/invoke HTTP/1.1\r\n"
)

// plainFirst reads the first line; size is 0 when it is not plain.
func plainFirst(b []byte) (model []byte, size int) {
	if bytes.HasPrefix(b, []byte(plainLine)) {
		return nil, len(plainLine)
	}
	rest, ok := bytes.CutPrefix(b, []byte(manyLine))
	if !ok {
		return nil, 0
	}
	for i, c := range rest {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		case c == '/' && i > 0 && bytes.HasPrefix(rest[i:], []byte(manyTail)):
			return rest[:i], len(manyLine) + i + len(manyTail)
		default:
			return nil, 0
		}
	}
	return nil, 0
}

// plainHead reads the head of an invocation as the platform sends it: the whole
// of it is in b, each header is one of a short list, spelled as the platform
// spells it, at most once, and the body's length is told. Everything else is
// false, and net/http's to answer or refuse: what is plain here, net/http reads
// the same way.
func plainHead(b []byte) (h head, plain bool) {
	h.length = -1
	if h.model, h.size = plainFirst(b); h.size == 0 {
		return h, false
	}
	host, typed := false, false
	for {
		end := bytes.IndexByte(b[h.size:], '\n')
		if end < 1 || b[h.size+end-1] != '\r' {
			return h, false
		}
		line := b[h.size : h.size+end-1]
		h.size += end + 1
		if len(line) == 0 {
			return h, host && h.length >= 0
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimLeft(value, " ")
		if !ok || !plainValue(value) {
			return h, false
		}
		again := false
		switch string(name) {
		case "Host":
			again, host = host, true
			if !plainHost(value) {
				return h, false
			}
		case "Content-Type":
			again, typed = typed, true
			h.contentType = value
		case "Accept":
			again, h.hasAccept = h.hasAccept, true
			h.accept = value
		case "Content-Length":
			again = h.length >= 0
			if h.length = plainLength(value); h.length < 0 {
				return h, false
			}
		case "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id", "X-Amzn-SageMaker-Session-Id",
			"X-Amzn-SageMaker-Target-Model":
			// The models here look at none of them.
		default:
			return h, false
		}
		if again {
			return h, false
		}
	}
}

// plainValue tells a value of visible ASCII that does not end in a space.
func plainValue(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(v) == 0 || v[len(v)-1] != ' '
}

// plainHost tells a name or address with a port or none.
func plainHost(v []byte) bool {
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return len(v) > 0
}

// plainLength reads up to nine digits; -1 for anything else.
func plainLength(v []byte) int {
	if len(v) == 0 || len(v) > 9 {
		return -1
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
