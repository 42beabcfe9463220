// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

func BenchmarkDoor(b *testing.B) {
	s, address := served(b, Options{})
	for _, size := range []int{4 << 10, 64 << 20} {
		body := make([]byte, size)
		key := fmt.Sprintf("k%d", size)
		b.Run(fmt.Sprintf("put/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if a, text := do(b, request(b, "PUT", address+"/bucket/"+key, bytes.NewReader(body), int64(size))); a.StatusCode != 200 {
					b.Fatal(text)
				}
			}
		})
		b.Run(fmt.Sprintf("get/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				a, err := http.DefaultClient.Do(request(b, "GET", address+"/bucket/"+key, nil, 0))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
		})
		u := object.URI{Bucket: "bucket", Key: key}
		b.Run(fmt.Sprintf("inside/put/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := s.Put(b.Context(), u, bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("inside/get/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := s.Open(b.Context(), u, 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, r)
				r.Close()
			}
		})
	}
}

// BenchmarkListFlat goes through 100,000 objects of one folder.
func BenchmarkListFlat(b *testing.B) {
	s := newStore(b, Options{})
	dir := filepath.Join(s.opt.Root, "bucket")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d", i)), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("door", func(b *testing.B) {
		door := &backend{Posix: s.posix, store: s}
		for b.Loop() {
			n, marker := 0, ""
			for more := true; more; {
				r, err := door.ListObjectsV2(b.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), ContinuationToken: &marker, MaxKeys: new(int32(1000))})
				if err != nil {
					b.Fatal(err)
				}
				n, more, marker = n+len(r.Contents), *r.IsTruncated, value(r.NextContinuationToken)
			}
			if n != 100_000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("inside", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := object.All(b.Context(), s, object.URI{Bucket: "bucket"}, func(object.Info) error { n++; return nil }); err != nil || n != 100_000 {
				b.Fatal(n, err)
			}
		}
	})
}
