// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Prepare makes the folders and the FIFOs of epoch 0, so that the container
// finds them. Called again it changes nothing.
func Prepare(s Spec) error {
	for _, c := range s.Channels {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return fmt.Errorf("channel %q: make its folder: %w", c.Name, err)
		}
		if err := c.make(0); err != nil {
			return err
		}
	}
	return nil
}

// fifo is the path of an epoch's FIFO.
func (c Channel) fifo(epoch int) string {
	return filepath.Join(c.Dir, c.Name+"_"+strconv.Itoa(epoch))
}

// make makes the FIFO of an epoch, if it is not there. It is there under its
// name only once it has its owner and mode.
func (c Channel) make(epoch int) (err error) {
	path := c.fifo(epoch)
	defer func() {
		if err != nil {
			err = fmt.Errorf("channel %q: make the FIFO of epoch %d: %w", c.Name, epoch, err)
		}
	}()
	switch info, err := os.Lstat(path); {
	case err == nil && info.Mode()&fs.ModeNamedPipe != 0:
		return nil
	case err == nil:
		return fmt.Errorf("%s is something else", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Made in a folder that only we enter: what lies in Dir the container may
	// replace by links of its own.
	dir, err := os.MkdirTemp(c.Dir, ".feed-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mode := c.Mode.Perm()
	if mode == 0 {
		mode = 0o666
	}
	made := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(made, uint32(mode)); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	if err := os.Chmod(made, mode); err != nil { // the umask has taken some away
		return err
	}
	if c.UID != nil || c.GID != nil {
		// Who may not give it away has no other user to give it to either, but for
		// a feeder without the right, and for that the mode suffices.
		if err := os.Lchown(made, id(c.UID), id(c.GID)); err != nil && (!errors.Is(err, fs.ErrPermission) || mode&0o022 != 0o022) {
			return err
		}
	}
	return os.Rename(made, path)
}

func id(n *int) int {
	if n == nil {
		return -1 // as it is
	}
	return *n
}
