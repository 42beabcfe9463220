// SPDX-License-Identifier: Apache-2.0

package optml

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// The errors of Unpack, besides those of reading and writing.
var (
	// ErrArchive says that the bytes are no tar, gzip'd or plain.
	ErrArchive = errors.New("not a tar archive")
	// ErrName is a name in an archive that leads out of the folder.
	ErrName = errors.New("name leads out of the folder")
	// ErrTooLarge says that the archive holds more than the limit.
	ErrTooLarge = errors.New("archive is larger than allowed")
)

// Limit bounds what Unpack writes. Zero fields do not bound.
type Limit struct {
	Bytes   int64 // of all files together
	Entries int   // files, folders and links
}

// Unpack writes the files of a tar, gzip'd or plain, into the folder dir, which
// must exist. The archive is not trusted: nothing is written outside dir, and
// links may lead only to places inside it. Owners, times and special mode bits
// are not kept; what is neither file, folder nor link is left out.
func Unpack(r io.Reader, dir string, limit Limit) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(2)
	if err != nil {
		return fmt.Errorf("unpack: %w: %w", ErrArchive, err)
	}
	var plain io.Reader = in
	if bytes.Equal(head, []byte{0x1f, 0x8b}) { // RFC 1952
		zip, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("unpack: %w: %w", ErrArchive, err)
		}
		defer zip.Close()
		plain = zip
	}
	if err := unpackTree(tar.NewReader(plain), root, limit); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	// The check sum stands behind the last entry.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return fmt.Errorf("unpack: %w: %w", ErrArchive, err)
	}
	return nil
}

func unpackTree(archive *tar.Reader, root *os.Root, limit Limit) error {
	var written int64
	for entries := 1; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if limit.Entries > 0 && entries > limit.Entries {
			return fmt.Errorf("%w: more than %d entries", ErrTooLarge, limit.Entries)
		}
		name := path.Clean(header.Name)
		// The SDKs' repack_model writes the folder itself as "/".
		if name == "." || name == "/" && header.Typeflag == tar.TypeDir {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%q: %w", header.Name, ErrName)
		}
		if header.Typeflag == tar.TypeReg && limit.Bytes > 0 && header.Size > limit.Bytes-written {
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit.Bytes)
		}
		written += header.Size
		if err := unpackEntry(archive, root, name, header); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
}

// unpackEntry writes one entry. That root cannot be left by links of earlier
// entries is what os.Root is for.
func unpackEntry(archive *tar.Reader, root *os.Root, name string, header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink:
	default:
		return nil
	}
	if err := noLinkAbove(root, name); err != nil {
		return err
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o755)
	}
	// A later entry of the same name replaces the earlier one.
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		// "x/../.." leads elsewhere when x is a link; its clean form does not.
		target := path.Clean(header.Linkname)
		if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
			return fmt.Errorf("→ %q: %w", header.Linkname, ErrLink)
		}
		return root.Symlink(target, name)
	case tar.TypeLink:
		target := path.Clean(header.Linkname)
		if !filepath.IsLocal(target) {
			return fmt.Errorf("→ %q: %w", header.Linkname, ErrLink)
		}
		return root.Link(target, name)
	}
	mode := fs.FileMode(0o644)
	if header.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, archive)
	if _, corrupt := errors.AsType[flate.CorruptInputError](err); corrupt ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) {
		err = fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return errors.Join(err, f.Close())
}

// noLinkAbove refuses a name one of whose folders is a symbolic link: what is
// relative to the name would then be relative to another place.
func noLinkAbove(root *os.Root, name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("below the link %q: %w", dir, ErrLink)
		}
	}
	return nil
}
