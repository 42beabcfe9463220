// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
)

// rules are what ECR tells, for tests.
type rules struct {
	mu     sync.Mutex
	names  []string
	fixed  bool
	pushed []string
}

func (r *rules) Admits(user, password string) bool {
	return password == "secret" && user == "AWS" || password == "token" && strings.HasPrefix(user, "GET /v2/mine/blobs/")
}

func (r *rules) Repository(_ context.Context, name string) (string, bool, error) {
	return "123456789012", slices.Contains(r.names, name), nil
}

func (r *rules) Immutable(context.Context, string, string) (bool, error) { return r.fixed, nil }

func (r *rules) Pushed(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pushed = append(r.pushed, name)
}

type bench struct {
	*Registry
	*rules
	objects *mem.Store
	dir     string
	url     string
	log     *bytes.Buffer
}

func fresh(t *testing.T) *bench {
	t.Helper()
	b := &bench{rules: &rules{names: []string{"mine", "mine/deeper", "team/blobs/manifests"}}, objects: mem.New(), dir: filepath.Join(t.TempDir(), "uploads"), log: &bytes.Buffer{}}
	r, err := New(Options{Objects: b.objects, Bucket: "images", Dir: b.dir, Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	if err != nil {
		t.Fatal(err)
	}
	b.Registry = r
	s := httptest.NewServer(r.Handler(b.rules))
	t.Cleanup(func() {
		s.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	b.url = s.URL
	return b
}

func (b *bench) ref(t *testing.T, s string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(strings.TrimPrefix(b.url, "http://") + "/" + s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var signedIn = remote.WithAuth(&authn.Basic{Username: "AWS", Password: "secret"})

func image(t *testing.T, layers int64) v1.Image {
	t.Helper()
	im, err := random.Image(4096, layers)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func (b *bench) keys(t *testing.T) (keys []string) {
	t.Helper()
	err := object.All(t.Context(), b.objects, object.URI{Bucket: "images"}, func(o object.Info) error {
		keys = append(keys, o.URI.Key)
		return nil
	})
	if err != nil && !errors.Is(err, object.ErrNotFound) {
		t.Fatal(err)
	}
	return keys
}

func (b *bench) do(t *testing.T, method, path, contentType, body string) *http.Response {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.url + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("AWS", "secret")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	a, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	return a
}

func TestAnImageComesBackAsItWasPushed(t *testing.T) {
	for _, repo := range []string{"mine", "mine/deeper", "team/blobs/manifests"} {
		b := fresh(t)
		im := image(t, 3)
		ref := b.ref(t, repo+":v1")
		if err := remote.Write(ref, im, signedIn); err != nil {
			t.Fatal(err)
		}
		got, err := remote.Image(ref, signedIn)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got); err != nil {
			t.Error(err)
		}
		if digestOf(t, got) != digestOf(t, im) {
			t.Errorf("%s holds another image", repo)
		}
		if !slices.Equal(b.pushed, []string{repo}) {
			t.Errorf("told of %q", b.pushed)
		}
		tags, err := remote.List(ref.Context(), signedIn)
		if err != nil || !slices.Equal(tags, []string{"v1"}) {
			t.Errorf("tags %q, %v", tags, err)
		}
		catalog, err := remote.Catalog(t.Context(), ref.Context().Registry, signedIn)
		if err != nil || !slices.Equal(catalog, []string{repo}) {
			t.Errorf("catalog %q, %v", catalog, err)
		}
		if b.log.Len() > 0 {
			t.Errorf("logged:\n%s", b.log)
		}
		left, err := filepath.Glob(filepath.Join(b.dir, "docker/registry/v2/repositories", repo, "_uploads/*"))
		if err != nil || len(left) > 0 {
			t.Errorf("uploads left: %q", left)
		}
	}
}

func TestSigningIn(t *testing.T) {
	b := fresh(t)
	im := image(t, 1)
	if err := remote.Write(b.ref(t, "mine:v1"), im, signedIn); err != nil {
		t.Fatal(err)
	}
	layers, err := im.Layers()
	if err != nil {
		t.Fatal(err)
	}
	blob := "/v2/mine/blobs/" + digestOf(t, layers[0])
	for _, tt := range []struct {
		name, method, path, user, password string
		want                               int
	}{
		{"nobody is told to sign in", "GET", "/v2/", "", "", 401},
		{"a wrong password", "GET", "/v2/", "AWS", "guess", 401},
		{"another user", "GET", "/v2/", "root", "secret", 401},
		{"docker login", "GET", "/v2/", "AWS", "secret", 200},
		{"nobody sees a manifest", "GET", "/v2/mine/manifests/v1", "", "", 401},
		{"nobody learns what there is", "GET", "/v2/other/manifests/v1", "", "", 401},
		{"the token of a blob", "GET", blob + "?token=token", "", "", 200},
		{"a wrong token", "GET", blob + "?token=guess", "", "", 401},
		{"the token of a blob for a manifest", "GET", "/v2/mine/manifests/v1?token=token", "", "", 401},
		{"the token of a blob for an upload", "POST", "/v2/mine/blobs/uploads/?token=token", "", "", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, b.url+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.user != "" {
				req.SetBasicAuth(tt.user, tt.password)
			}
			a, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if a.StatusCode != tt.want || a.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
				t.Errorf("answered %s, %v", a.Status, a.Header)
			}
			if tt.want != 401 {
				return
			}
			var told struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.NewDecoder(a.Body).Decode(&told); err != nil || len(told.Errors) != 1 || told.Errors[0].Code != "UNAUTHORIZED" ||
				!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Basic realm="`) {
				t.Errorf("told %+v, %v, %q", told, err, a.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

// refused asserts that a push is refused so, as clients read it.
func refused(t *testing.T, err error, status int, code, text string) {
	t.Helper()
	e, ok := errors.AsType[*transport.Error](err)
	if !ok || e.StatusCode != status || len(e.Errors) != 1 || string(e.Errors[0].Code) != code || !strings.Contains(e.Errors[0].Message, text) {
		t.Errorf("answered %v, want %d %s with %q", err, status, code, text)
	}
}

func TestAPushMakesNoRepository(t *testing.T) {
	b := fresh(t)
	refused(t, remote.Write(b.ref(t, "other:v1"), image(t, 1), signedIn), 404, "NAME_UNKNOWN",
		"The repository with name 'other' does not exist in the registry with id '123456789012'")
	_, err := remote.Image(b.ref(t, "mine:none"), signedIn)
	refused(t, err, 404, "MANIFEST_UNKNOWN", "")
	if keys := b.keys(t); len(keys) > 0 {
		t.Errorf("stored %q", keys)
	}
}

func TestAnImmutableTagStays(t *testing.T) {
	b := fresh(t)
	b.fixed = true
	first, second := image(t, 1), image(t, 1)
	ref := b.ref(t, "mine:v1")
	for range 2 { // the same again is no move
		if err := remote.Write(ref, first, signedIn); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, remote.Write(ref, second, signedIn), 400, "TAG_INVALID", "The image tag 'v1' already exists in the 'mine' repository")
	if err := remote.Write(b.ref(t, "mine:v2"), second, signedIn); err != nil {
		t.Error(err)
	}
	if got, err := remote.Image(ref, signedIn); err != nil || digestOf(t, got) != digestOf(t, first) {
		t.Errorf("the tag moved: %v", err)
	}
	b.fixed = false
	if err := remote.Write(ref, second, signedIn); err != nil {
		t.Error(err)
	}
}

func TestAnAbandonedPushLeavesNothing(t *testing.T) {
	b := fresh(t)
	started := b.do(t, "POST", "/v2/mine/blobs/uploads/", "", "")
	if started.StatusCode != http.StatusAccepted {
		t.Fatal(started.Status)
	}
	// Half a layer, and the connection is gone.
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "PATCH", started.Header.Get("Location"), r)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("AWS", "secret")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a, err := http.DefaultClient.Do(req); err == nil {
			a.Body.Close()
			t.Error("half a layer is answered")
		}
	}()
	half := bytes.Repeat([]byte("half a layer"), 100_000)
	if _, err := w.Write(half); err != nil {
		t.Fatal(err)
	}
	cancel()
	w.CloseWithError(io.ErrUnexpectedEOF)
	<-done
	if keys := b.keys(t); len(keys) > 0 {
		t.Errorf("stored %q", keys)
	}
	// A blob whose digest is another's is not taken either.
	wrong := b.do(t, "POST", "/v2/mine/blobs/uploads/?digest="+string(digest.FromString("else")), "application/octet-stream", "this")
	put := b.do(t, "PUT", wrong.Header.Get("Location")+"&digest="+string(digest.FromString("else")), "application/octet-stream", "this")
	if put.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong digest is answered %s", put.Status)
	}
	// Nor a manifest whose layers are not there.
	manifest, err := image(t, 1).RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	a := b.do(t, "PUT", "/v2/mine/manifests/v1", "application/vnd.docker.distribution.manifest.v2+json", string(manifest))
	if body, _ := io.ReadAll(a.Body); a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("MANIFEST_BLOB_UNKNOWN")) {
		t.Errorf("a manifest without layers is answered %s %s", a.Status, body)
	}
	if keys := b.keys(t); len(keys) > 0 {
		t.Errorf("stored %q", keys)
	}
	// After kill -9 the next server finds the files of uploads, and removes them.
	files := func() (n int) {
		filepath.WalkDir(b.dir, func(_ string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return nil
		})
		return n
	}
	if files() == 0 {
		t.Fatal("the test has left no upload")
	}
	second, err := New(Options{Objects: b.objects, Bucket: "images", Dir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n := files(); n > 0 {
		t.Errorf("%d files of uploads are left", n)
	}
}

func TestABlobInChunks(t *testing.T) {
	b := fresh(t)
	parts := []string{strings.Repeat("a", 1<<20), strings.Repeat("b", 1<<19), "c"}
	at := b.do(t, "POST", "/v2/mine/blobs/uploads/", "", "").Header.Get("Location")
	for _, p := range parts {
		a := b.do(t, "PATCH", at, "application/octet-stream", p)
		if a.StatusCode != http.StatusAccepted {
			t.Fatal(a.Status)
		}
		at = a.Header.Get("Location")
	}
	whole := strings.Join(parts, "")
	d := digest.FromString(whole)
	if a := b.do(t, "PUT", at+"&digest="+string(d), "", ""); a.StatusCode != http.StatusCreated {
		t.Fatal(a.Status)
	}
	r, size, err := b.Blob(t.Context(), "mine", string(d))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != whole || size != int64(len(whole)) {
		t.Errorf("got %d of %d bytes, %v", len(got), size, err)
	}
	if _, _, err := b.Blob(t.Context(), "mine/deeper", string(d)); !errors.Is(err, ErrNotFound) {
		t.Errorf("another repository has it: %v", err)
	}
}

func TestOldUploadsArePurged(t *testing.T) {
	b := fresh(t)
	at := b.do(t, "POST", "/v2/mine/blobs/uploads/", "", "").Header.Get("Location")
	at = b.do(t, "PATCH", at, "application/octet-stream", "half").Header.Get("Location")
	if err := b.driver.purge(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	a := b.do(t, "PATCH", at, "application/octet-stream", "more")
	if a.StatusCode != http.StatusAccepted {
		t.Errorf("a young upload: %s", a.Status)
	}
	if err := b.driver.purge(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if a := b.do(t, "PATCH", a.Header.Get("Location"), "application/octet-stream", "more"); a.StatusCode != http.StatusNotFound {
		t.Errorf("a purged upload: %s", a.Status)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Objects: mem.New(), Bucket: "b", Dir: "relative"}, {Objects: mem.New(), Dir: t.TempDir()}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
