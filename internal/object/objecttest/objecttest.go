// SPDX-License-Identifier: Apache-2.0

// Package objecttest is what every object.Store must hold to.
package objecttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

const bucket = "sagemaker-us-east-1-123456789012"

// Run tests a Store. newStore is called for each subtest, one after the other,
// and gives a Store without buckets; what it opened it closes by t.Cleanup.
func Run(t *testing.T, newStore func(t *testing.T) object.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, object.Store)
	}{
		{"buckets are made once and found", buckets},
		{"an object is read as it was written", roundTrip},
		{"a range is what it names and no more", ranges},
		{"what is missing is told as such", missing},
		{"readers of unknown length are written whole", unknownLength},
		{"a write that fails leaves the old object", failedPut},
		{"readers see the old or the new object", overwrite},
		{"concurrent writers do not mix", concurrentPuts},
		{"keys come in byte order of the whole key", keyOrder},
		{"any prefix and any start give what they should", randomLists},
		{"five thousand keys come page by page", paging},
		{"names of every kind are kept", names},
		{"deleted objects are gone and their neighbours stay", deletes},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			if err := s.MakeBucket(t.Context(), bucket); err != nil {
				t.Fatalf("MakeBucket: %v", err)
			}
			c.test(t, s)
		})
	}
}

func at(key string) object.URI { return object.URI{Bucket: bucket, Key: key} }

func put(t *testing.T, s object.Store, key, value string) object.Info {
	t.Helper()
	info, err := s.Put(t.Context(), at(key), strings.NewReader(value))
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return info
}

func read(ctx context.Context, s object.Store, key string, offset, size int64) (string, error) {
	r, err := s.Open(ctx, at(key), offset, size)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// keys lists everything under prefix in pages of this size.
func keys(t *testing.T, s object.Store, prefix, after string, page int) []string {
	t.Helper()
	all := []string{}
	for {
		objects, more, err := s.List(t.Context(), at(prefix), after, page)
		if err != nil {
			t.Fatalf("List %q after %q: %v", prefix, after, err)
		}
		if len(objects) > page || more && len(objects) != page {
			t.Fatalf("List %q after %q: page of %d, more %v, at most %d were asked for", prefix, after, len(objects), more, page)
		}
		for _, o := range objects {
			all = append(all, o.URI.Key)
			after = o.URI.Key
		}
		if !more {
			return all
		}
	}
}

func buckets(t *testing.T, s object.Store) {
	for _, c := range []struct {
		bucket string
		want   bool
	}{{bucket, true}, {"elsewhere", false}, {"..", false}} {
		if ok, err := s.HasBucket(t.Context(), c.bucket); ok != c.want || err != nil {
			t.Errorf("HasBucket(%s) = %v, %v; want %v", c.bucket, ok, err, c.want)
		}
	}
	put(t, s, "kept", "x")
	if err := s.MakeBucket(t.Context(), bucket); err != nil {
		t.Errorf("MakeBucket again: %v", err)
	}
	if got := keys(t, s, "", "", 10); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("after MakeBucket again: keys %q", got)
	}
}

func roundTrip(t *testing.T, s object.Store) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, data := range []string{"", "x", string(big) + "tail"} {
		key := fmt.Sprintf("models/%d/model.tar.gz", len(data))
		began := time.Now().Add(-2 * time.Second)
		info := put(t, s, key, data)
		sum := md5.Sum([]byte(data))
		want := object.Info{URI: at(key), Size: int64(len(data)), ETag: hex.EncodeToString(sum[:]), Modified: info.Modified}
		if info != want {
			t.Errorf("Put of %d bytes: %+v, want %+v", len(data), info, want)
		}
		if info.Modified.Before(began) || info.Modified.After(time.Now().Add(2*time.Second)) {
			t.Errorf("Put of %d bytes: modified %v", len(data), info.Modified)
		}
		got, err := s.Stat(t.Context(), at(key))
		if err != nil || got != want {
			t.Errorf("Stat: %+v, %v; want %+v", got, err, want)
		}
		page, _, err := s.List(t.Context(), at(key), "", 10)
		if err != nil || len(page) != 1 || page[0] != want {
			t.Errorf("List: %+v, %v; want %+v", page, err, want)
		}
		if text, err := read(t.Context(), s, key, 0, -1); err != nil || text != data {
			t.Errorf("read %d bytes, %v; want %d", len(text), err, len(data))
		}
	}
}

func ranges(t *testing.T, s object.Store) {
	put(t, s, "ten", "0123456789")
	for _, c := range []struct {
		offset, size int64
		want         string
	}{{0, -1, "0123456789"}, {0, 0, ""}, {0, 4, "0123"}, {3, 4, "3456"}, {9, 1, "9"}, {8, 10, "89"}, {7, -1, "789"}, {10, -1, ""}, {99, 5, ""}} {
		if got, err := read(t.Context(), s, "ten", c.offset, c.size); err != nil || got != c.want {
			t.Errorf("Open at %d, %d bytes: %q, %v; want %q", c.offset, c.size, got, err, c.want)
		}
	}
}

func missing(t *testing.T, s object.Store) {
	ctx := t.Context()
	put(t, s, "dir/file", "x")
	nowhere := object.URI{Bucket: "nowhere", Key: "k"}
	calls := []struct {
		name string
		call func(object.URI) error
	}{
		{"Stat", func(u object.URI) error { _, err := s.Stat(ctx, u); return err }},
		{"Open", func(u object.URI) error { _, err := s.Open(ctx, u, 0, -1); return err }},
		{"List", func(u object.URI) error { _, _, err := s.List(ctx, u, "", 1); return err }},
		{"Put", func(u object.URI) error { _, err := s.Put(ctx, u, strings.NewReader("x")); return err }},
		{"Delete", func(u object.URI) error { return s.Delete(ctx, u) }},
	}
	for _, c := range calls {
		if err := c.call(nowhere); !errors.Is(err, object.ErrNoBucket) || !errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s without its bucket: %v, want ErrNoBucket", c.name, err)
		}
	}
	for _, key := range []string{"no", "dir", "dir/", "dir/no", "no/such", "dir/file/below"} {
		for _, c := range calls[:2] {
			if err := c.call(at(key)); !errors.Is(err, object.ErrNotFound) || errors.Is(err, object.ErrNoBucket) {
				t.Errorf("%s of %s: %v, want ErrNotFound", c.name, key, err)
			}
		}
		if err := s.Delete(ctx, at(key)); err != nil {
			t.Errorf("Delete of %s: %v", key, err)
		}
		if key != "dir" && key != "dir/" {
			if got := keys(t, s, key, "", 5); len(got) != 0 {
				t.Errorf("List of %s: %q", key, got)
			}
		}
	}
	if got := keys(t, s, "", "", 5); !slices.Equal(got, []string{"dir/file"}) {
		t.Errorf("keys %q, want the one object", got)
	}
	if ok, err := s.HasBucket(ctx, "nowhere"); ok || err != nil {
		t.Errorf("HasBucket(nowhere) = %v, %v after a failed Put", ok, err)
	}
}

func unknownLength(t *testing.T, s object.Store) {
	file := filepath.Join(t.TempDir(), "f")
	for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(data)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]io.Reader{
			"a stream":               struct{ io.Reader }{bytes.NewReader(data)},
			"a file":                 f,
			"a section":              io.NewSectionReader(bytes.NewReader(data), 0, int64(size)),
			"a stream of odd pieces": iotest.HalfReader(bytes.NewReader(data)),
		} {
			info, err := s.Put(t.Context(), at("stream"), r)
			if err != nil || info.Size != int64(size) {
				t.Fatalf("Put of %d bytes from %s: %+v, %v", size, name, info, err)
			}
			if got, err := read(t.Context(), s, "stream", 0, -1); err != nil || got != string(data) {
				t.Fatalf("Put of %d bytes from %s: read %d others, %v", size, name, len(got), err)
			}
		}
		f.Close()
	}
}

func failedPut(t *testing.T, s object.Store) {
	put(t, s, "k", "old")
	broken := errors.New("broken")
	for _, size := range []int{0, 10, 3 << 20} {
		r := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), at("k"), r); !errors.Is(err, broken) {
			t.Errorf("Put that fails after %d bytes: %v", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, at("k"), strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put of the cancelled: %v", err)
	}
	if _, err := s.Put(t.Context(), at(""), strings.NewReader("new")); err == nil {
		t.Error("Put without a key succeeded")
	}
	if got, err := read(t.Context(), s, "k", 0, -1); err != nil || got != "old" {
		t.Errorf("read %q, %v; want the old object", got, err)
	}
	if got := keys(t, s, "", "", 10); !slices.Equal(got, []string{"k"}) {
		t.Errorf("keys %q, want the one object", got)
	}
}

func overwrite(t *testing.T, s object.Store) {
	value := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 100_000+i) }
	put(t, s, "d/k", value(0))
	held, err := s.Open(t.Context(), at("d/k"), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	ctx, done := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				got, err := read(t.Context(), s, "d/k", 0, -1)
				if err != nil || got == "" || got != value(len(got)-100_000) {
					t.Errorf("reader saw %d bytes, %v", len(got), err)
					return
				}
				page, _, err := s.List(t.Context(), at(""), "", 10)
				if err != nil || len(page) != 1 || page[0].URI.Key != "d/k" {
					t.Errorf("lister saw %v, %v", page, err)
					return
				}
			}
		})
	}
	for i := range 50 {
		put(t, s, "d/k", value(i+1))
	}
	done()
	readers.Wait()
	if got, err := io.ReadAll(held); err != nil || string(got) != value(0) {
		t.Errorf("a reader from before read %d bytes, %v; want what it opened", len(got), err)
	}
}

func concurrentPuts(t *testing.T, s object.Store) {
	var writers sync.WaitGroup
	for i := range 16 {
		writers.Go(func() {
			for j := range 10 {
				own := fmt.Sprintf("own/%02d/%d", i, j)
				if _, err := s.Put(t.Context(), at(own), strings.NewReader(own)); err != nil {
					t.Errorf("Put %s: %v", own, err)
				}
				shared := bytes.Repeat([]byte{byte('a' + i)}, 10_000)
				if _, err := s.Put(t.Context(), at("shared"), bytes.NewReader(shared)); err != nil {
					t.Errorf("Put shared: %v", err)
				}
				if j%3 == 0 { // folders come and go under the others
					if err := s.Delete(t.Context(), at(own)); err != nil {
						t.Errorf("Delete %s: %v", own, err)
					}
				}
			}
		})
	}
	writers.Wait()
	got, err := read(t.Context(), s, "shared", 0, -1)
	if err != nil || len(got) != 10_000 || strings.Trim(got, got[:1]) != "" {
		t.Errorf("shared object is a mixture of %d bytes, %v", len(got), err)
	}
	if got := keys(t, s, "own/", "", 7); len(got) != 16*6 {
		t.Errorf("%d of the writers' own objects, want %d", len(got), 16*6)
	}
}

// traps are keys whose order as paths is not their order as keys.
var traps = []string{
	"a-b", "a.txt", "a/b/x", "a/b-c", "a/b.d/e", "a/b0", "a/bc/d", "a0/x", "aa/y", "b!", "b/c/d/e/f", "b/c-d/e", "b/c0",
	"data/part-00000", "data/part-00000.csv", "data/part-00001/x", "data-old/1", "data.json", "é/1", "é-", "z/ü/日本", "z/ü-1", "~",
}

func keyOrder(t *testing.T, s object.Store) {
	for _, k := range traps {
		put(t, s, k, k)
	}
	want := slices.Sorted(slices.Values(traps))
	for _, page := range []int{1, 2, 3, 1000} {
		if got := keys(t, s, "", "", page); !slices.Equal(got, want) {
			t.Errorf("pages of %d:\n got %q\nwant %q", page, got, want)
		}
	}
	var all []string
	err := object.All(t.Context(), s, at("a"), func(o object.Info) error { all = append(all, o.URI.Key); return nil })
	begin := slices.DeleteFunc(want, func(k string) bool { return !strings.HasPrefix(k, "a") })
	if err != nil || !slices.Equal(all, begin) {
		t.Errorf("All under a: %q, %v; want %q", all, err, begin)
	}
}

func randomLists(t *testing.T, s object.Store) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("ab-.0/"[rng.IntN(6)])
		}
		return b.String()
	}
	have := map[string]bool{}
	for range 400 {
		key := strings.Trim(word(1+rng.IntN(9)), "/.")
		clash := key == "" || strings.Contains(key, "//") || strings.Contains("/"+key+"/", "/./") || strings.Contains("/"+key+"/", "/../")
		for k := range have { // a file is no folder
			clash = clash || strings.HasPrefix(k, key+"/") || strings.HasPrefix(key, k+"/")
		}
		if !clash {
			have[key] = true
			put(t, s, key, "x")
		}
	}
	all := []string{}
	for k := range have {
		all = append(all, k)
	}
	slices.Sort(all)
	for range 500 {
		prefix, after := word(rng.IntN(4)), word(rng.IntN(6))
		if rng.IntN(3) == 0 {
			after = all[rng.IntN(len(all))]
		}
		want := []string{}
		for _, k := range all {
			if strings.HasPrefix(k, prefix) && cmp.Less(after, k) {
				want = append(want, k)
			}
		}
		if got := keys(t, s, prefix, after, 1+rng.IntN(20)); !slices.Equal(got, want) {
			t.Fatalf("prefix %q after %q:\n got %q\nwant %q", prefix, after, got, want)
		}
	}
}

func paging(t *testing.T, s object.Store) {
	const n = 5000
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("flat/%05d.csv", i)
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w; i < n; i += 4 {
				if _, err := s.Put(t.Context(), at(want[i]), strings.NewReader("x")); err != nil {
					t.Errorf("Put %s: %v", want[i], err)
					return
				}
			}
		})
	}
	writers.Wait()
	for _, page := range []int{333, 1000, n, n + 1} {
		if got := keys(t, s, "flat/", "", page); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d keys, want %d in order", page, len(got), n)
		}
	}
	if got := keys(t, s, "flat/049", "flat/04990.csv", 5); !slices.Equal(got, want[4991:]) {
		t.Errorf("from the middle: %q", got)
	}
	// A listing shows what was written a moment ago, also when it has read
	// the folder before.
	put(t, s, "flat/00000.a", "x")
	if err := s.Delete(t.Context(), at(want[1])); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, "flat/0000", "", 3); got[0] != "flat/00000.a" || got[1] != want[0] || got[2] != want[2] {
		t.Errorf("after a change: %q", got[:3])
	}
}

func names(t *testing.T, s object.Store) {
	list := []string{
		"ä/ö/ü.csv", "日本語/データ.json", "sp ace/and+plus", "per%20cent/%2F", "quote'\"`", "semi;colon&and=?#", "…", ".hidden", "a..b", "back\\slash",
		"emoji/🙂", "e\u0301", "tab\tnew\nline", strings.Repeat("x", 255), strings.Repeat("long/", 180) + "end",
	}
	for _, k := range list {
		put(t, s, k, "value of "+k)
	}
	for _, k := range list {
		if got, err := read(t.Context(), s, k, 0, -1); err != nil || got != "value of "+k {
			t.Errorf("read %q: %q, %v", k, got, err)
		}
	}
	slices.Sort(list)
	if got := keys(t, s, "", "", 4); !slices.Equal(got, list) {
		t.Errorf("keys\n got %q\nwant %q", got, list)
	}
}

func deletes(t *testing.T, s object.Store) {
	for _, k := range []string{"a/b/c", "a/b/d", "a/e", "f"} {
		put(t, s, k, k)
	}
	for _, c := range []struct {
		key  string
		rest []string
	}{{"a/b/c", []string{"a/b/d", "a/e", "f"}}, {"a/b/d", []string{"a/e", "f"}}, {"a/e", []string{"f"}}, {"a/e", []string{"f"}}, {"f", []string{}}} {
		if err := s.Delete(t.Context(), at(c.key)); err != nil {
			t.Errorf("Delete %s: %v", c.key, err)
		}
		if got := keys(t, s, "", "", 2); !slices.Equal(got, c.rest) {
			t.Errorf("after Delete of %s: %q, want %q", c.key, got, c.rest)
		}
	}
	put(t, s, "a", "a file where a folder was")
	if ok, err := s.HasBucket(t.Context(), bucket); !ok || err != nil {
		t.Errorf("HasBucket = %v, %v after its last object went", ok, err)
	}
}
