// SPDX-License-Identifier: Apache-2.0

package training

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// outside is the host's path of what the container sees at path.
func outside(t *testing.T, mounts []runtime.Mount, path string) string {
	t.Helper()
	host, deepest := "", -1
	for _, m := range mounts {
		if rel, err := filepath.Rel(m.Target, path); err == nil && filepath.IsLocal(rel) && len(m.Target) > deepest {
			host, deepest = filepath.Join(m.Source, rel), len(m.Target)
		}
	}
	if host == "" {
		t.Fatalf("%s is in no mount", path)
	}
	return host
}

func seenInside(t *testing.T, mounts []runtime.Mount, path string) string {
	t.Helper()
	b, err := os.ReadFile(outside(t, mounts, path))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func link(t *testing.T, mounts []runtime.Mount, path, target string) {
	t.Helper()
	if err := os.Symlink(target, outside(t, mounts, path)); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, mounts []runtime.Mount, path string) bool {
	t.Helper()
	_, err := os.Stat(outside(t, mounts, path))
	return err == nil
}

func write(t *testing.T, mounts []runtime.Mount, path, text string) {
	t.Helper()
	if err := os.WriteFile(outside(t, mounts, path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
