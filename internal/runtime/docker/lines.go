// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxLine is the longest text of a line of the log, the same as in the process
// runtime.
const maxLine = 256<<10 - 26

// partSize is the length of the parts into which engines cut long lines.
const partSize = 16 << 10

// maxFrame is the largest frame that is believed: engines cut what a container
// prints into pieces of 16 KiB, and add a time.
const maxFrame = 4 << 20

// lines makes lines "<unix ms>\t<text>\n" of an engine's log with times. Such a
// log is a sequence of frames, each of a header and a message:
//
//	byte 0     1 stdout, 2 stderr, 3 an error of the engine
//	byte 4-7   length of the message, big endian
//	message    "<RFC 3339 time> <text>"
//
// A text ends with "\n", or is a part of a line: if it has partSize bytes, more
// follows in later frames of the same stream, each with a time of its own;
// frames of the other may stand between. A shorter one is a last part, of which
// Docker 20.10 does not tell the "\n". A line has the time of its first frame,
// and stands where its last one is. The result is a function of the frames
// alone, so its bytes can be counted on.
type lines struct {
	r      io.Reader
	header [8]byte
	buf    []byte
	out    []byte
	open   [3]partial // by stream
}

// partial is a line of which more will follow.
type partial struct {
	text  []byte
	stamp []byte // nil when there is none
}

func newLines(r io.Reader) *lines { return &lines{r: r} }

// next gives the lines that the next frame ends, often one, or none. The slice
// is valid until the next call. At the log's end what is left of unended lines
// comes with io.EOF.
func (l *lines) next() ([]byte, error) {
	l.out = l.out[:0]
	if _, err := io.ReadFull(l.r, l.header[:]); err != nil {
		if err != io.EOF {
			return nil, fmt.Errorf("read the container's log: %w", err)
		}
		for i := range l.open {
			if p := &l.open[i]; p.stamp != nil {
				l.end(p)
			}
		}
		return l.out, io.EOF
	}
	stream, size := l.header[0], binary.BigEndian.Uint32(l.header[4:])
	if stream > 3 || l.header[1]|l.header[2]|l.header[3] != 0 || size > maxFrame {
		return nil, fmt.Errorf("read the container's log: %x is no header of a frame", l.header)
	}
	if cap(l.buf) < int(size) {
		l.buf = make([]byte, size)
	}
	message := l.buf[:size]
	if _, err := io.ReadFull(l.r, message); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read the container's log: %w", err)
	}
	if stream == 3 {
		return nil, fmt.Errorf("the container engine cannot read the log: %s", bytes.TrimSpace(message))
	}
	if len(message) == 0 {
		return nil, nil
	}
	when, text, _ := bytes.Cut(message, []byte{' '})
	at, err := time.Parse(time.RFC3339Nano, string(when))
	if err != nil {
		return nil, fmt.Errorf("read the container's log: %q does not begin with a time", clip(message))
	}
	p := &l.open[stream]
	if p.stamp == nil {
		p.stamp = append(strconv.AppendInt(nil, at.UnixMilli(), 10), '\t')
	}
	text, ended := bytes.CutSuffix(text, []byte{'\n'})
	ended = ended || len(text) < partSize
	p.text = append(p.text, text...)
	switch {
	case ended:
		p.text = bytes.TrimSuffix(p.text, []byte{'\r'})
		l.end(p)
	case len(p.text) > maxLine:
		n := piece(p.text)
		l.line(p.stamp, p.text[:n])
		p.text = append(p.text[:0], p.text[n:]...)
	}
	return l.out, nil
}

// end puts out what there is of a line.
func (l *lines) end(p *partial) {
	for {
		n := piece(p.text)
		l.line(p.stamp, p.text[:n])
		if p.text = p.text[n:]; len(p.text) == 0 {
			break
		}
	}
	*p = partial{text: p.text[:0]}
}

func (l *lines) line(stamp, text []byte) {
	l.out = append(append(l.out, stamp...), text...)
	l.out = append(l.out, '\n')
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

func clip(b []byte) []byte { return b[:min(len(b), 40)] }
