// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ImageRoot builds the suite's image as a folder, for runtimes that unpack
// images: the guest, and the few files that programs ask for. It needs the go
// command, and nothing of the network.
func ImageRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/guest\ntester:x:1234:5678::/home/tester:/guest\n",
		"etc/group":  "root:x:0:\ntesters:x:5678:\n",
		"data/there": "of the image\n",
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for dir, mode := range map[string]fs.FileMode{"root": 0o700, "home": 0o755, "tmp": 0o777 | fs.ModeSticky} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(root, "guest"), "github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest/guest")
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v: %s", err, out)
	}
	// The temporary folder itself is closed to others than its owner.
	for dir := root; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// ImageTar is the folder root as one layer, owned by root.
func ImageTar(t testing.TB, root string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		if h.Name, err = filepath.Rel(root, path); err != nil {
			return err
		}
		h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
		if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(fmt.Errorf("pack %s: %w", root, err))
	}
	return out.Bytes()
}

// words splits steps of the guest into arguments; those in Go's double quotes
// may hold spaces and escapes.
func words(steps string) []string {
	var out []string
	for steps = strings.TrimLeft(steps, " "); steps != ""; steps = strings.TrimLeft(steps, " ") {
		if quoted, err := strconv.QuotedPrefix(steps); err == nil {
			word, err := strconv.Unquote(quoted)
			if err != nil {
				panic(err)
			}
			out, steps = append(out, word), steps[len(quoted):]
			continue
		}
		word, rest, _ := strings.Cut(steps, " ")
		out, steps = append(out, word), rest
	}
	return out
}
