// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/registry"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

// tarOf is a tar of entries; a header without a type is a file of the content.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
}

func dir(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func symlink(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}, ""}
}

func hardlink(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to, Mode: 0o644}, ""}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// imageOf is an image of layers, each a tar as it is stored.
func imageOf(t testing.TB, layers ...[]byte) v1.Image {
	t.Helper()
	im := empty.Image
	for _, l := range layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if im, err = mutate.AppendLayers(im, layer); err != nil {
			t.Fatal(err)
		}
	}
	c, err := im.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", goruntime.GOARCH
	c.Config = v1.Config{Entrypoint: []string{"/bin/hello"}, Cmd: []string{"train"}, Env: []string{"A=1", "B=x=y"}, WorkingDir: "/srv", User: "1000:100",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Labels: map[string]string{"made": "by test"}}
	if im, err = mutate.ConfigFile(im, c); err != nil {
		t.Fatal(err)
	}
	return im
}

// archiveOf writes an image as an older "docker save" does.
func archiveOf(t testing.TB, im v1.Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	tag, err := name.NewTag("mine:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, im); err != nil {
		t.Fatal(err)
	}
	return "file://" + file
}

func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "images")
	}
	o.Log = slog.New(slog.DiscardHandler)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(t testing.TB, s *Store, uri string) Image {
	t.Helper()
	im, err := s.Find(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func unpack(t testing.TB, s *Store, im Image) string {
	t.Helper()
	root, err := s.Unpack(t.Context(), im, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// unpackLayers unpacks an image of layers.
func unpackLayers(t testing.TB, o Options, layers ...[]byte) (string, error) {
	t.Helper()
	s := newStore(t, o)
	return s.Unpack(t.Context(), find(t, s, archiveOf(t, imageOf(t, layers...))), io.Discard)
}

// everything is what is in a folder, a line each: "bin/a 0644 text".
func everything(t testing.TB, root string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			lines = append(lines, fmt.Sprintf("%s/", rel))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			lines = append(lines, rel+" -> "+to)
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines = append(lines, rel+" "+string(b))
		default:
			lines = append(lines, rel+" "+info.Mode().Type().String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

type admitAll struct{}

func (admitAll) Admits(string, string) bool { return true }
func (admitAll) Repository(context.Context, string) (string, bool, error) {
	return "123456789012", true, nil
}
func (admitAll) Immutable(context.Context, string, string) (bool, error) { return false, nil }
func (admitAll) Pushed(string)                                           {}

// TestAPushedImageRuns builds a static program, puts it into an image, pushes
// that to our registry over HTTP, and runs it from the unpacked folder.
func TestAPushedImageRuns(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\nimport \"os\"\nfunc main() { println(\"hello from\", os.Args[0], os.Args[1]) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "hello"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GO111MODULE=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	im := imageOf(t, gzipped(t, tarOf(t, entry{tar.Header{Name: "bin/hello", Typeflag: tar.TypeReg, Mode: 0o755}, string(program)})))

	reg, err := registry.New(registry.Options{Objects: mem.New(), Bucket: "images", Dir: filepath.Join(dir, "uploads")})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	server := httptest.NewServer(reg.Handler(admitAll{}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	ref, err := name.ParseReference(host + "/mine:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, im, remote.WithAuth(&authn.Basic{Username: "AWS", Password: "x"})); err != nil {
		t.Fatal(err)
	}

	s := newStore(t, Options{Local: reg, Own: func(h string) bool {
		account, aws := Account(h)
		return h == "127.0.0.1:8080" || aws && account == "123456789012"
	}})
	got := find(t, s, "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:v1")
	want, err := im.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want.String() || got.Resolved != "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine@"+want.String() || got.Size == 0 {
		t.Errorf("found %+v", got)
	}
	c := got.Config
	if !slices.Equal(c.Entrypoint, []string{"/bin/hello"}) || !slices.Equal(c.Cmd, []string{"train"}) || c.Env["A"] != "1" || c.Env["B"] != "x=y" ||
		c.WorkingDir != "/srv" || c.User != "1000:100" || !slices.Equal(c.ExposedPorts, []string{"8080/tcp"}) || c.Labels["made"] != "by test" {
		t.Errorf("configured %+v", c)
	}
	if by := find(t, s, "127.0.0.1:8080/mine@"+want.String()); by.Digest != got.Digest {
		t.Errorf("found by digest %+v", by)
	}
	var told bytes.Buffer
	root, err := s.Unpack(t.Context(), got, &told)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(told.String(), "unpack layer 1 of 1") {
		t.Errorf("told %q", told.String())
	}
	out, err := exec.Command(filepath.Join(root, "bin/hello"), "train").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hello from") {
		t.Errorf("ran %s, %v", out, err)
	}
	_, err = s.Find(t.Context(), "127.0.0.1:8080/mine:none")
	if !errors.Is(err, runtime.ErrNoImage) || !strings.Contains(err.Error(), "mine:none") {
		t.Errorf("a missing tag: %v", err)
	}
}

// serveOther is another registry that holds an image, an index and what is
// said by deny.
func serveOther(t *testing.T, deny func(*http.Request) int) (host string, im v1.Image) {
	t.Helper()
	inner := ggcr.New(ggcr.Logger(nil2log()))
	allow := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allow && deny != nil {
			if code := deny(r); code != 0 {
				w.WriteHeader(code)
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	im = imageOf(t, gzipped(t, tarOf(t, file("a", "1"))), tarOf(t, file("b", "2")))
	ref, err := name.ParseReference(host + "/team/mine:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, im); err != nil {
		t.Fatal(err)
	}
	foreign := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
	both := mutate.AppendManifests(foreign, mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}}})
	for tag, index := range map[string]v1.ImageIndex{"foreign": foreign, "both": both} {
		if err := remote.WriteIndex(ref.Context().Tag(tag), index); err != nil {
			t.Fatal(err)
		}
	}
	allow = false
	return host, im
}

func TestImagesOfAnotherRegistry(t *testing.T) {
	var broken int
	var mu sync.Mutex
	host, im := serveOther(t, func(r *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(r.URL.Path, "/secret/") {
			return http.StatusForbidden
		}
		return broken
	})
	s := newStore(t, Options{Keychain: authn.NewMultiKeychain()})
	want, err := im.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"/team/mine:v1", "/team/mine:both", "/team/mine@" + want.String()} {
		got := find(t, s, host+ref)
		if got.Digest != want.String() {
			t.Errorf("%s is %s", ref, got.Digest)
		}
		if lines := everything(t, unpack(t, s, got)); !slices.Equal(lines, []string{"a 1", "b 2"}) {
			t.Errorf("%s holds %q", ref, lines)
		}
	}
	for _, tt := range []struct{ name, uri, text string }{
		{"a tag that is not there", host + "/team/mine:none", "has no"},
		{"a repository that is not there", host + "/nobody/mine", "nobody/mine"},
		{"an image that is not for us", host + "/secret/mine", "docker login"},
		{"another architecture", host + "/team/mine:foreign", "linux/s390x"},
		{"no reference", "UPPER CASE", "not an image reference"},
		{"nothing", "", "not an image reference"},
		{"a registry that does not listen", "127.0.0.1:1/mine", "cannot be reached"},
		{"AWS without credentials", "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3", "image map"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Find(t.Context(), tt.uri)
			if !errors.Is(err, runtime.ErrNoImage) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("answered %v", err)
			}
		})
	}
	// What was unpacked goes on being usable when the registry is down.
	mu.Lock()
	broken = http.StatusNotImplemented // an answer that is not asked for again
	mu.Unlock()
	got := find(t, s, host+"/team/mine:v1")
	if root := unpack(t, s, got); got.Digest != want.String() || got.Config.WorkingDir != "/srv" || root == "" {
		t.Errorf("recalled %+v", got)
	}
	if _, err := s.Find(t.Context(), host+"/team/mine:never"); err == nil || errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("what is not known while the registry is down: %v", err)
	}
}

func TestImagesInFiles(t *testing.T) {
	im := imageOf(t, gzipped(t, tarOf(t, file("a", "1"))), tarOf(t, file("b", "2")))
	dir := t.TempDir()
	p, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(im); err != nil {
		t.Fatal(err)
	}
	oci := filepath.Join(dir, "oci.tar")
	if out, err := exec.Command("tar", "-C", filepath.Join(dir, "layout"), "-cf", oci, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := newStore(t, Options{})
	for _, uri := range []string{"file://" + oci, archiveOf(t, im)} {
		got := find(t, s, uri)
		if lines := everything(t, unpack(t, s, got)); !slices.Equal(lines, []string{"a 1", "b 2"}) || got.Config.User != "1000:100" || got.Resolved != "" {
			t.Errorf("%s holds %q, %+v", uri, lines, got)
		}
	}
	garbage := filepath.Join(dir, "garbage.tar")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("garbage"), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.tar")
	if err := os.WriteFile(other, tarOf(t, file("model.json", "{}")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uri  string
		want error
	}{
		{"file://" + dir + "/none.tar", runtime.ErrNoImage}, {"file://relative.tar", runtime.ErrNoImage},
		{"file://" + garbage, runtime.ErrUnprepared}, {"file://" + other, runtime.ErrUnprepared},
	} {
		if _, err := s.Find(t.Context(), tt.uri); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.uri, err)
		}
	}
}

func TestDamagedImages(t *testing.T) {
	good := gzipped(t, tarOf(t, file("a", strings.Repeat("x", 10_000))))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	// A layer whose stored bytes or content are not what was promised: the
	// static layer lies about its digest.
	for _, tt := range []struct {
		name   string
		stored []byte
		diffID string
	}{
		{"a bit flipped", flipped, ""},
		{"cut off", good[:len(good)/2], ""},
		{"another tar", gzipped(t, tarOf(t, file("a", "other"))), ""},
		{"no tar at all", []byte("hello"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			im := imageOf(t, good)
			layers, err := im.Layers()
			if err != nil {
				t.Fatal(err)
			}
			h, err := layers[0].Digest()
			if err != nil {
				t.Fatal(err)
			}
			file := strings.TrimPrefix(archiveOf(t, im), "file://")
			s := newStore(t, Options{})
			got := find(t, s, "file://"+file)
			got.layers[0].digest = h.String()
			got.layers[0].open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tt.stored)), nil }
			if _, err := s.Unpack(t.Context(), got, io.Discard); !errors.Is(err, runtime.ErrUnprepared) {
				t.Errorf("unpacked: %v", err)
			}
			left, err := os.ReadDir(s.opt.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	// A source that breaks off may do better another time.
	s := newStore(t, Options{})
	im := find(t, s, archiveOf(t, imageOf(t, good)))
	open := im.layers[0].open
	im.layers[0].open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(good[:20]), failing{})), nil
	}
	if _, err := s.Unpack(t.Context(), im, io.Discard); err == nil || errors.Is(err, runtime.ErrUnprepared) || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("a broken connection: %v", err)
	}
	im.layers[0].open = open
	unpack(t, s, im)
	// An artifact that is no image.
	artifact, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("{}"), types.MediaType("application/json")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := artifact.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.RootFS.DiffIDs = nil
	if artifact, err = mutate.ConfigFile(artifact, c); err != nil {
		t.Fatal(err)
	}
	host, _ := serveOther(t, nil)
	ref, err := name.ParseReference(host + "/artifact:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, artifact); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), host+"/artifact:v1"); !errors.Is(err, runtime.ErrUnprepared) {
		t.Errorf("an artifact: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestUnpackingOnceForMany(t *testing.T) {
	s := newStore(t, Options{})
	im := find(t, s, archiveOf(t, imageOf(t, gzipped(t, tarOf(t, file("a", "1"))))))
	opened := make(chan struct{}, 10)
	gate := make(chan struct{})
	open := im.layers[0].open
	im.layers[0].open = func(ctx context.Context) (io.ReadCloser, error) {
		opened <- struct{}{}
		select {
		case <-gate:
			return open(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	// The first gives up; the others do it without it.
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := s.Unpack(ctx, im, io.Discard); first <- err }()
	<-opened
	results := make(chan error, 5)
	for range cap(results) {
		go func() { _, err := s.Unpack(t.Context(), im, io.Discard); results <- err }()
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	<-opened
	close(gate)
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if len(opened) > 0 {
		t.Errorf("the layer was read %d times more", len(opened))
	}
	names, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			t.Errorf("left %s", e.Name())
		}
	}
}

func TestWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, Options{Dir: dir})
	im := find(t, s, archiveOf(t, imageOf(t, gzipped(t, tarOf(t, file("a", "1"))))))
	// A folder in the making, and one that lost its stamp.
	if err := os.MkdirAll(filepath.Join(dir, tempPrefix+"1", "rootfs"), 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.folder(im.Digest), "rootfs", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, Options{Dir: dir})
	if _, err := os.Stat(filepath.Join(dir, tempPrefix+"1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is there: %v", err)
	}
	if lines := everything(t, unpack(t, s, im)); !slices.Equal(lines, []string{"a 1"}) {
		t.Errorf("holds %q", lines)
	}
}
