// SPDX-License-Identifier: Apache-2.0

// Package toolkit holds the Python programs that run users' scripts in training
// and serving containers, as AWS's framework images do. docs/script-mode.md
// tells what a script sees.
//
// A container needs the folder that Install makes on PYTHONPATH and its bin
// folder in PATH, both read-only, and then runs
//
//	python3 -m sagebrush_toolkit.train   for "train"
//	python3 -m sagebrush_toolkit.serve   for "serve"
//	smspark-submit ...                   for Spark applications
//
// They need Python 3.9 or newer and its standard library. SAGEBRUSH_FRAMEWORK
// says what stands around the user's functions: sklearn, xgboost, pytorch,
// tensorflow, huggingface or python.
package toolkit

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed all:python
var files embed.FS

// Bin is the folder with programs in the folder that Install tells.
const Bin = "bin"

// Install writes the programs into a folder below dir whose name tells their
// content, and answers its path: the one that goes on PYTHONPATH. What is there
// already is left as it is, so that containers of an older server keep theirs.
// The folder appears whole or not at all, also when several install at once.
// dir is made if it is missing.
func Install(dir string) (string, error) {
	all, err := list()
	if err != nil {
		return "", fmt.Errorf("read the embedded toolkit: %w", err)
	}
	target := filepath.Join(dir, "toolkit-"+digest(all))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install the script toolkit: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, ".toolkit-*")
	if err != nil {
		return "", fmt.Errorf("install the script toolkit: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := write(tmp, all); err != nil {
		return "", fmt.Errorf("install the script toolkit: %w", err)
	}
	if err := os.Rename(tmp, target); err != nil {
		// Another one was first: the name says that it is the same.
		if _, there := os.Stat(target); there == nil {
			return target, nil
		}
		return "", fmt.Errorf("install the script toolkit: %w", err)
	}
	return target, nil
}

// file is one file of the toolkit: its slash-separated path and its content.
type file struct {
	name string
	data []byte
}

// list gives all files in the order of their names.
func list() ([]file, error) {
	var all []file
	err := fs.WalkDir(files, "python", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == "__pycache__" { // of a Python that ran in the source tree
			return fs.SkipDir
		}
		if e.IsDir() || strings.HasSuffix(p, ".pyc") {
			return nil
		}
		data, err := files.ReadFile(p)
		all = append(all, file{strings.TrimPrefix(p, "python/"), data})
		return err
	})
	if err == nil && len(all) == 0 {
		err = errors.New("it is empty")
	}
	return all, err
}

func digest(all []file) string {
	h := sha256.New()
	for _, f := range all {
		fmt.Fprintf(h, "%s %d\n%s", f.name, len(f.data), f.data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func write(dir string, all []file) error {
	if err := os.Chmod(dir, 0o755); err != nil { // MkdirTemp's is for the owner only
		return err
	}
	for _, f := range all {
		to := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if path.Dir(f.name) == Bin {
			mode = 0o755
		}
		if err := os.WriteFile(to, f.data, mode); err != nil {
			return err
		}
		if err := os.Chmod(to, mode); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}
