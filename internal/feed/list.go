// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/feed/manifest"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Sample is what stays together when a list is shuffled: one object of a
// channel, or all attributes of one line of an augmented manifest.
type Sample []Part

// Part is one thing to send: the bytes of a file, or a text.
type Part struct {
	Path string  `json:",omitempty"` // of this machine, absolute
	Text *string `json:",omitempty"`
}

// Files are samples of one file each.
func Files(paths iter.Seq[string]) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for p := range paths {
			if !yield(Sample{{Path: p}}, nil) {
				return
			}
		}
	}
}

// Augmented are the samples of an augmented manifest, which is read from r as
// they are asked for. names are the attributes to send, in this order; path
// finds the file that holds an object.
func Augmented(r io.Reader, names []string, path func(object.URI) (string, error)) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for line, err := range manifest.Augmented(r, names) {
			sample := make(Sample, 0, len(line.Values))
			for _, v := range line.Values {
				if !v.IsRef {
					sample = append(sample, Part{Text: &v.Text})
					continue
				}
				p, pathErr := path(v.Ref)
				if pathErr != nil {
					err = fmt.Errorf("line %d: attribute %q: %w", line.Number, v.Name, pathErr)
					break
				}
				sample = append(sample, Part{Path: p})
			}
			if !yield(sample, err) || err != nil {
				return
			}
		}
	}
}

// Share is the i-th of n shares of a list, in turns.
func Share(samples iter.Seq2[Sample, error], i, n int) iter.Seq2[Sample, error] {
	if n <= 1 {
		return samples
	}
	return func(yield func(Sample, error) bool) {
		at := 0
		for s, err := range samples {
			mine := at%n == i
			at++
			if (mine || err != nil) && !yield(s, err) {
				return
			}
		}
	}
}

// maxLine is how long a line of a list can be, in bytes. AttributeNames may
// have 16 names, and a line of a manifest has its limit too.
const maxLine = 8 * manifest.MaxLine

// WriteList writes what to send, one sample a line, for a Channel's List. It is
// there as a whole or, after an error, not at all.
func WriteList(path string, samples iter.Seq2[Sample, error]) (err error) {
	f, err := os.Create(path + ".new")
	if err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.Rename(path+".new", path)
		} else {
			os.Remove(path + ".new")
		}
	}()
	w := bufio.NewWriterSize(f, 1<<18)
	lines := json.NewEncoder(w)
	for s, err := range samples {
		if err == nil {
			err = s.check()
		}
		if err == nil {
			err = lines.Encode(s)
		}
		if err != nil {
			f.Close()
			return fmt.Errorf("write the list: %w", err)
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

func (s Sample) check() error {
	for _, p := range s {
		if p.Text == nil && !filepath.IsAbs(p.Path) {
			return fmt.Errorf("%q is no absolute path", p.Path)
		}
	}
	return nil
}

// list is a list that is open.
type list struct {
	f    *os.File
	line []byte
	// starts are where the lines begin, and their end, in bytes; nil when they are
	// only ever read in order.
	starts []int64
}

func openList(path string, shuffled bool) (*list, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the list: %w", err)
	}
	l := &list{f: f}
	if !shuffled {
		return l, nil
	}
	l.starts = []int64{0}
	for n, err := range l.lines() {
		if err != nil {
			f.Close()
			return nil, err
		}
		l.starts = append(l.starts, l.starts[len(l.starts)-1]+int64(len(n)))
	}
	return l, nil
}

func (l *list) close() error { return l.f.Close() }

// lines are the lines in order, each good until the next.
func (l *list) lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReaderSize(io.NewSectionReader(l.f, 0, 1<<62), 1<<16)
		for {
			l.line = l.line[:0]
			for {
				part, err := r.ReadSlice('\n')
				l.line = append(l.line, part...)
				if err == nil {
					break
				}
				if err == io.EOF && len(l.line) == 0 {
					return
				}
				if len(l.line) > maxLine {
					err = bufio.ErrTooLong
				} else if errors.Is(err, bufio.ErrBufferFull) {
					continue
				} else if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				yield(nil, fmt.Errorf("read the list: %w", err))
				return
			}
			if !yield(l.line, nil) {
				return
			}
		}
	}
}

// samples are those of an epoch, in its order.
func (l *list) samples(seed *int64, epoch int) iter.Seq2[Sample, error] {
	lines := l.lines()
	if seed != nil {
		lines = l.shuffled(uint64(*seed), uint64(epoch))
	}
	return func(yield func(Sample, error) bool) {
		for line, err := range lines {
			var s Sample
			if err == nil {
				if err = json.Unmarshal(line, &s); err != nil {
					err = fmt.Errorf("read the list: %w", err)
				}
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (l *list) shuffled(seed, epoch uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, i := range rand.New(rand.NewPCG(seed, epoch)).Perm(len(l.starts) - 1) {
			n := int(l.starts[i+1] - l.starts[i])
			if cap(l.line) < n {
				l.line = make([]byte, n)
			}
			l.line = l.line[:n]
			_, err := l.f.ReadAt(l.line, l.starts[i])
			if err != nil {
				err = fmt.Errorf("read the list: %w", err)
			}
			if !yield(l.line, err) || err != nil {
				return
			}
		}
	}
}
