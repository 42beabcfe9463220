// SPDX-License-Identifier: Apache-2.0

//go:build unix

package data

import (
	"os"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// mapFile gives the content of a file that nobody changes meanwhile, mapped so
// that a channel larger than memory need not fit. What cannot be mapped (an
// empty file, a pipe, some mounted file systems) is read to memory, and release
// is nil.
func mapFile(path string, memory *spill.Space) (b []byte, release func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if size := info.Size(); info.Mode().IsRegular() && size >= 1<<16 && int64(int(size)) == size {
		if b, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_PRIVATE); err == nil {
			return b, func() { _ = syscall.Munmap(b) }, nil
		}
	}
	// From the file that is open: a FIFO is opened once.
	b, err = spill.ReadAll(memory, f, info.Size())
	return b, nil, err
}
