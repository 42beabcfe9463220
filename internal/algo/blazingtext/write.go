// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"unsafe"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// The first eight bytes of fastText's files: a mark, and the version of 0.9.
const (
	magic   = 793712314
	version = 12
)

// writeBinary writes m as fastText 0.9 does: little-endian, the header, the
// dictionary, the input matrix, the output matrix.
func (m *Model) writeBinary(path string) error {
	in, ok := m.in.(dense)
	if !ok {
		return errors.New("write the model: a quantised one cannot be written")
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := &writer{f: f, b: bufio.NewWriterSize(f, 1<<20)}
	w.number(int32(magic), int32(version), &m.header)
	w.number(int32(len(m.dict.words)), int32(m.dict.nwords), int32(m.dict.labels()), m.dict.tokens, int64(-1)) // -1: not pruned
	for i, word := range m.dict.words {
		kind := int8(0)
		if i >= m.dict.nwords {
			kind = 1
		}
		w.text(word)
		w.number(int8(0), m.dict.counts[i], kind)
	}
	w.number(false, int64(m.inRows), int64(m.Dim)) // false: not quantised
	for i := range m.inRows {
		w.row(in.rowOf(i), int(m.Dim))
	}
	outRows := m.dict.nwords
	if m.supervised() {
		outRows = m.dict.labels()
	}
	w.number(false, int64(outRows), int64(m.Dim))
	for i := range outRows {
		if m.out == nil { // of vectors that were read from a text
			w.row(nil, int(m.Dim))
		} else {
			w.row(m.out.row(i), int(m.Dim))
		}
	}
	return w.close()
}

// writer keeps the first error.
type writer struct {
	f     *os.File
	b     *bufio.Writer
	zeros int64 // bytes that are zeros and not yet written
	err   error
}

func (w *writer) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) number(values ...any) {
	w.skip()
	for _, v := range values {
		w.note(binary.Write(w.b, binary.LittleEndian, v))
	}
}

func (w *writer) text(s string) {
	_, err := w.b.WriteString(s)
	w.note(err)
}

// sparse is how many zeros are worth a hole in the file.
const sparse = 1 << 16

// row writes a row; nil is one of zeros.
func (w *writer) row(v []float32, dim int) {
	if v == nil {
		w.zeros += 4 * int64(dim)
		return
	}
	w.skip()
	if littleEndian {
		_, err := w.b.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)))
		w.note(err)
		return
	}
	var b [4]byte
	for _, x := range v {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
		_, err := w.b.Write(b[:])
		w.note(err)
	}
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// skip writes the zeros that are due, many as a hole.
func (w *writer) skip() {
	if w.zeros >= sparse {
		w.note(w.b.Flush())
		_, err := w.f.Seek(w.zeros, io.SeekCurrent)
		w.note(err)
		w.zeros = 0
		return
	}
	for ; w.zeros > 0; w.zeros-- {
		w.note(w.b.WriteByte(0))
	}
}

func (w *writer) close() error {
	// No file ends with a hole: the output matrix comes last, behind its size.
	w.skip()
	w.note(w.b.Flush())
	if end, err := w.f.Seek(0, io.SeekCurrent); err != nil {
		w.note(err)
	} else {
		w.note(w.f.Truncate(end))
	}
	w.note(w.f.Close())
	return w.err
}

// writeText writes the vectors of the words in the text form of word2vec: the
// number of words and of values, then a line for each word.
func (m *Model) writeText(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := fmt.Fprintf(w, "%d %d\n", m.dict.nwords, m.Dim); err != nil {
		return err
	}
	const some = 1 << 14
	var b []byte
	for from := 0; from < m.dict.nwords; from += some {
		n := min(some, m.dict.nwords-from)
		b = algo.AppendRows(b[:0], n, func(dst []byte, first, last int) []byte {
			h := make([]float32, vec.Stride(int(m.Dim)))
			for i := first; i < last; i++ {
				m.vector(h, []byte(m.dict.words[from+i]))
				dst = append(dst, m.dict.words[from+i]...)
				for _, x := range h[:m.Dim] {
					dst = strconv.AppendFloat(append(dst, ' '), float64(x), 'g', 6, 32)
				}
				dst = append(dst, '\n')
			}
			return dst
		})
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
