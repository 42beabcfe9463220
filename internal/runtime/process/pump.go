// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxLine is the length of the longest line of a log; a longer one is cut into
// pieces. It is the largest event of CloudWatch Logs, 256 KiB, less the 26
// bytes that it counts for each.
const maxLine = 256<<10 - 26

// maxLog is how much of a task's output is kept, with its times: a task that
// prints without end must not fill the machine's disk. What comes later is left
// out but for the last keptTail of it, for why a task ended stands at its end.
const (
	maxLog   = 10 << 30
	keptTail = 1 << 20 // several of the longest lines
)

// pump copies the output of a task from r to w as lines "<unix ms>\t<text>\n"
// until r ends. "\r\n" ends a line as "\n" does, and "\r" alone does not, so
// that a progress bar is one line; a last line without an end is kept; bytes
// that are not UTF-8 stay as they are.
//
// What each read gives is written at once, so nothing waits for a timer, and
// before the next read, so a task that prints faster than the disk takes it
// waits on its full pipe. An error of w does not stop the reading, for the task
// would hang; a line tells what is missing once w takes lines again, and the
// first error is returned in the end.
func pump(w io.Writer, r io.Reader) error { return pumpInto(&logFile{w: w, room: maxLog}, r) }

func pumpInto(l *logFile, r io.Reader) error {
	var (
		buf = make([]byte, 2*maxLine)
		out = make([]byte, 0, 4*maxLine)
		n   int // bytes of buf that belong to the unfinished line
	)
	for {
		got, err := r.Read(buf[n:])
		stamp := appendStamp(nil)
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
			cut := piece(rest)
			out = appendLine(out, stamp, rest[:cut])
			rest = rest[cut:]
		}
		if err != nil && len(rest) > 0 {
			out = appendLine(out, stamp, rest)
			rest = nil
		}
		n = copy(buf, rest)
		l.write(out)
		if err != nil {
			l.end()
			return l.failed
		}
	}
}

// appendStamp appends the present time as it stands before a line.
func appendStamp(out []byte) []byte {
	return append(strconv.AppendInt(out, time.Now().UnixMilli(), 10), '\t')
}

// appendLine appends text, in pieces of at most maxLine, to out.
func appendLine(out, stamp, text []byte) []byte {
	for {
		n := piece(text)
		out = append(append(append(out, stamp...), text[:n]...), '\n')
		if text = text[n:]; len(text) == 0 {
			return out
		}
	}
}

// piece is how much of text is one line: all that fits, but no part of a letter.
func piece(text []byte) int {
	if len(text) <= maxLine {
		return len(text)
	}
	for n := maxLine; n > maxLine-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return maxLine // it is no text
}

// logFile is the log as it is written: it leaves out what does not fit and says so.
type logFile struct {
	w    io.Writer
	room int64 // what may still be written

	full    bool
	tail    []byte // the last lines of those that came when it was full
	torn    bool   // what was written last is a part of a line
	missing int64  // bytes left out that no line tells of yet
	failed  error  // of the first write that failed
}

// write writes whole lines.
func (l *logFile) write(lines []byte) {
	if len(lines) == 0 {
		return
	}
	if l.full || int64(len(lines)) > l.room {
		l.full = true
		l.keepLast(lines)
		return
	}
	if l.missing > 0 && !l.tell(fmt.Sprintf("sagebrush: %d bytes of the log could not be written here: %v", l.missing, l.failed)) {
		l.missing += int64(len(lines))
		return
	}
	l.put(lines)
}

// put hands lines to the writer.
func (l *logFile) put(lines []byte) bool {
	n, err := l.w.Write(lines)
	l.room -= int64(n)
	if n > 0 {
		l.torn = lines[n-1] != '\n'
	}
	if err == nil {
		return true
	}
	if l.failed == nil {
		l.failed = err
	}
	l.missing += int64(len(lines) - n)
	return false
}

// tell writes a line of our own about what is missing, which is then told.
func (l *logFile) tell(text string) bool {
	missing := l.missing
	var line []byte
	if l.torn {
		line = append(line, '\n')
	}
	line = append(append(appendStamp(line), text...), '\n')
	if l.missing = 0; l.put(line) {
		return true
	}
	l.missing = missing
	return false
}

// keepLast remembers the last lines of what is left out.
func (l *logFile) keepLast(lines []byte) {
	l.tail = append(l.tail, lines...)
	if len(l.tail) < 2*keptTail {
		return
	}
	begin := len(l.tail) - keptTail
	begin += bytes.IndexByte(l.tail[begin:], '\n') + 1 // no line is as long as the tail
	l.missing += int64(begin)
	l.tail = append(l.tail[:0], l.tail[begin:]...)
}

// end writes what is still to be said when there is no more output.
func (l *logFile) end() {
	switch {
	case l.missing == 0: // the tail, if any, follows what is kept
	case l.full:
		l.tell(fmt.Sprintf("sagebrush: the log has reached its largest size; %d bytes are left out here", l.missing))
	default:
		l.tell(fmt.Sprintf("sagebrush: %d bytes of the log could not be written here: %v", l.missing, l.failed))
	}
	if len(l.tail) > 0 {
		l.put(l.tail)
	}
}
