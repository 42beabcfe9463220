// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
)

// Attributes of files and folders that the backend writes and this package
// reads. The names are the backend's.
const (
	etagAttribute       = "etag"          // of an object; a folder with one is an object "name/"
	deletedAttribute    = "delete-marker" // of a file whose object is deleted, in a bucket with versions
	versioningAttribute = "versioning"    // of a bucket that has or had versions
)

// unsettledETag is what the backend answers for a file without an ETag whose
// folder does not let us store one.
const unsettledETag = `"00000000000000000000000000000000-0"`

// settledSuffix ends the ETags given to files that came into the tree without
// one. A multipart upload has at least one part, so no other ETag ends so.
const settledSuffix = `-0"`

// attributes keeps what is known of an object beside its bytes: in extended
// attributes of the file or, where there are none, in files of their own.
type attributes struct {
	meta.MetadataStorer
	sidecar string // folder of the attribute files; "" for extended attributes

	// lock keeps a folder of attribute files from being removed, as its last
	// file went, between being made and getting a file. It is held by writers
	// shared and by removers alone.
	lock *sync.RWMutex
}

// StoreAttribute sets an attribute.
func (a attributes) StoreAttribute(f *os.File, bucket, key, name string, value []byte) error {
	if a.sidecar != "" {
		a.lock.RLock()
		defer a.lock.RUnlock()
	}
	return a.MetadataStorer.StoreAttribute(f, bucket, key, name, value)
}

// DeleteAttribute removes an attribute.
func (a attributes) DeleteAttribute(bucket, key, name string) error {
	if a.sidecar != "" {
		a.lock.Lock()
		defer a.lock.Unlock()
	}
	return a.MetadataStorer.DeleteAttribute(bucket, key, name)
}

// DeleteAttributes removes all attributes of an object or a bucket.
func (a attributes) DeleteAttributes(bucket, key string) error {
	if a.sidecar != "" {
		a.lock.Lock()
		defer a.lock.Unlock()
	}
	return a.MetadataStorer.DeleteAttributes(bucket, key)
}

// openAttributes chooses where attributes are kept. A store that has begun
// with files stays with them.
func (s *Store) openAttributes() (attributes, error) {
	dir := s.sidecarDir()
	if _, err := os.Stat(dir); err != nil && !s.opt.Sidecar && hasExtended(s.opt.Root) {
		return attributes{MetadataStorer: meta.XattrMeta{}}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return attributes{}, fmt.Errorf("open object attributes: %w", err)
	}
	files, err := meta.NewSideCar(dir)
	if err != nil {
		return attributes{}, fmt.Errorf("open object attributes: %w", err)
	}
	return attributes{MetadataStorer: files, sidecar: dir, lock: new(sync.RWMutex)}, nil
}

// hasExtended tells whether files in dir can have extended attributes.
func hasExtended(dir string) bool {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return xattr.FSet(f, "user.sagebrush", []byte{1}) == nil
}

// get reads an attribute of the open file f, which holds key of bucket; ok
// tells whether there is one.
func (a attributes) get(f *os.File, bucket, key, name string) (value string, ok bool, err error) {
	b, err := a.RetrieveAttribute(f, bucket, key, name)
	if errors.Is(err, meta.ErrNoSuchKey) || errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read attribute %s of %s/%s: %w", name, bucket, key, err)
	}
	return string(b), true, nil
}

// etag is the ETag, in quotes, of the open file f that holds key of bucket.
//
// A file that was put into the tree by someone else has none; it gets one made
// of its size and times, kept with it so that both doors show the same, and
// made anew when the file has changed since.
func (a attributes) etag(f *os.File, info fs.FileInfo, bucket, key string) (string, error) {
	tag, ok, err := a.get(f, bucket, key, etagAttribute)
	if err != nil {
		return "", err
	}
	if ok && tag != "" && !strings.HasSuffix(tag, settledSuffix) {
		return tag, nil
	}
	want := settledETag(info)
	if tag == want {
		return tag, nil
	}
	if err := a.StoreAttribute(f, bucket, key, etagAttribute, []byte(want)); err != nil {
		return unsettledETag, nil // a file of another user: readable, but not ours to mark
	}
	return want, nil
}

// settledETag is an ETag for a file whose bytes have not been read.
func settledETag(info fs.FileInfo) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(info.Size()))
	b = binary.BigEndian.AppendUint64(b, uint64(info.ModTime().UnixNano()))
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + settledSuffix
}
