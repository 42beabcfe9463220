// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"path/filepath"
	"testing"
)

func TestNameUnder(t *testing.T) {
	tests := []struct{ prefix, key, want string }{
		{"data/train", "data/train/a.csv", "a.csv"},
		{"data/train/", "data/train/sub/a.csv", "sub/a.csv"},
		{"data/train.csv", "data/train.csv", "train.csv"},
		{"data/tr", "data/train/a.csv", "train/a.csv"},
		{"data/train", "data/train2.csv", "train2.csv"},
		{"", "a/b.csv", "a/b.csv"},
		{"a", "a", "a"},
	}
	for _, tt := range tests {
		if got := nameUnder(tt.prefix, tt.key); got != tt.want {
			t.Errorf("%s under %q is %s, want %s", tt.key, tt.prefix, got, tt.want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`[{"prefix": "s3://bucket/data/"}, "a.csv", "/b.csv"]`))
	f.Add([]byte(`[{"prefix": "s3://bucket/"}, "../x"]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		items, err := parseManifest(b)
		if err != nil {
			return
		}
		for _, it := range items {
			if it.URI.Bucket == "" || !filepath.IsLocal(it.Name) {
				t.Fatalf("%q gives %+v", b, it)
			}
		}
	})
}
