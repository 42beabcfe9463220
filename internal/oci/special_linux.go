// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// setExtended sets an extended attribute as far as file system and rights
// allow: a file that lacks its capabilities still is the file.
func setExtended(f *os.File, name, value string) {
	_ = unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
}

// fifo makes a named pipe.
func (t *tree) fifo(at string, a attributes) error {
	dir, err := t.root.Open(path.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Mknodat(int(dir.Fd()), path.Base(at), unix.S_IFIFO|uint32(a.mode.Perm()), 0); err != nil {
		return &os.PathError{Op: "mkfifo", Path: at, Err: err}
	}
	if t.owners {
		return t.root.Lchown(at, a.uid, a.gid)
	}
	return nil
}

// isName tells whether an error is about a name that no file can have, or about
// a file that stands where a folder should.
func isName(err error) bool {
	return errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EISDIR)
}
