// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	rootName  = "rootfs"
	stampName = "image.json" // in the folder of an image: the Image; it is written last
	namesName = "names"      // folder of what URIs stood for when they were unpacked
)

// folder is where an image of a digest is unpacked.
func (s *Store) folder(digest string) string {
	return filepath.Join(s.opt.Dir, strings.ReplaceAll(digest, ":", "-"))
}

// Unpack makes the image a folder of files and tells where that is. The folder
// must not be written to: all that use the image share it. An image that is
// unpacked already costs nothing; one that another caller is unpacking is
// waited for. What is done is told on progress, line by line.
//
// Errors: runtime.ErrUnprepared for an image that is damaged or exceeds a limit.
func (s *Store) Unpack(ctx context.Context, im Image, progress io.Writer) (rootfs string, err error) {
	dir := s.folder(im.Digest)
	for {
		if unpacked(dir) {
			return filepath.Join(dir, rootName), s.remember(im)
		}
		free, mine := s.claim(im.Digest)
		if mine {
			break
		}
		fmt.Fprintf(progress, "image %s is being unpacked by another job\n", im.URI)
		select {
		case <-free:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	defer s.release(im.Digest)
	if unpacked(dir) { // between the look and the claim
		return filepath.Join(dir, rootName), s.remember(im)
	}
	if err := s.build(ctx, im, dir, progress); err != nil {
		return "", fmt.Errorf("unpack image %s: %w", im.URI, err)
	}
	return filepath.Join(dir, rootName), s.remember(im)
}

// claim takes the unpacking of a digest, or tells when another's ends.
func (s *Store) claim(digest string) (free <-chan struct{}, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.busy[digest]; ok {
		return c, false
	}
	s.busy[digest] = make(chan struct{})
	return nil, true
}

func (s *Store) release(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[digest])
	delete(s.busy, digest)
}

func unpacked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, stampName))
	return err == nil
}

// build unpacks beside and renames.
func (s *Store) build(ctx context.Context, im Image, dir string, progress io.Writer) (err error) {
	began := time.Now()
	tmp, err := os.MkdirTemp(s.opt.Dir, tempPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil { // MkdirTemp lets nobody else in
		return err
	}
	if err := os.Mkdir(filepath.Join(tmp, rootName), 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Join(tmp, rootName))
	if err != nil {
		return err
	}
	defer root.Close()
	t := newTree(root, s.opt.MaxBytes, s.opt.MaxEntries)
	for i, l := range im.layers {
		fmt.Fprintf(progress, "unpack layer %d of %d of %s (%.1f MB)\n", i+1, len(im.layers), im.URI, float64(l.size)/1e6)
		if err := t.apply(ctx, l); err != nil {
			return fmt.Errorf("layer %d of %d: %w", i+1, len(im.layers), err)
		}
	}
	if err := t.finish(); err != nil {
		return err
	}
	text, err := json.Marshal(im)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, stampName), text, 0o644); err != nil {
		return err
	}
	if err := removeTree(dir); err != nil { // one without its stamp
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	fmt.Fprintf(progress, "unpacked image %s: %d files and folders, %.1f MB, in %.1f s\n", im.URI, t.entries, float64(t.bytes)/1e6, time.Since(began).Seconds())
	s.opt.Log.Info("image unpacked", "image", im.URI, "digest", im.Digest, "entries", t.entries, "bytes", t.bytes, "dur", time.Since(began))
	return nil
}

// removeTree is os.RemoveAll, also of folders that their owner may not write to.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// remember notes which digest a URI stood for.
func (s *Store) remember(im Image) error {
	file := s.nameFile(im.URI)
	if old, err := os.ReadFile(file); err == nil && string(old) == im.Digest {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("note the digest of image %s: %w", im.URI, err)
	}
	if err := os.WriteFile(file, []byte(im.Digest), 0o644); err != nil {
		return fmt.Errorf("note the digest of image %s: %w", im.URI, err)
	}
	return nil
}

func (s *Store) nameFile(uri string) string {
	sum := sha256.Sum256([]byte(uri))
	return filepath.Join(s.opt.Dir, namesName, hex.EncodeToString(sum[:]))
}

// recall finds what a URI stood for, if that is still unpacked.
func (s *Store) recall(uri string) (Image, bool) {
	d, err := os.ReadFile(s.nameFile(uri))
	if err != nil || !strings.HasPrefix(string(d), "sha256:") {
		return Image{}, false
	}
	text, err := os.ReadFile(filepath.Join(s.folder(string(d)), stampName))
	if err != nil {
		return Image{}, false
	}
	var im Image
	if err := json.Unmarshal(text, &im); err != nil || im.Digest != string(d) {
		return Image{}, false
	}
	im.URI = uri
	return im, true
}
