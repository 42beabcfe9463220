// SPDX-License-Identifier: Apache-2.0

package spill

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// mapNew maps a new file of zeros that has no name. The disk's blocks are taken
// at once: a disk that fills up later would be a signal, not an error.
func mapNew(bytes int64) ([]byte, error) {
	f, err := unnamed()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = syscall.Fallocate(int(f.Fd()), 0, 0, bytes)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		err = f.Truncate(bytes)
	}
	if err != nil {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, int(bytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

// mapAll maps a new file, without a name, of what r gives.
func mapAll(r io.Reader) ([]byte, error) {
	f, err := unnamed()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := io.Copy(f, r)
	if err != nil {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
}

// unnamed makes a file that is gone when it is closed and not mapped any more.
func unnamed() (*os.File, error) {
	f, err := os.CreateTemp(folder(), "sagebrush-array-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// folder is where files are made: the usual folder, or /var/tmp where the usual
// one lies in memory itself, which would save none.
func folder() string {
	const tmpfs = 0x01021994
	dir := os.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err == nil && fs.Type == tmpfs {
		if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
			return "/var/tmp"
		}
	}
	return dir
}

// rest lets the whole pages of b leave memory.
func rest(b []byte) {
	page := uintptr(os.Getpagesize())
	from := uintptr(unsafe.Pointer(&b[0]))
	skip := -from & (page - 1)
	if uintptr(len(b)) < skip+page {
		return
	}
	b = b[skip:]
	_ = syscall.Madvise(b[:uintptr(len(b))&^(page-1)], syscall.MADV_DONTNEED) // advice
}

// widen asks for large pages for what b's memory, not touched yet, will be.
func widen(b []byte) {
	const page = 2 << 20
	skip := -uintptr(unsafe.Pointer(&b[0])) & (page - 1)
	if uintptr(len(b)) >= skip+page {
		b = b[skip:]
		_ = syscall.Madvise(b[:uintptr(len(b))&^(page-1)], syscall.MADV_HUGEPAGE) // advice
	}
}

func unmap(b []byte) { _ = syscall.Munmap(b) }
