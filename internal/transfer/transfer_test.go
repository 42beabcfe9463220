// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
)

// objects are the keys of the bucket and what they hold.
func objects(t *testing.T, s object.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := object.All(t.Context(), s, object.URI{Bucket: "bucket"}, func(o object.Info) error {
		r, err := s.Open(t.Context(), o.URI, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		out[o.URI.Key] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMirror(t *testing.T) {
	store, dir := mem.New("bucket"), t.TempDir()
	m := Mover{store}
	to := object.URI{Bucket: "bucket", Key: "ckpt"}
	if _, err := store.Put(t.Context(), to.Join("foreign"), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	r := m.NewMirror(dir, to, false)
	pass := func(last bool, want map[string]string) {
		t.Helper()
		if err := r.Pass(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		want["ckpt/foreign"] = "x"
		if got := objects(t, store); !maps.Equal(got, want) {
			t.Errorf("the store has %v, want %v", got, want)
		}
	}
	write(t, dir, "a", "1")
	write(t, dir, "sub/b", "2")
	pass(false, map[string]string{}) // it may be half written
	pass(false, map[string]string{"ckpt/a": "1", "ckpt/sub/b": "2"})
	write(t, dir, "a", "11")
	if err := os.Remove(filepath.Join(dir, "sub/b")); err != nil {
		t.Fatal(err)
	}
	pass(false, map[string]string{"ckpt/a": "1"})
	pass(false, map[string]string{"ckpt/a": "11"})
	write(t, dir, "c", "3")
	pass(true, map[string]string{"ckpt/a": "11", "ckpt/c": "3"})

	// Another one, after a restart, uploads nothing again and knows what is ours.
	r = m.NewMirror(dir, to, false)
	if err := r.Pass(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if len(r.sent) != 2 {
		t.Errorf("it takes %v for sent", r.sent)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	pass(false, map[string]string{"ckpt/c": "3"})
	// One that keeps deletes nothing.
	r = m.NewMirror(dir, to, true)
	pass(true, map[string]string{"ckpt/c": "3"})
	if err := os.Remove(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	pass(true, map[string]string{"ckpt/c": "3"})
}

// What is as large as it was but newer is uploaded.
func TestMirrorSeesChangesOfTheSameSize(t *testing.T) {
	store, dir := mem.New("bucket"), t.TempDir()
	to := object.URI{Bucket: "bucket", Key: "ckpt"}
	write(t, dir, "a", "1")
	if err := (Mover{store}).NewMirror(dir, to, false).Pass(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a", "2")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a"), later, later); err != nil {
		t.Fatal(err)
	}
	if err := (Mover{store}).NewMirror(dir, to, false).Pass(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, store); got["ckpt/a"] != "2" {
		t.Errorf("the store has %v", got)
	}
}

func TestMerge(t *testing.T) {
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, one, "model", "first")
	write(t, two, "model", "second")
	write(t, two, "parts/2", "b")
	write(t, three, "parts/3", "c")
	write(t, one, "parts/3"+merging, "half of what an earlier merge did")
	for range 2 {
		if err := Merge(one, []string{two, three}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"model": "first", "parts/2": "b", "parts/3": "c"} {
		if b, err := os.ReadFile(filepath.Join(one, name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(one, "parts/3"+merging)); err == nil {
		t.Error("a scrap is left")
	}
}

func TestShares(t *testing.T) {
	var items []Item
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		items = append(items, Item{Name: n})
	}
	names := func(items []Item) string {
		var b strings.Builder
		for _, it := range items {
			b.WriteString(it.Name)
		}
		return b.String()
	}
	for _, tt := range []struct {
		part, parts int
		want        string
	}{{0, 0, "abcde"}, {0, 1, "abcde"}, {0, 2, "ace"}, {1, 2, "bd"}, {2, 3, "c"}, {6, 7, ""}} {
		if got := names(part(items, tt.part, tt.parts)); got != tt.want {
			t.Errorf("part %d of %d is %s, want %s", tt.part, tt.parts, got, tt.want)
		}
	}
}

// Whether a prefix is a folder or not, names in the container's folder follow
// from it as a channel's do.
func TestCopyNames(t *testing.T) {
	store := mem.New("bucket")
	for _, key := range []string{"m/1/model", "m-2/x", "m-2/sub/y"} {
		if _, err := store.Put(t.Context(), object.URI{Bucket: "bucket", Key: key}, strings.NewReader(key)); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{
		"m/": {"1/model"}, "m/1": {"model"}, "m-2": {"x", "sub/y"}, "m-": {"m-2/x", "m-2/sub/y"}, "none": nil,
	} {
		dir := t.TempDir()
		if err := (Mover{store}).Copy(t.Context(), object.URI{Bucket: "bucket", Key: prefix}, dir); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, name := range want {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				found++
			}
		}
		if found != len(want) {
			t.Errorf("below %q it found %d of %v", prefix, found, want)
		}
	}
}
