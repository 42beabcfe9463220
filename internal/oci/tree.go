// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is a folder into which layers are unpacked. All access goes through an
// os.Root, which lets nothing out; on top of it names are followed as they
// would be inside the image, where a link to "/run" means the image's own.
type tree struct {
	root   *os.Root
	owners bool // we are root: files keep their owners

	maxBytes, maxEntries int64
	bytes, entries       int64

	dirs map[string]attributes // of folders, set when all is there: until then we must be able to write
	made map[string]bool       // paths that the layer in work has made, and the folders above them

	last, lastAt string // the folder resolved last
}

// attributes are what a tar tells of a file beside its bytes.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
	modified time.Time
	extended map[string]string
}

func newTree(root *os.Root, maxBytes, maxEntries int64) *tree {
	return &tree{root: root, owners: os.Geteuid() == 0, maxBytes: maxBytes, maxEntries: maxEntries,
		dirs: map[string]attributes{".": {mode: 0o755}}}
}

// maxLinks is how many symbolic links a name may lead through, as on Linux.
const maxLinks = 40

// clean is a name in a layer as a relative path: "./a" and "/a" are "a", the
// root itself is ".". A name that goes up is refused.
func clean(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", damaged("the name %q leads out of the image", name)
	}
	if strings.ContainsRune(name, 0) {
		return "", damaged("the name %q has a zero byte", name)
	}
	return path.Clean(strings.TrimLeft(name, "/") + "/."), nil
}

// place follows the folders of a clean name to where they lead inside the
// image, and answers a path without symbolic links but perhaps in its last
// part. Folders that are missing are made, if make is set.
func (t *tree) place(name string, mk bool) (string, error) {
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if t.last == dir && t.lastAt != "" {
		return path.Join(t.lastAt, base), nil
	}
	at, err := t.follow(dir, mk)
	if err != nil {
		return "", err
	}
	t.last, t.lastAt = dir, at
	return path.Join(at, base), nil
}

// follow resolves a path of folders, all of its parts.
func (t *tree) follow(dir string, mk bool) (string, error) {
	todo := strings.Split(dir, "/")
	at := "."
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at) // "." stays: above the root is the root
			continue
		}
		next := path.Join(at, part)
		info, err := t.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && mk:
			if err := t.mkdir(next, attributes{mode: 0o755}); err != nil {
				return "", err
			}
			at = next
		case err != nil:
			return "", err
		case info.IsDir():
			at = next
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return "", damaged("the name %q leads through more than %d links", dir, maxLinks)
			}
			to, err := t.root.Readlink(next)
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(to, "/") {
				at = "."
			}
			todo = append(strings.Split(to, "/"), todo...)
		default:
			return "", damaged("%q is a file and is used as a folder", next)
		}
	}
	return at, nil
}

func (t *tree) mkdir(at string, a attributes) error {
	if err := t.root.Mkdir(at, 0o700); err != nil {
		return err
	}
	t.dirs[at] = a
	t.note(at)
	return nil
}

// note remembers that the layer in work has made something.
func (t *tree) note(at string) {
	for ; at != "." && !t.made[at]; at = path.Dir(at) {
		t.made[at] = true
	}
}

// remove removes what is at a path, if anything is.
func (t *tree) remove(at string) error {
	if at == "." {
		return damaged("it removes the root")
	}
	info, err := t.root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // it may be what the last name led through
		t.last, t.lastAt = "", ""
	}
	return t.root.RemoveAll(at)
}

// hide removes what the layers below have in a folder.
func (t *tree) hide(dir string) error {
	f, err := t.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		switch {
		case t.made[at] && e.IsDir():
			err = t.hide(at)
		case !t.made[at]:
			err = t.remove(at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish gives the folders their attributes, what is below first.
func (t *tree) finish() error {
	paths := make([]string, 0, len(t.dirs))
	for at := range t.dirs {
		paths = append(paths, at)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(b, a) })
	for _, at := range paths {
		info, err := t.root.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			continue // another layer has removed it
		}
		if err != nil {
			return err
		}
		a := t.dirs[at]
		f, err := t.root.Open(at)
		if err != nil {
			return err
		}
		err = t.dress(f, a)
		f.Close()
		if err != nil {
			return fmt.Errorf("finish %q: %w", at, err)
		}
		if !a.modified.IsZero() {
			if err := t.root.Chtimes(at, a.modified, a.modified); err != nil {
				return fmt.Errorf("finish %q: %w", at, err)
			}
		}
	}
	return nil
}

// dress gives an open file or folder its owner, mode and extended attributes,
// in the order in which none undoes another: a new owner clears the bits of
// setuid and the capabilities.
func (t *tree) dress(f *os.File, a attributes) error {
	if t.owners {
		if err := f.Chown(a.uid, a.gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(a.mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
		return err
	}
	for name, value := range a.extended {
		setExtended(f, name, value)
	}
	return nil
}
