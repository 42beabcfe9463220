// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"io"
	"strconv"
	"time"
)

// maxLine is the length of the longest line of a log; a longer one is cut into
// pieces. It is the largest event that CloudWatch Logs takes.
const maxLine = 256 << 10

// pump copies the output of a task from r to w as lines "<unix ms>\t<text>\n"
// until r ends. "\r\n" ends a line as "\n" does; a last line without an end is
// kept; bytes that are not UTF-8 stay as they are.
//
// What each read gives is written at once, so nothing waits for a timer. An
// error of w does not stop the reading, for the task would hang on a full
// pipe; the first one is returned in the end.
func pump(w io.Writer, r io.Reader) error {
	var (
		buf    = make([]byte, 2*maxLine)
		out    = make([]byte, 0, 4*maxLine)
		n      int // bytes of buf that belong to the unfinished line
		failed error
	)
	for {
		got, err := r.Read(buf[n:])
		stamp := strconv.AppendInt(nil, time.Now().UnixMilli(), 10)
		stamp = append(stamp, '\t')
		fresh := n // the bytes before are known to hold no line end
		n += got
		rest := buf[:n]
		out = out[:0]
		for {
			i := bytes.IndexByte(rest[fresh:], '\n')
			if i < 0 {
				break
			}
			i += fresh
			fresh = 0
			out = appendLine(out, stamp, bytes.TrimSuffix(rest[:i], []byte{'\r'}))
			rest = rest[i+1:]
		}
		for len(rest) > maxLine {
			out = appendLine(out, stamp, rest[:maxLine])
			rest = rest[maxLine:]
		}
		if err != nil && len(rest) > 0 {
			out = appendLine(out, stamp, rest)
			rest = nil
		}
		n = copy(buf, rest)
		if len(out) > 0 && failed == nil {
			_, failed = w.Write(out)
		}
		if err != nil {
			return failed
		}
	}
}

// appendLine appends text, in pieces of at most maxLine, to out.
func appendLine(out, stamp, text []byte) []byte {
	for {
		piece := text[:min(len(text), maxLine)]
		out = append(append(append(out, stamp...), piece...), '\n')
		if text = text[len(piece):]; len(text) == 0 {
			return out
		}
	}
}
