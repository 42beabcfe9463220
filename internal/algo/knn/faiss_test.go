// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo/nearest"
)

// golden reads an index of testdata, and what faiss finds in it.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var indexFiles = []string{"flat", "inner", "ivf", "ivf-inner", "ivf-sparse", "pq", "pq-whole"}

func TestWhatFaissWrote(t *testing.T) {
	var want struct {
		Asked []float32
		Found map[string]struct {
			Distances []float32
			Numbers   []int32
		}
	}
	if err := json.Unmarshal(golden(t, "found.json"), &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range indexFiles {
		t.Run(name, func(t *testing.T) {
			b := golden(t, name+".faiss")
			x, err := readIndex(b)
			if err != nil {
				t.Fatal(err)
			}
			const k = 3
			m := len(want.Asked) / x.dims()
			found := make([]nearest.Found, m*k)
			x.search(new(work), want.Asked, m, k, found)
			for i, f := range found {
				number, distance := want.Found[name].Numbers[i], want.Found[name].Distances[i]
				if f.At != number && math.Abs(float64(f.Distance-distance)) > 1e-6 || math.Abs(float64(f.Distance-distance)) > 1e-4 {
					t.Errorf("neighbour %d is %d at %v, faiss has %d at %v", i, f.At, f.Distance, number, distance)
				}
			}
			// Written again it is the same file, but for lists of which most are empty.
			if again := x.append(nil); string(again) != string(b) && name != "ivf-sparse" {
				t.Errorf("written again it has %d bytes, %d as faiss wrote it, or others", len(again), len(b))
			}
		})
	}
}

func TestBrokenIndexes(t *testing.T) {
	for _, name := range indexFiles {
		b := golden(t, name+".faiss")
		for cut := range 200 {
			if _, err := readIndex(b[:len(b)*cut/200]); err == nil {
				t.Errorf("%s: %d of %d bytes are an index", name, len(b)*cut/200, len(b))
			}
		}
	}
	for name, c := range map[string]struct {
		from  string
		at    int
		value byte
		want  string
	}{
		"another kind":                {"flat", 3, 'Q', "it begins with"},
		"another metric":              {"flat", 4 + 4 + 8 + 16 + 1, 5, "metric 5"},
		"not trained":                 {"flat", 4 + 4 + 8 + 16, 0, "not trained"},
		"more vectors than there are": {"flat", 8, 61, "240 numbers for 61 vectors"},
		"a vector twice":              {"ivf", -8, 0, "there twice"},
	} {
		b := golden(t, c.from+".faiss")
		if c.at < 0 {
			c.at += len(b)
			b = append([]byte(nil), b...)
			copy(b[c.at:], b[c.at-8:c.at])
		} else {
			b[c.at] = c.value
		}
		if _, err := readIndex(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	for _, name := range indexFiles {
		f.Add(golden(f, name+".faiss"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := readIndex(b)
		if err != nil {
			return
		}
		k := min(3, x.size())
		x.search(new(work), make([]float32, 2*x.dims()), 2, k, make([]nearest.Found, 2*k))
		again, err := readIndex(x.append(nil))
		if err != nil || again.size() != x.size() || again.dims() != x.dims() {
			t.Errorf("written again: %v", err)
		}
	})
}
