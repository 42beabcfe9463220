// SPDX-License-Identifier: Apache-2.0

//go:build unix

package docker

import (
	"io/fs"
	"os"
	"syscall"
)

// likeSource gives the folder the mode and owner that info tells of.
func likeSource(dir string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, info.Mode())
}

// room is what a file takes on the disk, in bytes: a file with holes may seem
// much larger.
func room(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// free is how much of the file system of path is free, and how large it is.
func free(path string) (free, total int64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), true //nolint:unconvert // other systems have other types
}
