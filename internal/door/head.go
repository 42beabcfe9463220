// SPDX-License-Identifier: Apache-2.0

package door

import "bytes"

// maxFields is the most headers of a plain request.
const maxFields = 32

// head is what a plain request says before its body. The bytes are those of the
// connection's buffer; the memory is used again.
type head struct {
	b             []byte // up to the body
	size          int    // len(b)
	length        int    // of the body
	path, pathLen int
	fields        [maxFields]field
	n             int // of fields
	host          int // which of them is Host
}

// field is a header: where in the head its name and value are.
type field struct{ name, nameLen, value, valueLen int }

// text is the head as text of its own, in which the names are spelled as
// http.Header does.
func (h *head) text() string {
	var room [2 << 10]byte
	b := append(room[:0], h.b...)
	for _, f := range h.fields[:h.n] {
		upper := true
		name := b[f.name : f.name+f.nameLen]
		for i, c := range name {
			if upper && c >= 'a' && c <= 'z' {
				name[i] = c - 'a' + 'A'
			} else if !upper && c >= 'A' && c <= 'Z' {
				name[i] = c - 'A' + 'a'
			}
			upper = c == '-'
		}
	}
	return string(b)
}

const (
	method  = "POST "
	version = " HTTP/1.1\r\n"
)

// read reads the head of a request as AWS's clients send it: the whole of it
// is in b, the path has no escapes and no query, each header is of a kind that
// says nothing of how the connection goes on, at most once, and the body's length
// is told. Everything else is false, and net/http's to answer or refuse: what is
// plain here, net/http reads the same way.
func (h *head) read(b []byte) (plain bool) {
	h.length, h.host, h.n = -1, -1, 0
	if !bytes.HasPrefix(b, []byte(method)) {
		return false
	}
	end := bytes.IndexByte(b, '\n')
	if end < len(method)+len(version) || !bytes.HasSuffix(b[:end+1], []byte(version)) {
		return false
	}
	h.path, h.pathLen = len(method), end+1-len(version)-len(method)
	if !plainPath(b[h.path : h.path+h.pathLen]) {
		return false
	}
	h.size = end + 1
	for {
		end := bytes.IndexByte(b[h.size:], '\n')
		if end < 1 || b[h.size+end-1] != '\r' {
			return false
		}
		from, line := h.size, b[h.size:h.size+end-1]
		h.size += end + 1
		if len(line) == 0 {
			h.b = b[:h.size]
			return h.host >= 0 && h.length >= 0
		}
		if h.n == maxFields || !h.take(b, from, line) {
			return false
		}
	}
}

// take reads one header; false when it is not one of a plain request's.
func (h *head) take(b []byte, from int, line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return false
	}
	name, value := line[:colon], bytes.TrimLeft(line[colon+1:], " ")
	if !PlainValue(value) || !plainName(name) {
		return false
	}
	for _, f := range h.fields[:h.n] {
		if bytes.EqualFold(b[f.name:f.name+f.nameLen], name) {
			return false
		}
	}
	switch {
	case is(name, "host"):
		if h.host = h.n; !PlainHost(value) {
			return false
		}
	case is(name, "content-length"):
		if h.length = PlainLength(value); h.length < 0 {
			return false
		}
	case is(name, "connection"): // which is so anyway
		if !is(value, "keep-alive") {
			return false
		}
	case is(name, "content-type"), is(name, "accept"), is(name, "accept-encoding"), is(name, "authorization"), is(name, "user-agent"),
		begins(name, "x-amz"), begins(name, "amz-sdk-"):
	default:
		return false
	}
	h.fields[h.n] = field{from, len(name), from + len(line) - len(value), len(value)}
	h.n++
	return true
}

// is compares ASCII with a text in lower case.
func is(b []byte, lower string) bool {
	return len(b) == len(lower) && begins(b, lower)
}

// begins is is for a beginning.
func begins(b []byte, lower string) bool {
	if len(b) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// plainName tells letters, digits and hyphens.
func plainName(v []byte) bool {
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// plainPath tells segments of letters, digits and hyphens, none of them empty.
func plainPath(v []byte) bool {
	if len(v) < 2 || v[0] != '/' || v[len(v)-1] == '/' {
		return false
	}
	for i, c := range v[1:] {
		if c == '/' && v[i] == '/' || c != '/' && !plainName(v[i+1:i+2]) {
			return false
		}
	}
	return true
}

// PlainValue tells a value of visible ASCII that does not end in a space.
func PlainValue(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(v) == 0 || v[len(v)-1] != ' '
}

// PlainHost tells a name or address with a port or none.
func PlainHost(v []byte) bool {
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return len(v) > 0
}

// PlainLength reads up to nine digits; -1 for anything else.
func PlainLength(v []byte) int {
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
