// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

const (
	// pipeSize is how much a FIFO is asked to hold, in bytes: all that an ordinary
	// user may have. A reader then rarely waits for its feeder to be woken.
	pipeSize = 1 << 20
	// small is the size of a file up to which it is gathered with its neighbours,
	// in bytes; larger ones go from the file to the FIFO within the kernel.
	small = 64 << 10
	// peekSize is how much of a stream is held to learn its size, in bytes.
	peekSize = 4 << 20
)

// sink writes an epoch into its FIFO.
type sink struct {
	f    *os.File
	w    *bufio.Writer
	sent int64 // bytes
	buf  []byte
	zip  *gzip.Reader
	in   *bufio.Reader // what zip reads
	// copies says that the kernel cannot move data from files to the FIFO.
	copies bool
}

func newSink() *sink {
	s := &sink{}
	s.w = bufio.NewWriterSize(counter{s}, 256<<10)
	return s
}

// counter counts what bufio writes.
type counter struct{ s *sink }

func (c counter) Write(p []byte) (int, error) {
	n, err := c.s.f.Write(p)
	c.s.sent += int64(n)
	return n, err
}

func (s *sink) reset(f *os.File) {
	growPipe(f, pipeSize)
	s.f, s.sent = f, 0
	s.w.Reset(counter{s})
}

func (s *sink) flush() error { return s.w.Flush() }

// record begins a record of n bytes; end ends it.
func (s *sink) record(n int64) error {
	h, err := recordio.Header(n)
	if err != nil {
		return dataError{err}
	}
	_, err = s.w.Write(h[:])
	return err
}

func (s *sink) end(n int64) error {
	_, err := s.w.Write(recordio.Padding(n))
	return err
}

func (s *sink) text(text string, wrap Wrap) error {
	n := int64(len(text))
	if wrap != RecordIO {
		_, err := s.w.WriteString(text)
		return err
	}
	if err := s.record(n); err != nil {
		return err
	}
	if _, err := s.w.WriteString(text); err != nil {
		return err
	}
	return s.end(n)
}

// file sends one file.
func (f *feeder) file(ctx context.Context, path string, c Channel, out *sink) error {
	open := func() (io.ReadCloser, error) { return f.Open(ctx, path) }
	r, err := open()
	if err != nil {
		return err
	}
	defer func() { r.Close() }() // of a later one, if it is opened again
	if file, ok := r.(*os.File); ok && !c.Gzip {
		info, err := file.Stat()
		if err == nil && info.Mode().IsRegular() {
			return out.regular(file, info.Size(), c.Wrap)
		}
		if err != nil {
			return err
		}
	}
	unpacked, err := out.unpack(r, c.Gzip)
	if err != nil {
		return err
	}
	if c.Wrap != RecordIO {
		return out.all(unpacked, -1)
	}
	// A record begins with its size. What is not small is read twice for it.
	head, n, err := out.measure(ctx, unpacked)
	if err != nil {
		return err
	}
	wrap := !recordio.Begins(head, n)
	if wrap {
		if err := out.record(n); err != nil {
			return err
		}
	}
	if n == int64(len(head)) {
		_, err = out.w.Write(head)
	} else {
		again, openErr := open()
		if openErr != nil {
			return openErr
		}
		r.Close()
		r = again
		if unpacked, err = out.unpack(r, c.Gzip); err == nil {
			err = out.all(unpacked, n)
		}
	}
	if err == nil && wrap {
		err = out.end(n)
	}
	return err
}

// unpack decompresses r, if it is to be.
func (s *sink) unpack(r io.Reader, zipped bool) (io.Reader, error) {
	if !zipped {
		return r, nil
	}
	if s.in == nil {
		s.in, s.zip = bufio.NewReaderSize(r, 256<<10), new(gzip.Reader)
	}
	s.in.Reset(r)
	if err := s.zip.Reset(s.in); err != nil {
		return nil, unzipError(err)
	}
	return unzipper{s.zip}, nil
}

// unzipper tells a fault of the data from one of the disk.
type unzipper struct{ r *gzip.Reader }

func (u unzipper) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unzipError(err)
	}
	return n, err
}

func unzipError(err error) error {
	if _, disk := errors.AsType[*os.PathError](err); disk {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return dataError{fmt.Errorf("decompress: %w", err)}
}

// measure reads all of r. head is its beginning, which is all of it when it is
// no longer than peekSize; n its size.
func (s *sink) measure(ctx context.Context, r io.Reader) (head []byte, n int64, err error) {
	if len(s.buf) < peekSize {
		s.buf = make([]byte, peekSize)
	}
	got, err := io.ReadFull(r, s.buf[:peekSize])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.buf[:got], int64(got), nil
	}
	if err != nil {
		return nil, 0, err
	}
	n = int64(got)
	var scratch [32 << 10]byte
	for n <= recordio.MaxPart { // beyond that it is refused, however long
		more, err := r.Read(scratch[:])
		if n += int64(more); errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return s.buf[:got], n, nil
}

// all sends the rest of r, which has n bytes; -1 when that is not known.
func (s *sink) all(r io.Reader, n int64) error {
	if len(s.buf) < peekSize {
		s.buf = make([]byte, peekSize)
	}
	sent := int64(0)
	for {
		got, err := r.Read(s.buf[:small])
		sent += int64(got)
		if n >= 0 && sent > n {
			return fmt.Errorf("it has grown while it was read, above %d bytes", n)
		}
		if _, err := s.w.Write(s.buf[:got]); err != nil {
			return err
		}
		if err == io.EOF && n >= 0 && sent < n {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// regular sends the first size bytes of a file, in a record if wrap says so and
// it is no RecordIO itself.
func (s *sink) regular(f *os.File, size int64, wrap Wrap) error {
	if wrap == RecordIO {
		var head [recordio.HeaderSize]byte
		n, err := f.ReadAt(head[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if recordio.Begins(head[:n], size) {
			wrap = Plain
		}
	}
	if wrap == RecordIO {
		if err := s.record(size); err != nil {
			return err
		}
	}
	if err := s.body(f, size); err != nil {
		return err
	}
	if wrap == RecordIO {
		return s.end(size)
	}
	return nil
}

func (s *sink) body(f *os.File, size int64) error {
	if size <= small {
		if len(s.buf) < small {
			s.buf = make([]byte, small)
		}
		if n, err := io.ReadFull(f, s.buf[:size]); err != nil {
			return short(err, int64(n), size)
		}
		_, err := s.w.Write(s.buf[:size])
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	sent := int64(0)
	if !s.copies {
		n, err := moveFile(s.f, f, size)
		sent += n
		s.sent += n
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return short(err, sent, size)
		}
		s.copies = err != nil
	}
	if sent == size {
		return nil
	}
	n, err := io.Copy(noReadFrom{s.w}, io.NewSectionReader(f, sent, size-sent))
	if err == nil && sent+n < size {
		err = io.ErrUnexpectedEOF
	}
	return short(err, sent+n, size)
}

// noReadFrom lets io.Copy use a buffer of its own and the writer's.
type noReadFrom struct{ io.Writer }

func short(err error, n, size int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends after %d of its %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return err
}
