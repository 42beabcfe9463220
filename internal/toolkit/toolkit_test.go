// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestInstallGivesAllFilesOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	first, err := Install(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sagebrush_toolkit/__init__.py", "sagebrush_toolkit/serve/__main__.py", "shims/sagemaker_containers/_worker.py"} {
		info, err := os.Stat(filepath.Join(first, name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	info, err := os.Stat(filepath.Join(first, Bin, "smspark-submit"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("smspark-submit: %v, %v", info, err)
	}
	// What a container may hold open is not written again.
	mark := filepath.Join(first, "mark")
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := Install(dir)
	if err != nil || again != first {
		t.Fatalf("second: %s, %v; first: %s", again, err, first)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
}

func TestInstallBySeveralAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := Install(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(got, Bin, "smspark-submit")); err != nil {
				t.Errorf("seen in part: %v", err)
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestInstallSaysWhatIsInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(path); err == nil || !strings.Contains(err.Error(), "install the script toolkit") {
		t.Errorf("%v", err)
	}
}

// Every file opens with its licence, and stays short.
func TestPythonFilesAreOfThisHouse(t *testing.T) {
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		text := strings.TrimPrefix(string(f.data), "#!/usr/bin/env python3\n")
		if !strings.HasPrefix(text, "# SPDX-License-Identifier: Apache-2.0\n") {
			t.Errorf("%s has no licence line", f.name)
		}
		if n := strings.Count(text, "\n"); n > 400 {
			t.Errorf("%s has %d lines", f.name, n)
		}
	}
}
