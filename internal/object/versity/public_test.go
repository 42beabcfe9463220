// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// shelf is a Public of one bucket.
type shelf struct {
	asked atomic.Int32
	fail  atomic.Bool
}

func (*shelf) Has(bucket string) bool { return bucket == "public" }

func (s *shelf) Objects(string) (map[string][]byte, error) {
	s.asked.Add(1)
	if s.fail.Load() {
		return nil, errors.New("not now")
	}
	return map[string][]byte{"index.json": []byte("[]"), "a/b.txt": []byte("hello")}, nil
}

func TestAPublicBucketIsReadByAllAndWrittenByNone(t *testing.T) {
	p := &shelf{}
	s, address := served(t, Options{Public: p})
	anyone := func(method, path, body string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return do(t, r)
	}
	if _, text := do(t, request(t, "GET", address+"/", nil, 0)); strings.Contains(text, "<Name>public</Name>") || !strings.Contains(text, "<Name>bucket</Name>") {
		t.Errorf("buckets: %s", text)
	}
	var all sync.WaitGroup
	for range 8 { // the first to come may be many
		all.Go(func() {
			if a, text := anyone("GET", "/public/a/b.txt", ""); a.StatusCode != 200 || text != "hello" {
				t.Errorf("%s: %s", a.Status, text)
			}
		})
	}
	all.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("its objects were asked for %d times", n)
	}
	if a, text := anyone("GET", "/public?list-type=2&prefix=a/", ""); a.StatusCode != 200 || !strings.Contains(text, "<Key>a/b.txt</Key>") || strings.Contains(text, "index.json") {
		t.Errorf("%s: %s", a.Status, text)
	}
	if a, text := do(t, request(t, "GET", address+"/public/a/b.txt", nil, 0)); a.StatusCode != 200 || text != "hello" || a.Header.Get("ETag") != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("%s: %s %v", a.Status, text, a.Header)
	}
	if _, text := do(t, request(t, "GET", address+"/", nil, 0)); strings.Contains(text, "<Name>public</Name>") {
		t.Errorf("buckets: %s", text)
	}
	for _, c := range []struct{ method, path string }{
		{"PUT", "/public/new"}, {"PUT", "/public/a/b.txt"}, {"DELETE", "/public/a/b.txt"}, {"DELETE", "/public"},
		{"POST", "/public?delete"}, {"POST", "/public/new?uploads"}, {"PUT", "/public?policy"}, {"POST", "/public"},
	} {
		if a, text := do(t, request(t, c.method, address+c.path, strings.NewReader("x"), 1)); a.StatusCode != 403 || !strings.Contains(text, "<Code>AccessDenied</Code>") {
			t.Errorf("%s %s: %s %s", c.method, c.path, a.Status, text)
		}
	}
	if a, text := do(t, request(t, "PUT", address+"/public", nil, 0)); a.StatusCode != 409 || !strings.Contains(text, "<Code>BucketAlreadyExists</Code>") {
		t.Errorf("%s: %s", a.Status, text)
	}
	if a, _ := anyone("GET", "/bucket/x", ""); a.StatusCode != 403 {
		t.Errorf("another's bucket is open: %s", a.Status)
	}

	// From inside the process.
	u := object.URI{Bucket: "public", Key: "a/b.txt"}
	if _, err := s.Put(t.Context(), u, strings.NewReader("x")); !errors.Is(err, errPublic) {
		t.Errorf("put: %v", err)
	}
	if err := s.Delete(t.Context(), u); !errors.Is(err, errPublic) {
		t.Errorf("delete: %v", err)
	}
	path, err := s.Path(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "hello" {
		t.Errorf("%s: %q %v", path, b, err)
	}
}

func TestAPublicBucketIsThereForTheProcess(t *testing.T) {
	for name, look := range map[string]func(*Store) error{
		"HasBucket": func(s *Store) error {
			ok, err := s.HasBucket(t.Context(), "public")
			if !ok && err == nil {
				err = object.ErrNoBucket
			}
			return err
		},
		"Open": func(s *Store) error {
			r, err := s.Open(t.Context(), object.URI{Bucket: "public", Key: "index.json"}, 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			if err == nil && !bytes.Equal(b, []byte("[]")) {
				err = errors.New(string(b))
			}
			return err
		},
		"List": func(s *Store) error {
			page, more, err := s.List(t.Context(), object.URI{Bucket: "public"}, "", 10)
			if err == nil && (len(page) != 2 || more || page[0].URI.Key != "a/b.txt") {
				err = errors.New("the page is another")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &shelf{}
			s, _ := served(t, Options{Public: p})
			p.fail.Store(true)
			if err := look(s); err == nil || !strings.Contains(err.Error(), "not now") {
				t.Errorf("while it fails: %v", err)
			}
			p.fail.Store(false)
			if err := look(s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPublicBucketFollowsTheBinary(t *testing.T) {
	root, state := t.TempDir(), t.TempDir()
	o := Options{Root: root, State: state, Public: &shelf{}, Keys: keyring{}, RootKey: rootKey}
	s := newStore(t, o)
	u := object.URI{Bucket: "public", Key: "a/b.txt"}
	path, err := s.Path(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("of an older binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, o)
	if info, err := s.Stat(t.Context(), u); err != nil || info.Size != 5 {
		t.Errorf("%+v %v", info, err)
	}
}
