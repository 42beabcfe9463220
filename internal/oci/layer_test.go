// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestLayersOverLayers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]entry
		want   []string
	}{
		{"a file replaces a file", [][]entry{{file("a", "1")}, {file("a", "2")}}, []string{"a 2"}},
		{"a whiteout removes a file", [][]entry{{file("d/a", "1"), file("d/b", "2")}, {file("d/.wh.a", "")}}, []string{"d/", "d/b 2"}},
		{"a whiteout removes a folder", [][]entry{{file("d/e/a", "1"), file("b", "2")}, {file(".wh.d", "")}}, []string{"b 2"}},
		{"a whiteout of nothing is nothing", [][]entry{{file("a", "1")}, {file("none/.wh.b", ""), file(".wh.c", "")}}, []string{"a 1"}},
		{"a whiteout spares its own layer", [][]entry{{file("a", "1")}, {file("a", "2"), file(".wh.a", "")}}, []string{"a 2"}},
		{"an opaque folder hides what is below", [][]entry{{file("d/a", "1"), file("d/e/b", "2"), file("c", "3")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/n", "4")}},
			[]string{"c 3", "d/", "d/n 4"}},
		{"an opaque mark that comes last", [][]entry{{file("d/a", "1"), file("d/e/b", "2")}, {file("d/e/n", "4"), file("d/.wh..wh..opq", "")}},
			[]string{"d/", "d/e/", "d/e/n 4"}},
		{"a character device 0:0 is a whiteout of overlayfs", [][]entry{{file("a", "1"), file("b", "2")}, {{tar.Header{Name: "a", Typeflag: tar.TypeChar}, ""}}}, []string{"b 2"}},
		{"devices are left out", [][]entry{{{tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8}, ""}, {tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""}, file("a", "1")}},
			[]string{"a 1"}},
		{"a folder replaces a file", [][]entry{{file("a", "1")}, {dir("a"), file("a/b", "2")}}, []string{"a/", "a/b 2"}},
		{"a file replaces a folder", [][]entry{{file("a/b", "1")}, {file("a", "2")}}, []string{"a 2"}},
		{"a folder again keeps what is in it", [][]entry{{file("a/b", "1")}, {dir("a")}}, []string{"a/", "a/b 1"}},
		{"names with dots and slashes", [][]entry{{dir("./"), file("./a", "1"), file("/b", "2"), file("c//./d", "3")}}, []string{"a 1", "b 2", "c/", "c/d 3"}},
		{"a pipe", [][]entry{{{tar.Header{Name: "p", Typeflag: tar.TypeFifo, Mode: 0o600}, ""}}}, []string{"p p---------"}},
		{"an absolute link is the image's own", [][]entry{{dir("run"), symlink("var/run", "/run")}, {file("var/run/pid", "1")}}, []string{"run/", "run/pid 1", "var/", "var/run -> /run"}},
		{"a link to a folder that a later layer fills", [][]entry{{symlink("lib", "usr/lib")}, {file("lib/a", "1")}}, []string{"lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/a 1"}},
		{"a link upwards stays inside", [][]entry{{symlink("d/up", "../../../../x")}, {file("d/up/a", "1")}}, []string{"d/", "d/up -> ../../../../x", "x/", "x/a 1"}},
		{"a folder replaces a link", [][]entry{{dir("real"), symlink("l", "real")}, {dir("l"), file("l/a", "1")}}, []string{"l/", "l/a 1", "real/"}},
		{"a file replaces a link, not what it leads to", [][]entry{{file("real", "1"), symlink("l", "real")}, {file("l", "2")}}, []string{"l 2", "real 1"}},
		{"a hard link", [][]entry{{file("a", "1"), hardlink("d/b", "a")}, {hardlink("c", "/d/b")}}, []string{"a 1", "c 1", "d/", "d/b 1"}},
		{"a hard link through a link", [][]entry{{file("usr/a", "1"), symlink("s", "/usr"), hardlink("b", "s/a")}}, []string{"b 1", "s -> /usr", "usr/", "usr/a 1"}},
		{"no layer", nil, nil},
		{"an empty layer", [][]entry{{}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pack := range []func(testing.TB, []byte) []byte{gzipped, zstded, func(_ testing.TB, b []byte) []byte { return b }} {
				var layers []layer
				for _, entries := range tt.layers {
					layers = append(layers, layerOf(tarOf(t, entries...), pack(t, tarOf(t, entries...))))
				}
				s := newStore(t, Options{})
				root, err := s.Unpack(t.Context(), Image{URI: "test", Digest: "sha256:0", layers: layers}, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				if got := everything(t, root); !slices.Equal(got, tt.want) {
					t.Errorf("holds %q", got)
				}
			}
		})
	}
}

func TestEvilLayers(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	bomb := tarOf(t, file("zeros", strings.Repeat("\x00", 4<<20)))
	for _, tt := range []struct {
		name   string
		layers [][]entry
		text   string // of the error; "" when it is unpacked, harmlessly
	}{
		{"a name that goes up", [][]entry{{file("../../evil", "x")}}, "leads out"},
		{"a name that goes up in the middle", [][]entry{{file("a/../../evil", "x")}}, "leads out"},
		{"a folder that goes up", [][]entry{{dir("..")}}, "leads out"},
		{"a file through a link out", [][]entry{{symlink("l", filepath.Dir(outside)), file("l/outside", "x")}}, ""},
		{"a file onto a link out", [][]entry{{symlink("l", outside), file("l", "x")}}, ""},
		{"a folder onto a link out", [][]entry{{symlink("l", filepath.Dir(outside)), dir("l"), file("l/outside", "x")}}, ""},
		{"a hard link to a file outside", [][]entry{{hardlink("l", outside)}}, "no such file"},
		{"a hard link that goes up", [][]entry{{hardlink("l", "../../../"+outside)}}, "leads out"},
		{"a hard link through a link out", [][]entry{{symlink("d", filepath.Dir(outside)), hardlink("l", "d/outside")}}, "no such file"},
		{"writing through a hard link to a link out", [][]entry{{symlink("s", outside), hardlink("l", "s"), file("l", "x")}}, ""},
		{"a hard link to a folder", [][]entry{{dir("d"), hardlink("l", "d")}}, "folder"},
		{"a whiteout that goes up", [][]entry{{file("a", "1")}, {file(".wh...", "")}}, "names nothing"},
		{"a whiteout of nothing named", [][]entry{{file("a", "1")}, {file(".wh.", "")}}, "names nothing"},
		{"a whiteout through a link out", [][]entry{{symlink("l", filepath.Dir(outside))}, {file("l/.wh.outside", "")}}, ""},
		{"an opaque mark through a link out", [][]entry{{symlink("l", filepath.Dir(outside))}, {file("l/.wh..wh..opq", "")}}, ""},
		{"links in a circle", [][]entry{{symlink("a", "b"), symlink("b", "a"), file("a/c", "x")}}, "links"},
		{"a file used as a folder", [][]entry{{file("a", "1"), file("a/b", "2")}}, "used as a folder"},
		{"a name that is too long", [][]entry{{file(strings.Repeat("n", 300), "x")}}, "name too long"},
		{"more than the limit of bytes", [][]entry{{file("a", strings.Repeat("a", 1<<20)), file("b", strings.Repeat("a", 1<<20))}}, "limit"},
		{"more than the limit of files", [][]entry{slices.Repeat([]entry{file("a", "")}, 101)}, "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers [][]byte
			for _, entries := range tt.layers {
				layers = append(layers, gzipped(t, tarOf(t, entries...)))
			}
			root, err := unpackLayers(t, Options{MaxBytes: 3 << 19, MaxEntries: 100}, layers...)
			switch {
			case tt.text == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.text != "" && (!errors.Is(err, runtime.ErrUnprepared) || !strings.Contains(err.Error(), tt.text)):
				t.Errorf("answered %q, %v", root, err)
			}
			if b, err := os.ReadFile(outside); err != nil || string(b) != "mine" {
				t.Fatalf("the file outside is %q, %v", b, err)
			}
			if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Fatalf("the file outside has a link, %v", err)
			}
		})
	}
	t.Run("much that was packed small", func(t *testing.T) {
		if _, err := unpackLayers(t, Options{MaxBytes: 1 << 20}, gzipped(t, bomb)); !errors.Is(err, runtime.ErrUnprepared) || !strings.Contains(err.Error(), "limit") {
			t.Error(err)
		}
	})
	t.Run("much behind the end of the tar", func(t *testing.T) {
		tail := append(tarOf(t, file("a", "1")), make([]byte, 8<<20)...)
		s := newStore(t, Options{MaxBytes: 1 << 20, MaxEntries: 10})
		_, err := s.Unpack(t.Context(), Image{Digest: "sha256:0", layers: []layer{layerOf(tail, gzipped(t, tail))}}, io.Discard)
		if !errors.Is(err, runtime.ErrUnprepared) || !strings.Contains(err.Error(), "limit") {
			t.Error(err)
		}
	})
}

// layerOf is a layer of a tar that is stored as it is given.
func layerOf(plain, stored []byte) layer {
	return layer{digest: sum(stored), diffID: sum(plain), size: int64(len(stored)), open: func(_ ctx) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(stored)), nil
	}}
}

func TestWhatFilesKeep(t *testing.T) {
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	root, err := unpackLayers(t, Options{}, gzipped(t, tarOf(t,
		entry{tar.Header{Name: "bin", Typeflag: tar.TypeDir, Mode: 0o555, ModTime: at, Uid: 7, Gid: 8}, ""},
		entry{tar.Header{Name: "bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, ModTime: at, Uid: 1000, Gid: 100}, "x"},
		entry{tar.Header{Name: "bin/ping", Typeflag: tar.TypeReg, Mode: 0o755, ModTime: at,
			PAXRecords: map[string]string{"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.trusted.overlay.opaque": "y",
				"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}}, "x"},
		entry{tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}, ""},
		entry{tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "bin", Uid: 5, Gid: 6}, ""})))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"bin": fs.ModeDir | 0o555, "bin/su": fs.ModeSetuid | 0o755, "bin/ping": 0o755, "tmp": fs.ModeDir | fs.ModeSticky | 0o777,
	} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
		if name != "tmp" && !info.ModTime().Equal(at) {
			t.Errorf("%s is of %v", name, info.ModTime())
		}
	}
	if os.Geteuid() == 0 {
		for name, want := range map[string][2]uint32{"bin": {7, 8}, "bin/su": {1000, 100}, "link": {5, 6}, "bin/ping": {0, 0}} {
			info, err := os.Lstat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != want[0] || st.Gid != want[1] {
				t.Errorf("%s is of %d:%d", name, st.Uid, st.Gid)
			}
		}
	}
	extendedAreKept(t, filepath.Join(root, "bin/ping"))
}

func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, file("a/b", "1"), symlink("l", "/a"), hardlink("h", "a/b"), file("l/.wh..wh..opq", "")))
	f.Add(tarOf(f, symlink("a", "../.."), file("a/x", "1"), file(".wh.a", ""), dir("a")))
	f.Add(gzipped(f, tarOf(f, file("../x", ""))))
	f.Add(zstded(f, tarOf(f, entry{tar.Header{Name: "c", Typeflag: tar.TypeChar}, ""})))
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := t.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(outer, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		tr := newTree(root, 1<<20, 100)
		if r, end, err := decompress(bytes.NewReader(b)); err == nil {
			if tr.unpack(io.LimitReader(r, 4<<20)) == nil {
				_ = tr.finish()
			}
			end()
		}
		if left, err := os.ReadDir(outer); err != nil || len(left) != 1 {
			t.Fatalf("outside are %v, %v", left, err)
		}
		removeTree(outer)
	})
}
