// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fusefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
)

// TestMain lets the test's own binary be what runAs says.
func TestMain(m *testing.M) {
	if code, ok := runAs(os.Args); ok {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// mount mounts items, and unmounts them when the test ends.
func mount(t testing.TB, o Options) (*Mounted, string) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		if _, err := exec.LookPath("fusermount3"); err != nil {
			t.Skip("neither root with /dev/fuse nor fusermount3")
		}
	}
	o.Dir = t.TempDir()
	m, err := Mount(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := m.Unmount(ctx); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) != 0 {
			t.Errorf("after Unmount: %v %v", left, err)
		}
	})
	return m, o.Dir
}

func put(t testing.TB, s object.Store, key, text string) {
	t.Helper()
	if _, err := s.Put(t.Context(), object.URI{Bucket: "b", Key: key}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// mountPrefix mounts what lies below a key.
func mountPrefix(t testing.TB, s object.Store, key string, log *slog.Logger) string {
	t.Helper()
	items, err := List(t.Context(), s, object.URI{Bucket: "b", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, dir := mount(t, Options{Store: s, Items: items, Log: log})
	return dir
}

func TestTree(t *testing.T) {
	s := mem.New("b")
	for _, key := range []string{"data/a.csv", "data/empty", "data/sub/b.csv", "data/sub/deep/c d é.csv", "data/folder/", "database/x", "data/shadow", "data/shadow/y"} {
		text := key
		if strings.HasSuffix(key, "empty") {
			text = ""
		}
		put(t, s, key, text)
	}
	var log bytes.Buffer
	dir := mountPrefix(t, s, "data/", slog.New(slog.NewTextHandler(&log, nil)))
	var got []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if !d.IsDir() {
			b, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil {
				return err
			}
			if text = fmt.Sprintf(" %q", b); info.Size() != int64(len(b)) {
				t.Errorf("%s has %d bytes and says %d", path, len(b), info.Size())
			}
		}
		got = append(got, fmt.Sprint(path, " ", info.Mode(), text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{". dr-xr-xr-x", `a.csv -r--r--r-- "data/a.csv"`, `empty -r--r--r-- ""`, "shadow dr-xr-xr-x", `shadow/y -r--r--r-- "data/shadow/y"`,
		"sub dr-xr-xr-x", `sub/b.csv -r--r--r-- "data/sub/b.csv"`, "sub/deep dr-xr-xr-x", `sub/deep/c d é.csv -r--r--r-- "data/sub/deep/c d é.csv"`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("there is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(log.String(), "first=data/shadow") {
		t.Errorf("the log does not tell of the hidden object: %s", &log)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that is not there: %v", err)
	}
}

func TestUnprivilegedReader(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	s := mem.New("b")
	put(t, s, "k", "text")
	dir := mountPrefix(t, s, "", nil)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // of the test's folder
		t.Fatal(err)
	}
	for at := filepath.Dir(dir); at != "/tmp" && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cat", filepath.Join(dir, "k"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); string(out) != "text" {
		t.Errorf("%q %v", out, err)
	}
}

func mountPattern(t testing.TB, p *pattern, memory int64) *os.File {
	t.Helper()
	_, dir := mount(t, Options{Store: p, Items: []Item{{Name: "big", URI: object.URI{Bucket: "b", Key: "big"}, Size: p.size}}, MemoryBytes: memory})
	f, err := os.Open(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFirstByteOfALargeObject(t *testing.T) {
	p := &pattern{size: 5_000_000_000, delay: 30 * time.Millisecond}
	begun := time.Now()
	f := mountPattern(t, p, 0)
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	t.Logf("mounted, opened, first byte read in %v, of which 30ms are the store's", took)
	if took > 200*time.Millisecond {
		t.Errorf("the first byte took %v", took)
	}
	got, want := make([]byte, 1000), make([]byte, 1000)
	at := p.size - 1000
	if _, err := f.ReadAt(got, at); err != nil {
		t.Fatal(err)
	}
	if fill(want, at); !bytes.Equal(got, want) {
		t.Error("the end of it is wrong")
	}
	if n := p.fetched.Load(); n > 8<<20 {
		t.Errorf("%d bytes were fetched for 1001", n)
	}
}

func TestSequential(t *testing.T) {
	p := &pattern{size: 100<<20 + 12345, delay: 5 * time.Millisecond}
	f := mountPattern(t, p, 8<<20)
	buf, want := make([]byte, 100_000), make([]byte, 100_000)
	var at int64
	for {
		n, err := f.Read(buf)
		if fill(want[:n], at); !bytes.Equal(buf[:n], want[:n]) {
			t.Fatalf("wrong bytes after %d", at)
		}
		if at += int64(n); err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if at != p.size {
		t.Errorf("%d bytes of %d", at, p.size)
	}
	if n := p.fetched.Load(); n > p.size+p.size/10 {
		t.Errorf("%d bytes were fetched for %d", n, p.size)
	}
	if p.most.Load() < 2 {
		t.Error("nothing was fetched ahead")
	}
}

// TestManyReaders reads one file from many places at once, with less memory
// than their windows would take.
func TestManyReaders(t *testing.T) {
	p := &pattern{size: 64 << 20}
	f := mountPattern(t, p, 2<<20)
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			h, err := os.Open(f.Name())
			if err != nil {
				return err
			}
			defer h.Close()
			buf, want := make([]byte, 300_000), make([]byte, 300_000)
			at := rng.Int64N(p.size)
			for range 20 {
				n, err := h.ReadAt(buf, at)
				if err != nil && err != io.EOF {
					return err
				}
				if fill(want[:n], at); !bytes.Equal(buf[:n], want[:n]) {
					return fmt.Errorf("wrong bytes at %d", at)
				}
				if at += int64(n); i%2 == 0 || err == io.EOF {
					at = rng.Int64N(p.size)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// shaky is a store that fails while it is told to.
type shaky struct {
	object.Store
	mu  sync.Mutex
	err error
}

func (s *shaky) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shaky) Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Open(ctx, u, offset, size)
}

func TestErrors(t *testing.T) {
	s := &shaky{Store: mem.New("b")}
	for _, key := range []string{"fails", "shrinks", "goes"} {
		put(t, s.Store, key, strings.Repeat("x", 100_000))
	}
	var mu sync.Mutex
	var log bytes.Buffer
	dir := mountPrefix(t, s, "", slog.New(slog.NewTextHandler(locked{&mu, &log}, nil)))
	read := func(name string) error {
		_, err := os.ReadFile(filepath.Join(dir, name))
		return err
	}
	s.fail(errors.New("connection reset"))
	if err := read("fails"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a store that fails: %v", err)
	}
	s.fail(nil)
	if err := read("fails"); err != nil {
		t.Errorf("a store that works again: %v", err)
	}
	put(t, s.Store, "shrinks", "short")
	if err := read("shrinks"); !errors.Is(err, syscall.EIO) {
		t.Errorf("an object that is shorter: %v", err)
	}
	if err := s.Store.Delete(t.Context(), object.URI{Bucket: "b", Key: "goes"}); err != nil {
		t.Fatal(err)
	}
	if err := read("goes"); !errors.Is(err, syscall.EIO) {
		t.Errorf("an object that is gone: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, says := range []string{"uri=s3://b/fails", "connection reset", "uri=s3://b/shrinks", "it ends before byte 100000", "uri=s3://b/goes", "object not found"} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("the log lacks %q:\n%s", says, &log)
		}
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestBigFolder(t *testing.T) {
	s := mem.New("b")
	const n = 20_000
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{Name: fmt.Sprintf("dir/%05d", i), URI: object.URI{Bucket: "b", Key: "k"}, Size: 4}
	}
	put(t, s, "k", "text")
	_, dir := mount(t, Options{Store: s, Items: items})
	names, err := os.ReadDir(filepath.Join(dir, "dir"))
	if err != nil || len(names) != n || names[n-1].Name() != fmt.Sprintf("%05d", n-1) {
		t.Fatalf("%d names: %v", len(names), err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "dir", names[777].Name())); string(b) != "text" {
		t.Errorf("%q %v", b, err)
	}
}

// TestKilledReaderDoesNotWait has a store that never answers.
func TestKilledReaderDoesNotWait(t *testing.T) {
	p := &pattern{size: 1 << 20, delay: time.Hour}
	f := mountPattern(t, p, 0)
	cmd := exec.Command("cat", f.Name())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for p.opened.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = cmd.Process.Kill()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for the store")
	}
}

func BenchmarkSequential(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(fmt.Sprintf("delay=%v", delay), func(b *testing.B) {
			p := &pattern{size: 1 << 30, delay: delay}
			_, dir := mount(b, Options{Store: p, Items: []Item{{Name: "big", Size: p.size}}})
			buf := make([]byte, 1<<20)
			b.SetBytes(p.size)
			for b.Loop() {
				f, err := os.Open(filepath.Join(dir, "big"))
				if err != nil {
					b.Fatal(err)
				}
				dropCache(b, f)
				for {
					if _, err := f.Read(buf); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				f.Close()
			}
		})
	}
}
