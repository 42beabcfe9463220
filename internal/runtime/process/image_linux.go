// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountImage mounts the image at pl.Root so that it can be written to and yet
// stays as it is. Device files in it do not work: those of a task are in /dev.
func mountImage(pl plan) error {
	if pl.Layer != "" {
		return overlay(pl.Image, pl.Layer, pl.Root, pl.UserNS)
	}
	if err := unix.Mount(pl.Image, pl.Root, "", unix.MS_BIND, ""); err != nil { // a copy of the task's own
		return err
	}
	err := unix.MountSetattr(unix.AT_FDCWD, pl.Root, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12
		err = unix.Mount("", pl.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NODEV|unix.MS_NOSUID, "")
	}
	return err
}

// overlay shows lower at target, where it can be written to: what is written
// goes to layer, a folder made by makeLayer. It is lost with the machine's
// power, which is why the kernel need not flush it when the task ends. On a
// kernel that does not know that, it is flushed.
func overlay(lower, layer, target string, userNS bool) error {
	var fds [3]int
	for i, dir := range []string{lower, filepath.Join(layer, "upper"), filepath.Join(layer, "work")} {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: dir, Err: err}
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	// By descriptor, as a path may hold what has a meaning in these options.
	options := fmt.Sprintf("lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", fds[0], fds[1], fds[2])
	if userNS {
		options += ",userxattr"
	}
	err := unix.Mount("overlay", target, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", target, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options)
	}
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	return nil
}
