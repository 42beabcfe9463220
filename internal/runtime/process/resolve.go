// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links a path may have, as in the kernel.
const maxLinks = 40

// resolveIn gives the host's path, free of symbolic links, of what a process
// whose root folder is root knows as path. Links lead nowhere but below root,
// which is what keeps an image's /etc/hosts -> /etc/shadow from being ours.
// What is not there is taken as it is written, so that it can be made. Nobody
// may change root meanwhile.
func resolveIn(root, path string) (string, error) {
	root = strings.TrimSuffix(root, "/")
	at, links := "", 0
	for rest := path; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = strings.TrimSuffix(filepath.Dir("/"+at), "/")
			continue
		}
		next := at + "/" + name
		target, err := os.Readlink(root + next)
		if err != nil {
			at = next // no link, or nothing at all
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", path, syscall.ELOOP)
		}
		if filepath.IsAbs(target) {
			at = ""
		}
		rest = target + "/" + rest
	}
	if root+at == "" {
		return "/", nil
	}
	return root + at, nil
}

// readIn reads a small file of an image. What is no plain file, or larger than
// limit, is refused.
func readIn(root, path string, limit int64) ([]byte, error) {
	file, err := resolveIn(root, path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO does not hold us up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s is no plain file of at most %d bytes", path, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
