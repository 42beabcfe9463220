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
	l := lister{ctx: ctx, store: s, bucket: u.Bucket, max: max}
	_, deletes, err := s.attrs.get(nil, s.attrBucket(u.Bucket), "", versioningAttribute)
	if err != nil {
		return nil, false, fmt.Errorf("list %v: %w", u, err)
	}
	l.deletes = deletes
	w := walk{ctx: ctx, store: s, bucket: u.Bucket, prefix: u.Key, after: after, file: l.file, folder: l.folder}
	if err := w.run(); err != nil && !errors.Is(err, errFull) {
		return nil, false, fmt.Errorf("list %v: %w", u, err)
	}
	return l.page, l.more, nil
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

// walk goes through the keys of a bucket that begin with prefix, in byte order.
// It calls for those that come after a key; what a call returns ends it.
type walk struct {
	ctx    context.Context
	store  *Store
	bucket string

	prefix, after string
	delimiter     string // keys that hold it behind prefix are told as one, up to it; "" for none

	file   func(key string) error
	folder func(key string) error // which ends in "/" and may be an object
	common func(prefix string) error

	last string // what common was told last
}

// run walks. Everything that can match lies in the folder that the prefix leads
// to.
func (w *walk) run() error {
	folder := w.prefix[:strings.LastIndex(w.prefix, "/")+1]
	if folder != "" {
		if checkURI(object.URI{Bucket: w.bucket, Key: folder}) != nil {
			return nil // no key can begin so
		}
		if err := w.tellFolder(folder); err != nil {
			return err
		}
	}
	return w.walk(folder)
}

// walk walks the folder of the keys that begin with key, which is "" or ends in
// "/". A folder that is not there has no keys.
func (w *walk) walk(key string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := w.store.dirs.read(w.store.path(w.bucket, key))
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
		common, rolled := w.rolled(child)
		switch {
		case rolled:
			// What follows with the same prefix follows at once.
			if common > w.after && common != w.last {
				w.last = common
				err = w.common(common)
			}
		case strings.HasSuffix(name, "/"):
			if err := w.tellFolder(child); err != nil {
				return err
			}
			err = w.walk(child)
		case child > w.after:
			err = w.file(child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rolled is what the key is told as, if it holds the delimiter.
func (w *walk) rolled(key string) (string, bool) {
	if w.delimiter == "" {
		return "", false
	}
	at := strings.Index(key[len(w.prefix):], w.delimiter)
	if at < 0 {
		return "", false
	}
	return key[:len(w.prefix)+at+len(w.delimiter)], true
}

// tellFolder tells of a folder that may be wanted.
func (w *walk) tellFolder(key string) error {
	if key <= w.after || !strings.HasPrefix(key, w.prefix) {
		return nil
	}
	return w.folder(key)
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

// lister gathers one page of objects.
type lister struct {
	ctx     context.Context
	store   *Store
	bucket  string
	max     int
	deletes bool // the bucket may hold delete markers

	page []object.Info
	more bool
}

// path is the file or folder of key.
func (s *Store) path(bucket, key string) string {
	return filepath.Join(s.opt.Root, bucket, filepath.FromSlash(key))
}

// add takes an object into the page.
func (l *lister) add(o object.Info) error {
	if len(l.page) == l.max {
		l.more = true
		return errFull
	}
	l.page = append(l.page, o)
	return nil
}

// file adds the object of a file.
func (l *lister) file(key string) error {
	info, err := os.Lstat(l.store.path(l.bucket, key))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	at := l.store.attrBucket(l.bucket)
	if l.deletes {
		_, deleted, err := l.store.attrs.get(nil, at, key, deletedAttribute)
		if err != nil || deleted {
			return err
		}
	}
	tag, _, err := l.store.attrs.get(nil, at, key, etagAttribute)
	if err != nil {
		return err
	}
	u := object.URI{Bucket: l.bucket, Key: key}
	if tag == "" || strings.HasSuffix(tag, settledSuffix) {
		o, err := l.store.Stat(l.ctx, u)
		if errors.Is(err, object.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return l.add(o)
	}
	return l.add(infoOf(u, info, tag))
}

// folder adds the object that a folder itself is, if it is one.
func (l *lister) folder(key string) error {
	tag, ok, err := l.store.attrs.get(nil, l.store.attrBucket(l.bucket), key, etagAttribute)
	if err != nil || !ok {
		return err
	}
	info, err := os.Lstat(l.store.path(l.bucket, key))
	if err != nil || !info.IsDir() {
		return nil
	}
	return l.add(infoOf(object.URI{Bucket: l.bucket, Key: key}, info, tag))
}
