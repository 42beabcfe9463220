// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/versity/versitygw/backend/posix"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

func TestNewRefuses(t *testing.T) {
	good := func() Options {
		o := Options{Root: t.TempDir(), State: t.TempDir(), Keys: keyring{}}
		o.RootKey.Account = account
		return o
	}
	for name, spoil := range map[string]func(*Options){
		"a relative root":         func(o *Options) { o.Root = "data" },
		"a relative state folder": func(o *Options) { o.State = "state" },
		"state inside the root":   func(o *Options) { o.State = filepath.Join(o.Root, "state") },
		"state that is the root":  func(o *Options) { o.State = o.Root },
		"no keys":                 func(o *Options) { o.Keys = nil },
		"no account":              func(o *Options) { o.RootKey.Account = "" },
		"a root that is a file":   func(o *Options) { o.Root, _ = os.Executable() },
	} {
		o := good()
		spoil(&o)
		if s, err := New(o); err == nil {
			s.Close()
			t.Errorf("New took %s", name)
		}
	}
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	first, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := New(good()); err == nil {
		s.Close()
		t.Error("New made a second Store beside the first")
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if after, err := os.Getwd(); err != nil || after != before {
		t.Errorf("working directory after Close: %s, %v; want %s", after, err, before)
	}
	again, err := New(good())
	if err != nil {
		t.Fatalf("New after Close: %v", err)
	}
	again.Close()
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	for _, sidecar := range []bool{false, true} {
		o := Options{Root: t.TempDir(), State: t.TempDir(), Sidecar: sidecar}
		u := object.URI{Bucket: "models", Key: "a/b/model.tar.gz"}
		s := newStore(t, o)
		if err := s.MakeBucket(t.Context(), u.Bucket); err != nil {
			t.Fatal(err)
		}
		want, err := s.Put(t.Context(), u, strings.NewReader("weights"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// What a process leaves behind that dies while it writes, and what a
		// client has uploaded and not completed.
		staging := filepath.Join(o.Root, u.Bucket, posix.MetaTmpDir)
		hash := strings.Repeat("0a", 32)
		left := []string{filepath.Join(staging, hash+".123456"), filepath.Join(staging, "multipart", hash, "upload", hash+".77"), filepath.Join(o.State, "spool", "put-1")}
		part := filepath.Join(staging, "multipart", hash, "upload", "1")
		for _, f := range append(left, part) {
			if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o.Sidecar = false // it finds out by itself where attributes are
		s = newStore(t, o)
		if got, err := s.Stat(t.Context(), u); err != nil || got != want {
			t.Errorf("sidecar %v: Stat after restart: %+v, %v; want %+v", sidecar, got, err, want)
		}
		for _, f := range left {
			if _, err := os.Stat(f); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there", f)
			}
		}
		if _, err := os.Stat(part); err != nil {
			t.Errorf("a finished part of an upload is gone: %v", err)
		}
		s.Close()
	}
}

func TestPathIsTheFile(t *testing.T) {
	s := newStore(t, Options{})
	u := object.URI{Bucket: "models", Key: "a/ü 1"}
	if err := s.MakeBucket(t.Context(), u.Bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(t.Context(), u); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("Path of nothing: %v", err)
	}
	if _, err := s.Put(t.Context(), u, strings.NewReader("weights")); err != nil {
		t.Fatal(err)
	}
	path, err := s.Path(t.Context(), u)
	if err != nil || !filepath.IsAbs(path) {
		t.Fatalf("Path: %q, %v", path, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "weights" {
		t.Errorf("file holds %q, %v", b, err)
	}
}

func TestAFileOfAnotherHandIsAnObject(t *testing.T) {
	s := newStore(t, Options{})
	dir := filepath.Join(s.opt.Root, "models", "out")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "m")
	write := func(text string, at time.Time) object.Info {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		info, err := s.Stat(t.Context(), object.URI{Bucket: "models", Key: "out/m"})
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := s.List(t.Context(), object.URI{Bucket: "models"}, "", 5)
		if err != nil || len(page) != 1 || page[0] != info {
			t.Errorf("List: %+v, %v; want what Stat says: %+v", page, err, info)
		}
		return info
	}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	first, again, later, longer := write("one", noon), write("one", noon), write("two", noon.Add(time.Nanosecond)), write("two!", noon)
	if first.ETag == "" || first.ETag != again.ETag || first.ETag == later.ETag || first.ETag == longer.ETag {
		t.Errorf("ETags %q, unchanged %q, later %q, longer %q", first.ETag, again.ETag, later.ETag, longer.ETag)
	}
	put, err := s.Put(t.Context(), first.URI, strings.NewReader("three"))
	if err != nil || strings.Contains(put.ETag, "-") {
		t.Errorf("Put over it: %+v, %v", put, err)
	}
}

func TestKeysThatLeadElsewhere(t *testing.T) {
	s := newStore(t, Options{})
	if err := s.MakeBucket(t.Context(), "models"); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(s.opt.State, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"file": secret, "folder": s.opt.State} {
		if err := os.Symlink(target, filepath.Join(s.opt.Root, "models", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"../models/k", "a/../../k", "..", ".", "a//b", "/a", "//", "a/./b", "nul\x00", ".sgwtmp/k", ".sgwtmp", "file", "folder/secret"} {
		u := object.URI{Bucket: "models", Key: key}
		if r, err := s.Open(t.Context(), u, 0, -1); err == nil {
			r.Close()
			t.Errorf("Open of %q succeeded", key)
		}
		if _, err := s.Path(t.Context(), u); err == nil {
			t.Errorf("Path of %q succeeded", key)
		}
		if key != "file" && key != "folder/secret" {
			if _, err := s.Put(t.Context(), u, strings.NewReader("x")); err == nil {
				t.Errorf("Put of %q succeeded", key)
			}
			if err := s.Delete(t.Context(), u); err == nil {
				t.Errorf("Delete of %q succeeded", key)
			}
		}
	}
	if page, _, err := s.List(t.Context(), object.URI{Bucket: "models"}, "", 9); err != nil || len(page) != 0 {
		t.Errorf("List: %v, %v", page, err)
	}
	for _, b := range []string{"", "..", "a/b", "UPPER", ".vgwlocks", "x"} {
		if err := s.MakeBucket(t.Context(), b); err == nil {
			t.Errorf("MakeBucket took %q", b)
		}
	}
}

// A listing of a large folder must not read it again for each page, and must
// not show what is gone.
func TestLargeFoldersAreRemembered(t *testing.T) {
	s := newStore(t, Options{})
	dir := filepath.Join(s.opt.Root, "flat")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const n = 3 * smallDir
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := func() int {
		count := 0
		err := object.All(t.Context(), s, object.URI{Bucket: "flat"}, func(object.Info) error { count++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	if got := list(); got != n || len(s.dirs.dirs) != 0 {
		t.Errorf("%d objects, %d folders remembered; a folder that was just written is not to be trusted", got, len(s.dirs.dirs))
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, long, long); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != n || len(s.dirs.dirs) != 1 || s.dirs.names != n {
		t.Errorf("%d objects, %d folders and %d names remembered; want %d, 1, %d", got, len(s.dirs.dirs), s.dirs.names, n, n)
	}
	if got := list(); got != n {
		t.Errorf("%d objects from memory, want %d", got, n)
	}
	if err := os.Remove(filepath.Join(dir, "00007")); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != n-1 {
		t.Errorf("%d objects after one was removed, want %d", got, n-1)
	}
	for i := range 600 { // more than fit
		s.dirs.keep(fmt.Sprint(i), &cachedDir{names: make([]string, 2000)})
	}
	if s.dirs.names > maxCachedNames || len(s.dirs.dirs) > maxCachedNames/2000 {
		t.Errorf("%d names of %d folders remembered", s.dirs.names, len(s.dirs.dirs))
	}
	if _, ok := s.dirs.dirs["599"]; !ok {
		t.Error("the newest folder was forgotten")
	}
}
