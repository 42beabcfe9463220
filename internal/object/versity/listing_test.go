// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// page is what both versions of ListObjects give.
type page struct {
	objects  []s3response.Object
	prefixes []types.CommonPrefix
	more     bool
	next     string
}

// plainly is the pages as text, one behind the other.
func plainly(pages []page) (keys, prefixes []string) {
	for _, p := range pages {
		for _, o := range p.objects {
			keys = append(keys, *o.Key)
		}
		for _, c := range p.prefixes {
			prefixes = append(prefixes, *c.Prefix)
		}
	}
	return keys, prefixes
}

// The pages must be those of the S3 server's own listing, which is slow but
// known, but for a last page that turns out to be empty.
func TestListingsAreThoseOfTheServer(t *testing.T) {
	s := newStore(t, Options{})
	const bucket = "bucket"
	if err := s.MakeBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", "-", "0", ".a", "ü", "ab"}
	name := func() string {
		var b strings.Builder
		for range 1 + random.IntN(3) {
			b.WriteString(letters[random.IntN(len(letters))])
			if random.IntN(4) == 0 {
				b.WriteByte('/')
			}
		}
		return b.String()
	}
	for range 400 {
		u := object.URI{Bucket: bucket, Key: name()} // names that clash are refused
		s.Put(t.Context(), u, strings.NewReader(strings.Repeat("x", random.IntN(9))))
	}
	for i := range 5 { // folders and files of another hand
		if err := os.MkdirAll(filepath.Join(s.opt.Root, bucket, fmt.Sprintf("a0%d/empty", i)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.opt.Root, bucket, fmt.Sprintf("a0%d", i), "file"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := s.List(t.Context(), object.URI{Bucket: bucket}, "", 10_000)
	if err != nil || len(all) < 100 {
		t.Fatalf("%d objects, %v", len(all), err)
	}
	b := &backend{Posix: s.posix, store: s}
	for range 120 {
		prefix, after, delimiter := "", "", []string{"", "/", "/", "-", "b/", "a"}[random.IntN(6)]
		if k := all[random.IntN(len(all))].URI.Key; random.IntN(2) == 0 {
			prefix = k[:random.IntN(len(k)+1)]
		}
		if random.IntN(2) == 0 {
			after = name()
		}
		limit := []int32{1, 2, 3, 7, 1000}[random.IntN(5)]
		gather := func(list func(marker string) page) (pages []page) {
			for marker := after; ; {
				p := list(marker)
				pages = append(pages, p)
				if !p.more {
					return pages
				}
				if p.next <= marker || int32(len(p.objects)+len(p.prefixes)) != limit {
					t.Fatalf("page after %q goes on from %q with %d, %d of %d", marker, p.next, len(p.objects), len(p.prefixes), limit)
				}
				marker = p.next
			}
		}
		v1 := func(list func(in *s3.ListObjectsInput) (s3response.ListObjectsResult, error)) []page {
			return gather(func(marker string) page {
				r, err := list(&s3.ListObjectsInput{Bucket: new(bucket), Prefix: &prefix, Delimiter: &delimiter, Marker: &marker, MaxKeys: &limit})
				if err != nil {
					t.Fatal(err)
				}
				return page{r.Contents, r.CommonPrefixes, *r.IsTruncated, value(r.NextMarker)}
			})
		}
		v2 := func(list func(in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error)) []page {
			return gather(func(marker string) page {
				r, err := list(&s3.ListObjectsV2Input{Bucket: new(bucket), Prefix: &prefix, Delimiter: &delimiter, StartAfter: &after, ContinuationToken: &marker, MaxKeys: &limit})
				if err != nil {
					t.Fatal(err)
				}
				if int(*r.KeyCount) != len(r.Contents)+len(r.CommonPrefixes) {
					t.Errorf("KeyCount %d of %d, %d", *r.KeyCount, len(r.Contents), len(r.CommonPrefixes))
				}
				return page{r.Contents, r.CommonPrefixes, *r.IsTruncated, value(r.NextContinuationToken)}
			})
		}
		for version, c := range [][2][]page{
			{v1(func(in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
				return b.ListObjects(t.Context(), in)
			}),
				v1(func(in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
					r, err := s.posix.ListObjects(t.Context(), in)
					b.settlePage(bucket, r.Contents)
					return r, err
				})},
			{v2(func(in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
				return b.ListObjectsV2(t.Context(), in)
			}),
				v2(func(in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
					r, err := s.posix.ListObjectsV2(t.Context(), in)
					b.settlePage(bucket, r.Contents)
					return r, err
				})},
		} {
			got, want := c[0], c[1]
			// The server says that there is more when it has not looked.
			if last := want[len(want)-1]; len(want) > 1 && len(last.objects)+len(last.prefixes) == 0 && len(want) == len(got)+1 {
				want = want[:len(want)-1]
				want[len(want)-1].more, want[len(want)-1].next = false, ""
			}
			same := slices.EqualFunc(got, want, func(a, b page) bool {
				return a.more == b.more && a.next == b.next && len(a.objects) == len(b.objects) && len(a.prefixes) == len(b.prefixes) &&
					(len(a.objects) == 0 || reflect.DeepEqual(a.objects, b.objects)) && (len(a.prefixes) == 0 || reflect.DeepEqual(a.prefixes, b.prefixes))
			})
			if !same {
				gotKeys, gotPrefixes := plainly(got)
				wantKeys, wantPrefixes := plainly(want)
				t.Fatalf("version %d, prefix %q, delimiter %q, after %q, at most %d:\n%d pages %q %q\n%d pages %q %q", version+1,
					prefix, delimiter, after, limit, len(got), gotKeys, gotPrefixes, len(want), wantKeys, wantPrefixes)
			}
		}
	}
	none, err := b.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new(bucket), MaxKeys: new(int32(0))})
	if err != nil || *none.IsTruncated || len(none.Contents) != 0 {
		t.Errorf("at most 0: %+v, %v", none, err)
	}
	if _, err := b.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("nowhere"), MaxKeys: new(int32(1))}); err == nil {
		t.Error("a bucket that is not there was listed")
	}
}
