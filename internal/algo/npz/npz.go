// SPDX-License-Identifier: Apache-2.0

// Package npz reads and writes NumPy's archives of arrays: numpy.load reads
// them.
//
// Source: "numpy.lib.format" in the NumPy reference, version 1.0 of the format.
package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Writer writes one archive. Its first failure stays, and Close gives it.
type Writer struct {
	zip *zip.Writer
	err error
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{zip: zip.NewWriter(w)} }

// Value is what arrays are made of.
type Value interface {
	float32 | float64 | int32 | int64
}

// descr is how NumPy calls the type T.
func descr[T Value]() (name string, size int) {
	switch any(*new(T)).(type) {
	case float32:
		return "<f4", 4
	case float64:
		return "<f8", 8
	case int32:
		return "<i4", 4
	}
	return "<i8", 8
}

// Write adds the array name, row-major with a shape. The same arrays give the
// same bytes: the archive holds no times, and is not compressed.
func Write[T Value](w *Writer, name string, values []T, shape ...int) {
	if w.err != nil {
		return
	}
	entry, err := w.zip.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
	if err != nil {
		w.err = err
		return
	}
	dims := make([]string, len(shape))
	for i, n := range shape {
		dims[i] = strconv.Itoa(n) + ","
	}
	kind, size := descr[T]()
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, strings.Join(dims, " "))
	if len(shape) > 1 {
		head = strings.Replace(head, ",), }", "), }", 1)
	}
	pad := -(10 + len(head) + 1) & 63
	b := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(head)+pad+1))
	b = append(append(append(b, head...), strings.Repeat(" ", pad)...), '\n')
	for len(values) > 0 && w.err == nil { // in pieces, so that a large array is not in memory twice
		n := min(len(values), 1<<16/size)
		if b, w.err = binary.Append(b, binary.LittleEndian, values[:n]); w.err == nil {
			_, w.err = entry.Write(b)
		}
		b, values = b[:0], values[n:]
	}
	if w.err == nil && len(b) > 0 {
		_, w.err = entry.Write(b)
	}
}

// Close ends the archive.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	return w.zip.Close()
}

// Archive is an archive that was read.
type Archive struct{ files map[string][]byte }

// Open reads the archive b.
func Open(b []byte) (*Archive, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("not an archive of NumPy arrays: %w", err)
	}
	a := &Archive{map[string][]byte{}}
	for _, f := range z.File {
		if f.UncompressedSize64 > math.MaxInt32 || f.Method == zip.Store && f.UncompressedSize64 > uint64(len(b)) {
			return nil, fmt.Errorf("array %s is too large", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", f.Name, err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", f.Name, err)
		}
		a.files[strings.TrimSuffix(f.Name, ".npy")] = text
	}
	return a, nil
}

// header is compiled when it is first asked for: each task of this binary starts
// the quicker.
var header = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\{'descr': '(<[fi][48])', 'fortran_order': False, 'shape': \(([0-9, ]*)\),? *\}\s*$`)
})

// Read gives the array name and its shape.
func Read[T Value](a *Archive, name string) (values []T, shape []int, err error) {
	b, ok := a.files[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no array %s", name)
	}
	if len(b) < 10 || string(b[:7]) != "\x93NUMPY\x01" {
		return nil, nil, fmt.Errorf("%s is no NumPy array of version 1", name)
	}
	n := int(binary.LittleEndian.Uint16(b[8:]))
	if len(b) < 10+n {
		return nil, nil, fmt.Errorf("array %s ends too early", name)
	}
	m := header().FindSubmatch(b[10 : 10+n])
	kind, size := descr[T]()
	if m == nil || string(m[1]) != kind {
		return nil, nil, fmt.Errorf("array %s is not one of %s, row-major", name, kind)
	}
	b = b[10+n:]
	count := 1
	for dim := range strings.SplitSeq(string(m[2]), ",") {
		if dim = strings.TrimSpace(dim); dim == "" {
			continue
		}
		d, err := strconv.Atoi(dim)
		if err != nil || d > math.MaxInt32 || d > 0 && count > len(b)/d {
			return nil, nil, fmt.Errorf("array %s ends too early", name)
		}
		count *= d
		shape = append(shape, d)
	}
	if len(b) != count*size {
		return nil, nil, fmt.Errorf("array %s has %d bytes for %d values", name, len(b), count)
	}
	values = make([]T, count)
	if _, err := binary.Decode(b, binary.LittleEndian, values); err != nil {
		return nil, nil, fmt.Errorf("array %s: %w", name, err)
	}
	return values, shape, nil
}
