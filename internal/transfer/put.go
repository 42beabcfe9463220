// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
)

// PutArchive packs a folder, which the container sees at a path, into an object
// without a copy in between. A link that leads out of the folder is a *DataError.
func (m Mover) PutArchive(ctx context.Context, dir, at string, to object.URI) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := optml.Pack(w, dir, at)
		w.CloseWithError(err) // Put must not take half an archive for a whole
		packed <- err
	}()
	_, err := m.Objects.Put(ctx, to, r)
	r.CloseWithError(context.Canceled) // lets Pack end when Put did not read all
	packErr := <-packed
	if errors.Is(packErr, optml.ErrLink) {
		return BadData("%w", packErr)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", to, err)
	}
	if packErr != nil {
		return fmt.Errorf("upload %s: %w", to, packErr)
	}
	return nil
}

// PutFiles writes the files of a folder below a prefix. Links are left out.
func (m Mover) PutFiles(ctx context.Context, dir string, to object.URI) error {
	return optml.Files(dir, func(name string, f *os.File) error {
		if _, err := m.Objects.Put(ctx, to.Join(name), f); err != nil {
			return fmt.Errorf("upload %s: %w", to.Join(name), err)
		}
		return nil
	})
}

// merging ends the name of a file that Merge has not finished.
const merging = ".merging"

// Merge copies the files of the other folders into dir, so that
// several hosts' results are one. Of files with one name the first stays.
// Called again it changes nothing.
func Merge(dir string, others []string) error {
	into, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("merge into %s: %w", dir, err)
	}
	defer into.Close()
	for _, other := range others {
		err := optml.Files(other, func(name string, f *os.File) error {
			if d := filepath.Dir(name); d != "." {
				if err := into.MkdirAll(d, 0o755); err != nil {
					return err
				}
			}
			if _, err := into.Lstat(name); err == nil {
				return nil
			}
			// Renamed into place: half a file must not be taken for the first.
			out, err := into.OpenFile(name+merging, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, f)
			if err := errors.Join(err, out.Close()); err != nil {
				return err
			}
			return into.Rename(name+merging, name)
		})
		if err != nil {
			return fmt.Errorf("merge %s: %w", other, err)
		}
	}
	return nil
}
