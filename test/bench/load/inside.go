// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What follows runs in a job, as the only program of an image FROM scratch.

// reading is what read saw. Times are seconds since 1970.
type reading struct {
	Began float64 `json:"began"` // the program
	First float64 `json:"first"` // byte was there
	Ended float64 `json:"ended"`
	CPU   float64 `json:"cpuSeconds"`
	Bytes int64   `json:"bytes"`
}

// read reads files, FIFOs or folders of files one after another, to their ends
// or as many bytes as were asked for.
func read(args []string) (any, error) {
	out := reading{Began: unix()}
	f := flags("read")
	limit := f.Int64("limit", -1, "end after so many bytes; -1 for all")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, errors.New("no path is given")
	}
	block := make([]byte, 128<<10) // as cat has
	for _, root := range f.Args() {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if err := out.file(path, block, *limit); err != nil {
				return err
			}
			if out.Bytes == *limit {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	out.Ended = unix()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return nil, fmt.Errorf("ask what this process used: %w", err)
	}
	out.CPU = processorSeconds(&used)
	return out, nil
}

// file reads by bare system calls, as programs in other languages do: os.File
// waits for a FIFO by way of the poller, which costs more than the read.
func (r *reading) file(path string, block []byte, limit int64) (err error) {
	in, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { err = errors.Join(err, syscall.Close(in)) }()
	for {
		if left := limit - r.Bytes; limit >= 0 && left < int64(len(block)) {
			block = block[:left]
		}
		if len(block) == 0 {
			return nil
		}
		n, err := syscall.Read(in, block)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return nil
		case r.Bytes == 0:
			r.First = unix()
		}
		r.Bytes += int64(n)
	}
}

// writing is what lines did. Times are seconds since 1970.
type writing struct {
	Began float64 `json:"began"` // the first line
	Ended float64 `json:"ended"` // the last one was taken from it
	Lines int     `json:"lines"`
}

// lineBytes is the length of a line of lines, its end included.
const lineBytes = 100

// lines writes numbered lines to its output, each with the time it was written
// at in microseconds since 1970: "<number> <time> <filler>".
func lines(args []string) (any, error) {
	f := flags("lines")
	count := f.Int("count", 1_000_000, "how many")
	rate := f.Float64("rate", 0, "how many a second; 0 for as many as are taken")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return writeLines(os.Stdout, *count, *rate)
}

func writeLines(to io.Writer, count int, rate float64) (writing, error) {
	// A program that logs a lot writes in blocks of this size; one at a slow
	// pace is flushed after each burst below.
	w := bufio.NewWriterSize(to, 64<<10)
	filler := strings.Repeat(".", lineBytes)
	begin := time.Now()
	out := writing{Began: unix(), Lines: count}
	for i := range count {
		if rate > 0 {
			if ahead := time.Duration(float64(i)/rate*float64(time.Second)) - time.Since(begin); ahead > 0 {
				if err := w.Flush(); err != nil {
					return out, err
				}
				time.Sleep(max(ahead, 2*time.Millisecond)) // a burst each, for timers are no finer
			}
		}
		head := fmt.Sprintf("%08d %d ", i, time.Now().UnixMicro())
		if _, err := w.WriteString(head + filler[:lineBytes-1-len(head)] + "\n"); err != nil {
			return out, err
		}
	}
	err := w.Flush()
	out.Ended = unix()
	return out, err
}

func unix() float64 { return float64(time.Now().UnixMicro()) / 1e6 }
