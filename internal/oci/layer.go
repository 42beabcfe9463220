// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// apply unpacks one layer over those below, and checks what was read against
// the layer's digests.
func (t *tree) apply(ctx context.Context, l layer) error {
	stored, err := newChecked(l.digest)
	if err != nil {
		return err
	}
	plain, err := newChecked(l.diffID)
	if err != nil {
		return err
	}
	raw, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer raw.Close()
	src := &sourceReader{ctx: ctx, r: raw}
	in := io.TeeReader(src, stored)
	r, end, err := decompress(in)
	if err != nil {
		return src.blame(err)
	}
	defer end()
	// What a layer unpacks to is bounded, whatever its headers say: a header and
	// the padding of a file take no more than two blocks and its names.
	bounded := &io.LimitedReader{R: r, N: t.maxBytes - t.bytes + 1<<20 + (t.maxEntries-t.entries)*4096}
	out := io.TeeReader(bounded, plain)
	if err := t.unpack(out); err != nil {
		return src.blame(err)
	}
	// The digests are of all bytes, also those behind the end of the tar.
	if _, err := io.Copy(io.Discard, out); err != nil {
		return src.blame(damaged("it cannot be read: %v", err))
	}
	if bounded.N <= 0 {
		return damaged("it unpacks to more than the limit of %d bytes", t.maxBytes)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return src.blame(err)
	}
	if err := stored.check(); err != nil {
		return err
	}
	return plain.check()
}

// checked hashes what is written to it.
type checked struct {
	hash.Hash
	want digest.Digest
}

func newChecked(want string) (checked, error) {
	d := digest.Digest(want)
	if want == "" {
		return checked{Hash: digest.Canonical.Hash()}, nil
	}
	if err := d.Validate(); err != nil {
		return checked{}, damaged("it is named by %q: %v", want, err)
	}
	return checked{d.Algorithm().Hash(), d}, nil
}

func (c checked) check() error {
	if c.want == "" {
		return nil
	}
	if got := digest.NewDigest(c.want.Algorithm(), c.Hash); got != c.want {
		return damaged("it should have the digest %s and has %s", c.want, got)
	}
	return nil
}

// sourceReader reads a layer from where it is, until ctx ends, and remembers
// what went wrong there.
type sourceReader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// blame tells whose fault it is that a layer could not be unpacked: that of ctx,
// of the source, which may do better another time, or of the layer.
func (s *sourceReader) blame(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case s.err != nil && strings.Contains(s.err.Error(), "error verifying "): // go-containerregistry's own check of the digest
		return damaged("%v", s.err)
	case s.err != nil:
		return fmt.Errorf("fetch: %w", s.err)
	}
	return err
}

// maxWindow bounds the memory that a zstd layer may ask for, as its own tool
// does by default.
const maxWindow = 128 << 20

// decompress tells gzip, zstd and plain tar by their first bytes, since media
// types do not always tell the truth.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, damaged("it cannot be read: %v", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, damaged("it is not whole: %v", err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, damaged("it is not whole: %v", err)
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// The names by which a layer says that something below is gone. Source: the OCI
// image specification, "Image Layer Filesystem Changeset".
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// unpack unpacks a tar.
func (t *tree) unpack(r io.Reader) error {
	t.made, t.last, t.lastAt = map[string]bool{}, "", ""
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged("it cannot be read: %v", err)
		}
		if t.entries++; t.entries > t.maxEntries {
			return damaged("the image has more than the limit of %d files", t.maxEntries)
		}
		if h.Size < 0 || h.Size > t.maxBytes-t.bytes {
			return damaged("the image has more than the limit of %d bytes", t.maxBytes)
		}
		if err := t.entry(h, in); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

// entry makes or removes one file.
func (t *tree) entry(h *tar.Header, content io.Reader) error {
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	a := attributesOf(h)
	if name == "." {
		if h.Typeflag == tar.TypeDir {
			t.dirs["."] = a
		}
		return nil
	}
	if base := path.Base(name); strings.HasPrefix(base, whiteout) {
		return t.white(path.Dir(name), base)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock:
		// A task gets its /dev from the runtime, and nodes for real devices have
		// no business in a folder of the host. A character device 0:0 is how
		// overlayfs says that a file is gone.
		if h.Typeflag == tar.TypeBlock || h.Devmajor != 0 || h.Devminor != 0 {
			return nil
		}
	}
	at, err := t.place(name, true)
	if err != nil {
		return entryError(err)
	}
	if h.Typeflag == tar.TypeDir {
		return entryError(t.dir(at, a))
	}
	if err := t.remove(at); err != nil {
		return entryError(err)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		err = t.file(at, a, h.Size, content)
	case tar.TypeSymlink:
		if err = t.root.Symlink(h.Linkname, at); err == nil && t.owners {
			err = t.root.Lchown(at, a.uid, a.gid)
		}
	case tar.TypeLink:
		err = t.link(h.Linkname, at)
	case tar.TypeFifo:
		err = t.fifo(at, a)
	case tar.TypeChar:
		return nil
	default:
		return damaged("files of type %q are not known", string(h.Typeflag))
	}
	if err != nil {
		return entryError(err)
	}
	t.note(at)
	return nil
}

// entryError says of what no file system would make that the layer is to blame,
// and leaves a full disk and the like as they are.
func entryError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrInvalid) || isName(err) {
		return damaged("%v", err)
	}
	return err
}

func attributesOf(h *tar.Header) attributes {
	a := attributes{mode: h.FileInfo().Mode(), uid: h.Uid, gid: h.Gid, modified: h.ModTime}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || name != "security.capability" && !strings.HasPrefix(name, "user.") {
			continue
		}
		if a.extended == nil {
			a.extended = map[string]string{}
		}
		a.extended[name] = value
	}
	return a
}

// white hides what is below: one file, or all of a folder.
func (t *tree) white(dir, base string) error {
	at, err := t.follow(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return entryError(err)
	}
	if base == opaque {
		return t.hide(at)
	}
	gone := strings.TrimPrefix(base, whiteout)
	switch {
	case gone == "" || gone == "." || gone == "..":
		return damaged("the whiteout %q names nothing", base)
	case strings.HasPrefix(gone, whiteout):
		return nil // what an old storage driver noted for itself
	case t.made[path.Join(at, gone)]:
		return nil // a whiteout is about the layers below
	}
	return t.remove(path.Join(at, gone))
}

// dir makes a folder, or gives one that is there other attributes.
func (t *tree) dir(at string, a attributes) error {
	info, err := t.root.Lstat(at)
	if err == nil && info.IsDir() {
		t.dirs[at] = a
		t.note(at)
		return nil
	}
	if err := t.remove(at); err != nil {
		return err
	}
	return t.mkdir(at, a)
}

// file writes a regular file.
func (t *tree) file(at string, a attributes, size int64, content io.Reader) error {
	f, err := t.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	if t.bytes += n; err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		f.Close()
		if _, full := errors.AsType[*fs.PathError](err); full { // our writing, not the layer's reading
			return err
		}
		return damaged("it cannot be read: %v", err)
	}
	err = t.dress(f, a)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return t.root.Chtimes(at, a.modified, a.modified)
}

// link makes a hard link to a file that is there.
func (t *tree) link(to, at string) error {
	name, err := clean(to)
	if err != nil {
		return err
	}
	if name == "." {
		return damaged("it is a link to the root")
	}
	target, err := t.follow(path.Dir(name), false)
	if err != nil {
		return err
	}
	target = path.Join(target, path.Base(name))
	if info, err := t.root.Lstat(target); err != nil {
		return err
	} else if info.IsDir() {
		return damaged("it is a link to the folder %q", to)
	}
	return t.root.Link(target, at)
}
