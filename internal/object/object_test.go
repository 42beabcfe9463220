// SPDX-License-Identifier: Apache-2.0

package object_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		in   string
		want object.URI
		bad  bool
	}{
		{in: "s3://bucket/key", want: object.URI{Bucket: "bucket", Key: "key"}},
		{in: "s3://bucket/a/b/", want: object.URI{Bucket: "bucket", Key: "a/b/"}},
		{in: "s3://bucket/", want: object.URI{Bucket: "bucket"}},
		{in: "s3://bucket", want: object.URI{Bucket: "bucket"}},
		{in: "s3://bucket//k", want: object.URI{Bucket: "bucket", Key: "/k"}},
		{in: "s3://bucket/ü ?#%20", want: object.URI{Bucket: "bucket", Key: "ü ?#%20"}},
		{in: "s3:///key", bad: true},
		{in: "s3://", bad: true},
		{in: "S3://bucket/key", bad: true},
		{in: "https://bucket/key", bad: true},
		{in: "bucket/key", bad: true},
		{in: "", bad: true},
	} {
		got, err := object.ParseURI(c.in)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("ParseURI(%q) = %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"s3://b/k", "s3://b", "s3:///", "s3://b/ü/", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := object.ParseURI(s)
		if err != nil {
			if u != (object.URI{}) {
				t.Errorf("%q: %+v beside an error", s, u)
			}
			return
		}
		if u.Bucket == "" || strings.Contains(u.Bucket, "/") {
			t.Errorf("%q: bucket %q", s, u.Bucket)
		}
		if again, err := object.ParseURI(u.String()); err != nil || again != u {
			t.Errorf("%q: %+v reads back as %+v, %v", s, u, again, err)
		}
	})
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		key   string
		parts []string
		want  string
	}{
		{"", nil, ""}, {"", []string{"a"}, "a"}, {"", []string{"a", "b"}, "a/b"}, {"a", []string{"b"}, "a/b"}, {"a/", []string{"b"}, "a/b"},
		{"a", []string{"/b"}, "a/b"}, {"a/", []string{"/b/"}, "a/b/"}, {"a", []string{"b/", "c"}, "a/b/c"}, {"a", []string{""}, "a/"},
	} {
		u := object.URI{Bucket: "bucket", Key: c.key}
		if got := u.Join(c.parts...); got.Key != c.want || got.Bucket != "bucket" {
			t.Errorf("%q joined with %q is %q, want %q", c.key, c.parts, got.Key, c.want)
		}
		if u.Key != c.key {
			t.Errorf("Join changed %q to %q", c.key, u.Key)
		}
	}
}

func TestAll(t *testing.T) {
	s := mem.New("bucket")
	var want []string
	for i := range 2500 { // more than two pages
		key := fmt.Sprintf("p/%04d", i)
		want = append(want, key)
		if _, err := s.Put(t.Context(), object.URI{Bucket: "bucket", Key: key}, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Put(t.Context(), object.URI{Bucket: "bucket", Key: "q"}, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	u := object.URI{Bucket: "bucket", Key: "p/"}
	var got []string
	if err := object.All(t.Context(), s, u, func(o object.Info) error { got = append(got, o.URI.Key); return nil }); err != nil || !slices.Equal(got, want) {
		t.Errorf("All gave %d keys, %v; want %d in order", len(got), err, len(want))
	}
	enough, count := errors.New("enough"), 0
	err := object.All(t.Context(), s, u, func(object.Info) error {
		if count++; count == 1200 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || count != 1200 {
		t.Errorf("All went on to %d, %v after it was told enough", count, err)
	}
	if err := object.All(context.Background(), s, object.URI{Bucket: "no"}, nil); !errors.Is(err, object.ErrNoBucket) || !errors.Is(err, object.ErrNotFound) {
		t.Errorf("All without a bucket: %v", err)
	}
}
