// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Place is where the objects of a source go.
type Place struct {
	Links  string // folder on the host for links to the objects' files; not there yet
	Copies string // folder on the host for copies, which the container sees at Target already
	Target string // path inside the container
	Own    bool   // the container must have files of its own, to change them: always copied
}

// Stage puts the source's objects where the container finds them. Where they
// are files of this machine already, nothing is copied: the answer is then a
// mount that shows them, else nil.
//
// Both ways of showing files of the store are safe for the job. The store never
// writes to a file in place but renames a new one over it, so a hard link is
// the object as it was when the job began, whatever is put there meanwhile. A
// folder that is mounted shows each object whole, old or new. And they are safe
// for the store, because the mount is read-only: the container, which may run
// as the same user, cannot write through the link into the object.
func (m Mover) Stage(ctx context.Context, s Source, at Place) (*runtime.Mount, error) {
	items, err := m.Items(ctx, s)
	if err != nil {
		return nil, err
	}
	local, isLocal := m.Objects.(object.Local)
	if isLocal && !s.Gzip && !at.Own && len(items) > 0 {
		u, err := object.ParseURI(s.URI)
		if err != nil {
			return nil, BadData("%w", err)
		}
		if s.Type != ManifestFile && s.Parts <= 1 && u.Key != "" {
			if folder := wholeFolder(ctx, local, u, items); folder != "" {
				return &runtime.Mount{Source: folder, Target: at.Target, ReadOnly: true}, nil
			}
		}
		switch err := Link(ctx, local, items, at.Links); {
		case err == nil:
			return &runtime.Mount{Source: at.Links, Target: at.Target, ReadOnly: true}, nil
		case !errors.Is(err, errNoLink):
			return nil, err
		}
		if err := optml.Remove(at.Links); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(at.Copies, 0o755); err != nil { // a host without a share has an empty folder
		return nil, err
	}
	for _, it := range items {
		if s.Gzip {
			it.Name = strings.TrimSuffix(it.Name, ".gz")
		}
		if err := m.copyItem(ctx, it, at.Copies, s.Gzip); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Place puts items into dir under their names: as links to the objects' files
// where they are files of this machine, else as copies.
func (m Mover) Place(ctx context.Context, items []Item, dir string) error {
	local, isLocal := m.Objects.(object.Local)
	for i, it := range items {
		err := errNoLink
		if isLocal {
			err = Link(ctx, local, items[i:i+1], dir)
		}
		if errors.Is(err, errNoLink) {
			err = m.copyItem(ctx, it, dir, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Copy copies the objects below a prefix into dir, under the names that Items
// gives them. No objects are no error.
func (m Mover) Copy(ctx context.Context, u object.URI, dir string) error {
	items, err := m.below(ctx, u)
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := m.copyItem(ctx, it, dir, false); err != nil {
			return err
		}
	}
	return nil
}

// wholeFolder is the host's folder that shows exactly the items, or "". It is
// so when the prefix is a folder and nothing else lies in it: no objects beside
// it whose keys begin alike, no deleted versions, no links.
func wholeFolder(ctx context.Context, local object.Local, u object.URI, items []Item) string {
	prefix := strings.TrimSuffix(u.Key, "/") + "/"
	names := make(map[string]bool, len(items))
	for _, it := range items {
		if it.URI.Key != prefix+it.Name {
			return ""
		}
		names[it.Name] = true
	}
	file, err := local.Path(ctx, items[0].URI)
	if err != nil {
		return ""
	}
	folder, ok := strings.CutSuffix(file, string(filepath.Separator)+filepath.FromSlash(items[0].Name))
	if !ok || !filepath.IsAbs(folder) {
		return ""
	}
	found := 0
	err = filepath.WalkDir(folder, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(folder, p)
		if err != nil || !e.Type().IsRegular() || !names[filepath.ToSlash(rel)] {
			return errors.Join(err, errOther)
		}
		found++
		return ctx.Err()
	})
	if err != nil || found != len(names) {
		return ""
	}
	return folder
}

var (
	errOther  = errors.New("the folder holds something else")
	errNoLink = errors.New("objects cannot be linked here")
)

// Link makes hard links to the objects' files in dir, under the items' names.
// Where the file systems do not allow that, the error is errNoLink.
func Link(ctx context.Context, local object.Local, items []Item, dir string) error {
	made := map[string]bool{}
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, err := local.Path(ctx, it.URI)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(it.Name))
		if parent := filepath.Dir(to); !made[parent] {
			if err := makeParent(to); err != nil {
				return err
			}
			made[parent] = true
		}
		if err := os.Link(from, to); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return sameName(it)
			}
			return fmt.Errorf("%w: %w", errNoLink, err)
		}
	}
	return nil
}

func sameName(it Item) error {
	return BadData("the key %q would be the file %q, which another key is already", it.URI.Key, it.Name)
}

// makeParent makes the folders of a file. Where a key is a file and another
// key wants it as a folder, S3 has both and a file system cannot.
func makeParent(file string) error {
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if errors.Is(err, syscall.ENOTDIR) {
		return BadData("%s is the name of a file and of a folder", filepath.Base(filepath.Dir(file)))
	}
	return err
}

// copyItem copies one object into dir.
func (m Mover) copyItem(ctx context.Context, it Item, dir string, gzipped bool) (err error) {
	to := filepath.Join(dir, filepath.FromSlash(it.Name))
	if err := makeParent(to); err != nil {
		return err
	}
	r, err := m.Objects.Open(ctx, it.URI, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	var in io.Reader = r
	if gzipped {
		zip, err := gzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return BadData("%s is not compressed with gzip: %w", it.URI, err)
		}
		defer zip.Close()
		in = zip
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return sameName(it)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	if gzipped && (errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = BadData("%s is damaged: %w", it.URI, err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", it.URI, err)
	}
	return nil
}
