// SPDX-License-Identifier: Apache-2.0

package optml

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// ErrLink is a symbolic link that leads out of the folder to pack or unpack.
var ErrLink = errors.New("symbolic link leads out of the folder")

// Pack writes the contents of the folder dir as a gzip'd tar: names relative to
// dir, in the order of names, without times and owners, so that equal trees
// give equal bytes. A missing or empty folder gives an empty archive.
//
// The folder was written by code that is not trusted: nothing outside it is
// read. Symbolic links stay links; at is where the container saw dir, and
// absolute links below it become relative ones. A link that leads elsewhere is
// ErrLink. Pipes, sockets and devices are left out.
func Pack(w io.Writer, dir, at string) error {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // models hardly shrink; the user waits
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(zip, 1<<16)
	archive := tar.NewWriter(buffered)
	if err := packTree(archive, dir, at); err != nil {
		return fmt.Errorf("pack %s: %w", at, err)
	}
	return errors.Join(archive.Close(), buffered.Flush(), zip.Close())
}

func packTree(archive *tar.Writer, dir, at string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: name, ModTime: time.Unix(0, 0), Mode: 0o644}
		switch {
		case info.IsDir():
			header.Typeflag, header.Mode = tar.TypeDir, 0o755
			header.Name += "/"
		case info.Mode()&fs.ModeSymlink != 0:
			header.Typeflag = tar.TypeSymlink
			if header.Linkname, err = linkTarget(root, name, at); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			header.Typeflag, header.Size = tar.TypeReg, info.Size()
			if info.Mode()&0o111 != 0 {
				header.Mode = 0o755
			}
		default:
			return nil
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if header.Typeflag != tar.TypeReg {
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.CopyN(archive, f, header.Size); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// linkTarget is the relative target of the link name, or ErrLink.
func linkTarget(root *os.Root, name, at string) (string, error) {
	target, err := root.Readlink(name)
	if err != nil {
		return "", err
	}
	if filepath.IsAbs(target) {
		inside, ok := strings.CutPrefix(path.Clean(target), at+"/")
		if !ok {
			return "", fmt.Errorf("%s → %s: %w", name, target, ErrLink)
		}
		if target, err = filepath.Rel(path.Dir(name), inside); err != nil {
			return "", err
		}
	}
	if !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return "", fmt.Errorf("%s → %s: %w", name, target, ErrLink)
	}
	return target, nil
}

// Files calls visit for each regular file below dir with its slash-separated
// path relative to dir, in the order of names. Only files inside dir are
// opened; links are left out. A missing folder has no files.
func Files(dir string, visit func(name string, f *os.File) error) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return visit(name, f)
	})
}
