// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// ownName is the folder, in a task's, of all that the task writes and that
// goes with it:
//
//	own/tmp            /tmp, where the root is the machine's
//	own/image          the layer over the image, or a copy of it
//	own/scratch-<n>    the same for the n-th mount
//	own/hosts, ...     files of /etc
const ownName = "own"

func (d taskDir) own(name string) string { return d.path(filepath.Join(ownName, name)) }

// writable makes that source can be written to without being changed: by a
// layer over it, or where the machine allows no such thing by a copy of it.
func (p *parent) writable(source, name string) (mount, error) {
	info, err := os.Stat(source)
	if err != nil {
		return mount{}, err
	}
	if !info.IsDir() {
		return mount{}, errors.New("it is no folder")
	}
	dir := p.dir.own(name)
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return mount{}, err
	}
	if !p.spec.Overlay {
		to := filepath.Join(dir, "copy")
		err := copyTree(source, to, func() bool { return p.dir.has("stop.json") })
		return mount{Mount: runtime.Mount{Source: to}}, err
	}
	// The folder that the task sees has the mode of the layer's.
	upper := filepath.Join(dir, "upper")
	if err := os.Mkdir(upper, 0o700); err != nil && !os.IsExist(err) {
		return mount{}, err
	}
	if err := likeness(upper, info); err != nil {
		return mount{}, err
	}
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o700); err != nil && !os.IsExist(err) {
		return mount{}, err
	}
	return mount{Mount: runtime.Mount{Source: source}, Layer: dir}, nil
}

// likeness gives path the owner, mode and time of info, as far as the user may.
func likeness(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	if err := os.Chmod(path, info.Mode()); err != nil { // after chown, which takes the set-ID bits away
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}

// errStopped says that a copy was given up.
var errStopped = errors.New("stopped")

// copyTree copies the folder from to to, which must not be there: folders,
// plain files (sharing their blocks where the file system can), symbolic and
// hard links, with owners, modes and times. Devices, sockets and pipes are left
// out. It gives up with errStopped when stop says so.
func copyTree(from, to string, stop func() bool) error {
	linked := map[inode]string{}
	type folder struct {
		path string
		info fs.FileInfo
	}
	var folders []folder
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		out := filepath.Join(to, path[len(from):])
		switch {
		case e.IsDir():
			if stop() {
				return errStopped
			}
			folders = append(folders, folder{out, info})
			return os.Mkdir(out, 0o700)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, out); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			st, ok := info.Sys().(*syscall.Stat_t)
			if ok && st.Nlink > 1 {
				key := identityOf(info)
				if first, ok := linked[key]; ok {
					return os.Link(first, out)
				}
				linked[key] = out
			}
			if err := copyFile(path, out); err != nil {
				return fmt.Errorf("copy %s: %w", path, err)
			}
		default:
			return nil
		}
		return likeness(out, info)
	})
	if err != nil {
		return err
	}
	for i := len(folders) - 1; i >= 0; i-- { // last: their modes may forbid writing, and their times change by it
		if err := likeness(folders[i].path, folders[i].info); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if !cloneFile(dst, src) {
		_, err = io.Copy(dst, src)
	}
	return errors.Join(err, dst.Close())
}

// removeTree deletes what a task left, which may be folders that their owner
// cannot enter.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // before WalkDir reads it: it calls us first
		}
		return nil
	})
	return os.RemoveAll(path)
}
