// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"

	"github.com/sagebrush-ml/sagebrush/internal/door"
)

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
		if !ok || !door.PlainValue(value) {
			return h, false
		}
		again := false
		switch string(name) {
		case "Host":
			again, host = host, true
			if !door.PlainHost(value) {
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
			if h.length = door.PlainLength(value); h.length < 0 {
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
