// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"cmp"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// growPipe asks for a larger FIFO. It may be refused, which only makes it
// slower: there is a sum that all pipes of a user may have.
func growPipe(f *os.File, size int) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
	}
}

// moveFile moves the first size bytes of a file into a FIFO, within the kernel
// (splice(2)): its pages are lent to the FIFO and not copied. It tells how many
// bytes went; errors.ErrUnsupported where that is not possible.
func moveFile(to, from *os.File, size int64) (int64, error) {
	out, err := to.SyscallConn()
	if err != nil {
		return 0, err
	}
	in, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	var at int64
	var moveErr error
	err = in.Control(func(fd uintptr) {
		for at < size && moveErr == nil {
			var n int64
			var spliceErr error
			moveErr = out.Write(func(pipe uintptr) bool {
				n, spliceErr = splice(int(fd), at, int(pipe), int(min(size-at, pipeSize)))
				return !errors.Is(spliceErr, unix.EAGAIN)
			})
			if moveErr == nil {
				moveErr = spliceErr
			}
			if moveErr == nil && n == 0 {
				moveErr = io.ErrUnexpectedEOF
			}
			at += n
		}
	})
	err = cmp.Or(err, moveErr)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = errors.ErrUnsupported
	}
	return at, err
}

func splice(from int, at int64, to, n int) (int64, error) {
	for {
		moved, err := unix.Splice(from, &at, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_MORE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return max(moved, 0), err
		}
	}
}
