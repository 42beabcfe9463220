// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errLocked says that another holds the lock.
var errLocked = errors.New("locked")

// Open-file-description locks belong to the open file, not to the process, so
// they pass to a child with the descriptor; and, unlike flock, they can be
// looked at without being taken.

func whole(kind int16) *unix.Flock_t { return &unix.Flock_t{Type: kind, Whence: 0} }

// acquire takes the lock on the file at path, which it does not create. The
// lock is held until every copy of the file is closed.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, whole(unix.F_WRLCK)); err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// locked reports whether anyone holds the lock, and does not take it.
func locked(path string) (bool, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	l := whole(unix.F_WRLCK)
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, l); err != nil {
		return false, fmt.Errorf("test lock %s: %w", path, err)
	}
	return l.Type != unix.F_UNLCK, nil
}

// bootID names this run of the machine.
func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// acquireWaiting takes the lock on the file at path, which it creates, and
// waits for it.
func acquireWaiting(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, whole(unix.F_WRLCK))
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
