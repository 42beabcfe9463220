// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// The values of SplitType.
const (
	None     = "None"
	Line     = "Line"
	RecordIO = "RecordIO"
	TFRecord = "TFRecord"
)

// Rules say how an object is cut.
type Rules struct {
	Split  string // SplitType; "" is None
	Single bool   // BatchStrategy SingleRecord
	Limit  int    // bytes of a mini-batch; 0 for no limit
}

// Splitter cuts one object into mini-batches. It is for one goroutine.
type Splitter interface {
	// Next is the next mini-batch, in the memory of buf where that suffices; it
	// is the caller's. At the end of the object it is io.EOF. A record that does
	// not fit is a *TooLargeError, data that is not of its SplitType ErrFormat.
	Next(buf []byte) ([]byte, error)
}

// ErrFormat is data that is not what SplitType says.
var ErrFormat = errors.New("the data cannot be split")

// TooLargeError is a record, or an object that is not split, that is larger than
// MaxPayloadInMB.
type TooLargeError struct {
	Record int64 // which one, from 1; 0 for the whole object, -1 when not known
	Size   int64 // bytes
	Limit  int64
}

func (e *TooLargeError) Error() string {
	what := "the object"
	switch {
	case e.Record > 0:
		what = fmt.Sprintf("record %d", e.Record)
	case e.Record < 0:
		what = "a record"
	}
	return fmt.Sprintf("Too much data for max payload size: %s has %d bytes, the limit is %d bytes", what, e.Size, e.Limit)
}

// New cuts what r gives.
func New(r io.Reader, how Rules) Splitter {
	switch {
	case how.Split == Line && how.Single:
		return &line{r: bufio.NewReaderSize(r, readSize), limit: how.Limit}
	case how.Split == Line:
		return &lines{r: r, limit: how.Limit}
	case how.Split == RecordIO:
		return &records{single: how.Single, limit: how.Limit, source: &recordIO{r: recordio.NewReader(r, 0)}}
	case how.Split == TFRecord:
		return &records{single: how.Single, limit: how.Limit, source: &tfRecords{r: bufio.NewReaderSize(r, readSize)}}
	}
	return &whole{r: r, limit: how.Limit}
}

// readSize is how much is read at a time, in bytes.
const readSize = 256 << 10

// whole is an object that is not split.
type whole struct {
	r     io.Reader
	limit int
	done  bool
}

func (w *whole) Next(buf []byte) ([]byte, error) {
	if w.done {
		return buf[:0], io.EOF
	}
	w.done = true
	buf, err := fill(w.r, buf[:0], w.limit)
	switch {
	case err == nil: // there is more than limit
		n, err := io.Copy(io.Discard, w.r)
		if err != nil {
			return buf, err
		}
		return buf, &TooLargeError{Size: int64(len(buf)) + n, Limit: int64(w.limit)}
	case !errors.Is(err, io.EOF):
		return buf, err
	case len(buf) == 0: // nothing to ask for
		return buf, io.EOF
	}
	return buf, nil
}

// fill reads until buf holds more than limit bytes: the error is io.EOF when
// the stream ends before. A limit of 0 reads all.
func fill(r io.Reader, buf []byte, limit int) ([]byte, error) {
	for limit == 0 || len(buf) <= limit {
		if len(buf) == cap(buf) {
			size := max(64<<10, 2*cap(buf))
			if limit > 0 {
				size = min(size, limit+1)
			}
			grown := make([]byte, len(buf), max(size, len(buf)+1))
			copy(grown, buf)
			buf = grown
		}
		end := cap(buf)
		if limit > 0 {
			end = min(end, limit+1)
		}
		n, err := r.Read(buf[len(buf):end])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// lines makes mini-batches of as many whole lines as fit. The object is read
// into the mini-batch itself; what stands behind its last line goes into the
// next one.
type lines struct {
	r     io.Reader
	limit int
	rest  []byte
	end   bool
}

func (l *lines) Next(buf []byte) ([]byte, error) {
	for {
		buf, err := l.next(buf)
		// Blank lines are no records, and nothing to ask for.
		if err == nil && len(bytes.TrimLeft(buf, "\r\n")) == 0 {
			continue
		}
		return buf, err
	}
}

var newline = []byte{'\n'}

func (l *lines) next(buf []byte) ([]byte, error) {
	buf = append(buf[:0], l.rest...)
	l.rest = l.rest[:0]
	if !l.end {
		var err error
		if buf, err = fill(l.r, buf, l.limit); errors.Is(err, io.EOF) {
			l.end = true
		} else if err != nil {
			return buf, err
		}
	}
	if l.end && (l.limit == 0 || len(buf) <= l.limit) {
		if len(buf) == 0 {
			return buf, io.EOF
		}
		return buf, nil
	}
	// The newline of a line that fills the payload is not sent.
	last := bytes.LastIndexByte(buf[:l.limit+1], '\n')
	if last < 0 {
		return buf, l.tooLarge(buf)
	}
	l.rest = append(l.rest, buf[last+1:]...)
	buf = buf[:min(last+1, l.limit)]
	return buf, nil
}

// tooLarge finds out how large the line is that begins with head. Nobody has
// counted the lines before it.
func (l *lines) tooLarge(head []byte) error {
	size, r := int64(len(head)), bufio.NewReaderSize(l.r, readSize)
	for {
		b, err := r.ReadSlice('\n')
		size += int64(len(bytes.TrimSuffix(b, newline)))
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && err != io.EOF {
			return err
		}
		return &TooLargeError{Record: -1, Size: size, Limit: int64(l.limit)}
	}
}

// line makes a mini-batch of each line, without its end.
type line struct {
	r     *bufio.Reader
	limit int
	n     int64
}

func (l *line) Next(buf []byte) ([]byte, error) {
	for {
		buf = buf[:0]
		l.n++
		size := int64(0)
		var b []byte
		var err error
		for {
			b, err = l.r.ReadSlice('\n')
			size += int64(len(b))
			if l.limit == 0 || len(buf) <= l.limit+2 { // room for the end of the line
				buf = append(buf, b...)
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		if err != nil && err != io.EOF {
			return buf, err
		}
		text := trimEnd(buf)
		size -= int64(len(b) - len(trimEnd(b)))
		switch {
		case l.limit > 0 && len(text) > l.limit:
			return text, &TooLargeError{Record: l.n, Size: size, Limit: int64(l.limit)}
		case len(text) > 0:
			return text, nil
		case err == io.EOF:
			return text, io.EOF
		}
	}
}

// trimEnd is a line without its end.
func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	for len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	return b
}

// source gives binary records.
type source interface {
	// next is a record's payload, valid until the next call; io.EOF at the end.
	next(limit int) ([]byte, error)
	// frame appends a record as it stands in an object.
	frame(dst, record []byte) ([]byte, error)
}

// records makes mini-batches of framed records. Of a single one the frame is
// taken off: "padding is removed if the value of BatchStrategy is set to
// SingleRecord. Padding is not removed if the value of BatchStrategy is set to
// MultiRecord" (API_TransformInput).
type records struct {
	source source
	single bool
	limit  int
	ahead  []byte // the record that did not fit, framed
	n      int64
}

func (s *records) Next(buf []byte) ([]byte, error) {
	buf = append(buf[:0], s.ahead...)
	s.ahead = s.ahead[:0]
	for s.limit == 0 || len(buf) < s.limit {
		record, err := s.source.next(s.limit)
		if errors.Is(err, io.EOF) && len(buf) > 0 {
			return buf, nil
		}
		if err != nil {
			if big, ok := errors.AsType[*TooLargeError](err); ok {
				big.Record, big.Limit = s.n+1, int64(s.limit)
			}
			return buf, err
		}
		s.n++
		if s.single {
			return append(buf, record...), nil
		}
		at := len(buf)
		if buf, err = s.source.frame(buf, record); err != nil {
			return buf, err
		}
		if s.limit == 0 || len(buf) <= s.limit {
			continue
		}
		if at == 0 {
			return buf, &TooLargeError{Record: s.n, Size: int64(len(buf)), Limit: int64(s.limit)}
		}
		s.ahead = append(s.ahead, buf[at:]...)
		return buf[:at], nil
	}
	return buf, nil
}

// recordIO reads RecordIO.
type recordIO struct{ r *recordio.Reader }

func (s *recordIO) next(limit int) ([]byte, error) {
	b, err := s.r.Next()
	switch {
	case err == nil && limit > 0 && len(b) > limit:
		return nil, &TooLargeError{Size: int64(len(b))}
	case err == nil || errors.Is(err, io.EOF):
		return b, err
	case errors.Is(err, recordio.ErrFormat), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil, err
}

func (s *recordIO) frame(dst, record []byte) ([]byte, error) {
	return recordio.AppendWhole(dst, record)
}
