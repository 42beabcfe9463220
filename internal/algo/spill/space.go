// SPDX-License-Identifier: Apache-2.0

package spill

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"unsafe"
)

// Space holds large arrays of numbers: in memory while they are small beside
// what the process can have, else each in a file of its own that is mapped, so
// that the system keeps in memory what is in use. Which of the two it is makes
// no difference to what is computed. A nil Space is Go's heap.
type Space struct {
	scratch int64 // bytes

	mu     sync.Mutex
	room   int64    // bytes of memory that are left for arrays
	mapped [][]byte // what lies in files
}

// New gives a space that puts at most half of what the process can have into
// memory: as much again is left to what works on the arrays. It must be closed.
func New() *Space { return Of(room(os.Getenv, "/proc/meminfo") / 2) }

// Of gives a space that puts at most so many bytes into memory.
func Of(bytes int64) *Space { return &Space{scratch: bytes / 2, room: bytes} }

// number is what arrays can hold: nothing that the garbage collector looks for.
type number interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int32 | ~int64 | ~float32 | ~float64
}

// always is how many bytes are in memory whatever there is.
const always = 1 << 16

// wide is from how many bytes on large pages are worth asking for. Rows far apart
// are each on a page of its own, which the processor must find first: of
// histograms it spares a tenth of the time.
const wide = 4 << 20

// Make gives an array of n zeros. It is valid until s is closed. The error is
// that of the disk, which may be full.
func Make[T number](s *Space, n int) ([]T, error) {
	var zero T
	bytes := int64(n) * int64(unsafe.Sizeof(zero))
	if s == nil || bytes <= always || s.take(bytes) {
		a := make([]T, n)
		if bytes >= wide {
			widen(unsafe.Slice((*byte)(unsafe.Pointer(&a[0])), bytes))
		}
		return a, nil
	}
	b, err := mapNew(bytes)
	if err != nil {
		return nil, fmt.Errorf("put %d bytes that memory has no room for into a temporary file: %w", bytes, err)
	}
	if b == nil { // not on this system
		return make([]T, n), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mapped = append(s.mapped, b)
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n), nil
}

// take takes bytes of memory if there is room.
func (s *Space) take(bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes > s.room {
		return false
	}
	s.room -= bytes
	return true
}

// Spilled tells whether something lies in files.
func (s *Space) Spilled() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mapped) > 0
}

// Scratch is how many bytes may be taken for a while to work on the arrays: a
// quarter of what the process can have. It is without bound for Go's heap.
func (s *Space) Scratch() int64 {
	if s == nil {
		return math.MaxInt64
	}
	return s.scratch
}

// Rest says that part, of an array that s made, is not needed for a while. What
// lies in a file leaves memory and is read again when it is asked for.
func Rest[T number](s *Space, part []T) {
	if s == nil || len(part) == 0 {
		return
	}
	var zero T
	b := unsafe.Slice((*byte)(unsafe.Pointer(&part[0])), len(part)*int(unsafe.Sizeof(zero)))
	if s.owns(b) {
		rest(b)
	}
}

// RestFile is Rest for a mapped file that is only read.
func RestFile(b []byte) {
	if len(b) > 0 {
		rest(b)
	}
}

// ReadAll reads r to its end, of which size may be the number of bytes.
func ReadAll(s *Space, r io.Reader, size int64) ([]byte, error) {
	var all bytes.Buffer
	all.Grow(int(min(max(size, 0), 1<<30)) + bytes.MinRead)
	if s == nil {
		_, err := all.ReadFrom(r)
		return all.Bytes(), err
	}
	s.mu.Lock()
	limit := max(s.room, always)
	s.mu.Unlock()
	if _, err := io.CopyN(&all, r, limit+1); errors.Is(err, io.EOF) {
		return all.Bytes(), nil
	} else if err != nil {
		return nil, err
	}
	b, err := mapAll(io.MultiReader(&all, r))
	if err != nil {
		return nil, fmt.Errorf("put a stream that memory has no room for into a temporary file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mapped = append(s.mapped, b)
	return b, nil
}

// owns tells whether b is part of what lies in files.
func (s *Space) owns(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := uintptr(unsafe.Pointer(&b[0]))
	for _, m := range s.mapped {
		if from := uintptr(unsafe.Pointer(&m[0])); at >= from && at < from+uintptr(len(m)) {
			return true
		}
	}
	return false
}

// Close gives back what lies in files; the arrays must not be used any more.
func (s *Space) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.mapped {
		unmap(b)
	}
	s.mapped = nil
}
