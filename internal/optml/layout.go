// SPDX-License-Identifier: Apache-2.0

// Package optml is the /opt/ml directory contract seen from outside the
// container: where things lie, the files that describe a job to its container,
// the archives that its results become.
package optml

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Root is where a container finds the contract.
const Root = "/opt/ml"

// Paths inside the container.
const (
	DataPath        = Root + "/input/data" // a folder for each channel
	ModelPath       = Root + "/model"
	OutputDataPath  = Root + "/output/data"
	CheckpointsPath = Root + "/checkpoints"
	TensorBoardPath = Root + "/output/tensorboard"
)

// Dir is the folder on the host that stands for Root.
type Dir string

// Make makes the folders of a training job.
func (d Dir) Make() error {
	for _, p := range []string{d.config(), d.Channel(""), d.Model(), d.OutputData(), d.Checkpoints(), d.join("code")} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			return fmt.Errorf("make /opt/ml: %w", err)
		}
	}
	return nil
}

func (d Dir) join(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

func (d Dir) config() string { return d.join("input", "config") }

// Channel is the folder of a channel's data.
func (d Dir) Channel(name string) string { return d.join("input", "data", name) }

// Model is the folder that becomes the model artifact.
func (d Dir) Model() string { return d.join("model") }

// OutputData is the folder that becomes output.tar.gz.
func (d Dir) OutputData() string { return d.join("output", "data") }

// Checkpoints is the default place of checkpoints.
func (d Dir) Checkpoints() string { return d.join("checkpoints") }

// maxFailure is how much of the failure file becomes FailureReason, in characters.
const maxFailure = 1024

// Failure is the text that the container left to say why it failed: its first
// 1,024 characters, without blanks around it; "" when there is none. Bytes that
// are no UTF-8 become U+FFFD.
func (d Dir) Failure() string {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return ""
	}
	defer root.Close()
	// The container may have put a link or a pipe there: what is outside is not
	// read, and only a regular file is opened.
	name := filepath.Join("output", "failure")
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxFailure*utf8.UTFMax)) // a part of a reason is better than none
	text := []rune(strings.ToValidUTF8(string(b), "\uFFFD"))
	return strings.TrimSpace(string(text[:min(len(text), maxFailure)]))
}

// Empty reports whether a folder holds no files, at any depth. A missing folder
// is empty.
func Empty(dir string) (bool, error) {
	empty := true
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() {
			empty = false
			return fs.SkipAll
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return empty, err
}

// Remove deletes a folder that a container has written to, whatever modes it
// gave its folders. It follows no links. A missing folder is no error.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// A folder without the owner's rights cannot be emptied.
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // RemoveAll tells what is still in the way
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// Open lets every user write to a folder and all below it, for a container
// that does not run as root. The folders above are closed to other users of the
// machine. Links are left as they are.
func Open(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open up %s: %w", dir, err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o666
		if e.IsDir() {
			mode |= 0o111
		}
		return root.Chmod(name, mode)
	})
}
