// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/versity/versitygw/backend/posix"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// List gives the objects whose key begins with u.Key, in the byte order of
// their whole keys. max below 1 is 1000.
//
// The tree is walked in that order: an entry of a folder is put where its name
// says, and where its name and "/" says if it is a folder, so "a-b" comes
// before "a/b" as '-' comes before '/'. A page costs the folders on the way to
// its first key, and what it gives. Folders that have not changed of late are
// remembered sorted, so that going through a large flat one page by page reads
// it once.
func (s *Store) List(ctx context.Context, u object.URI, after string, max int) ([]object.Info, bool, error) {
	if ok, err := s.HasBucket(ctx, u.Bucket); err != nil {
		return nil, false, err
	} else if !ok {
		return nil, false, fmt.Errorf("list %v: %w", u, object.ErrNoBucket)
	}
	if max < 1 {
		max = 1000
	}
	w := walk{ctx: ctx, store: s, bucket: u.Bucket, prefix: u.Key, after: after, max: max}
	_, deletes, err := s.attrs.get(nil, s.attrBucket(u.Bucket), "", versioningAttribute)
	if err != nil {
		return nil, false, fmt.Errorf("list %v: %w", u, err)
	}
	w.deletes = deletes
	// Everything that can match lies in the folder that the prefix leads to.
	folder := u.Key[:strings.LastIndex(u.Key, "/")+1]
	if folder != "" {
		if checkURI(object.URI{Bucket: u.Bucket, Key: folder}) != nil {
			return nil, false, nil // no key can begin so
		}
		err = w.folderObject(folder)
	}
	if err == nil {
		err = w.folder(folder)
	}
	if err != nil && !errors.Is(err, errFull) {
		return nil, false, fmt.Errorf("list %v: %w", u, err)
	}
	return w.page, w.more, nil
}

// attrBucket is how the bucket is called when attributes are read by path and
// without an open file: extended attributes want the file's own path.
func (s *Store) attrBucket(bucket string) string {
	if s.attrs.sidecar != "" {
		return bucket
	}
	return filepath.Join(s.opt.Root, bucket)
}

// errFull ends a walk whose page is full.
var errFull = errors.New("page is full")

// walk gathers one page.
type walk struct {
	ctx           context.Context
	store         *Store
	bucket        string
	prefix, after string
	max           int
	deletes       bool // the bucket may hold delete markers

	page []object.Info
	more bool
}

// path is the file or folder of key.
func (w *walk) path(key string) string {
	return filepath.Join(w.store.opt.Root, w.bucket, filepath.FromSlash(key))
}

// folder walks the folder of the keys that begin with key, which is "" or ends
// in "/". A folder that is not there has no keys.
func (w *walk) folder(key string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := w.store.dirs.read(w.path(key))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names[w.first(key, names):] {
		if key == "" && name == posix.MetaTmpDir+"/" {
			continue
		}
		child := key + name
		if !strings.HasPrefix(child, w.prefix) {
			return nil // sorted, so none that follows has it
		}
		if strings.HasSuffix(name, "/") {
			if err := w.folderObject(child); err != nil {
				return err
			}
			err = w.folder(child)
		} else {
			err = w.file(child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// first is the index of the first of names in the folder key that can hold a
// wanted key.
func (w *walk) first(key string, names []string) int {
	from := ""
	if rest, ok := strings.CutPrefix(w.prefix, key); ok {
		from = rest // has no "/": List begins in the folder of the prefix
	}
	if rest, ok := strings.CutPrefix(w.after, key); ok {
		if slash := strings.Index(rest, "/"); slash >= 0 {
			rest = rest[:slash+1]
		}
		from = max(from, rest)
	}
	i, _ := slices.BinarySearch(names, from)
	return i
}

// add takes an object into the page.
func (w *walk) add(o object.Info) error {
	if len(w.page) == w.max {
		w.more = true
		return errFull
	}
	w.page = append(w.page, o)
	return nil
}

// file adds the object of a file.
func (w *walk) file(key string) error {
	if key <= w.after {
		return nil
	}
	info, err := os.Lstat(w.path(key))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	at := w.store.attrBucket(w.bucket)
	if w.deletes {
		_, deleted, err := w.store.attrs.get(nil, at, key, deletedAttribute)
		if err != nil || deleted {
			return err
		}
	}
	tag, _, err := w.store.attrs.get(nil, at, key, etagAttribute)
	if err != nil {
		return err
	}
	u := object.URI{Bucket: w.bucket, Key: key}
	if tag == "" || strings.HasSuffix(tag, settledSuffix) {
		o, err := w.store.Stat(w.ctx, u)
		if errors.Is(err, object.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.add(o)
	}
	return w.add(infoOf(u, info, tag))
}

// folderObject adds the object that a folder itself is, if it is one.
func (w *walk) folderObject(key string) error {
	if key <= w.after || !strings.HasPrefix(key, w.prefix) {
		return nil
	}
	tag, ok, err := w.store.attrs.get(nil, w.store.attrBucket(w.bucket), key, etagAttribute)
	if err != nil || !ok {
		return err
	}
	info, err := os.Lstat(w.path(key))
	if err != nil || !info.IsDir() {
		return nil
	}
	return w.add(infoOf(object.URI{Bucket: w.bucket, Key: key}, info, tag))
}
