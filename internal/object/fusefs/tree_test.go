// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fusefs

import (
	"log/slog"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "/x", "a//b", "a/", "a/./b", strings.Repeat("x", 256)} {
		if _, err := newTree([]Item{{Name: name}}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if _, err := newTree([]Item{{Name: "a"}, {Name: "a"}}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two files have one name")
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a/b", "a", "c")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		root, err := newTree([]Item{{Name: a}, {Name: b}, {Name: c}}, slog.New(slog.DiscardHandler))
		if err != nil {
			return
		}
		files := 0
		var walk func(d *folder)
		walk = func(d *folder) {
			for _, name := range d.names {
				if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
					t.Fatalf("%q is no name", name)
				}
				if sub := d.children[name].folder; sub != nil {
					walk(sub)
				} else {
					files++
				}
			}
		}
		if walk(root); files == 0 || files > 3 {
			t.Fatalf("%d files", files)
		}
	})
}
