// SPDX-License-Identifier: Apache-2.0

package spill

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestGroupLimit(t *testing.T) {
	const none = int64(math.MaxInt64)
	for _, c := range []struct {
		name, self string
		files      map[string]string
		want       int64
	}{
		{"version 2", "0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n"}, 1000},
		{"one above has less", "0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n", "a/memory.max": "500\n", "memory.max": "max\n"}, 500},
		{"no limit", "0::/a\n", map[string]string{"a/memory.max": "max\n"}, none},
		{"the root of a container", "0::/\n", map[string]string{"memory.max": "2000"}, 2000},
		{"version 1", "3:cpu:/x\n4:memory:/a\n0::/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "700\n"}, 700},
		{"version 1 without a limit", "4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, none},
		{"nothing to read", "", nil, none},
		{"garbage", "x\n0::\n", map[string]string{"memory.max": "many\n"}, none},
	} {
		dir := t.TempDir()
		write := func(name, text string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("self", c.self)
		for name, text := range c.files {
			write("group/"+name, text)
		}
		if got := groupLimit(filepath.Join(dir, "self"), filepath.Join(dir, "group")); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := groupLimit("/no/such/file", t.TempDir()); got != none {
		t.Errorf("without control groups: %d", got)
	}
}

func TestLimit(t *testing.T) {
	of := func(value string) int64 {
		return Limit(func(name string) string { return map[string]string{Var: value}[name] })
	}
	if got := of("1000"); got != 1000 {
		t.Errorf("%d", got)
	}
	if a, b := of("many"), of(""); a != b {
		t.Errorf("a limit that is none: %d, want %d", a, b)
	}
}

func TestRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(file, []byte("MemTotal:  9 kB\nMemAvailable:    3 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	if got := room(none, file); got != 3<<10 {
		t.Errorf("%d bytes free", got)
	}
	if got := room(func(string) string { return "2000" }, file); got != 2000 {
		t.Errorf("%d bytes with a limit", got)
	}
	if got := room(none, file+"x"); got <= 0 {
		t.Errorf("%d bytes where nobody tells", got)
	}
}
