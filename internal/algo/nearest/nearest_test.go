// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// cloud is n vectors of d numbers around a point that is far from the origin by
// off; every tenth is the copy of another one.
func cloud(n, d int, off float64, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n*d)
	for i := range v {
		v[i] = float32(off + rng.NormFloat64())
	}
	for i := 10; i < n; i += 10 {
		copy(v[i*d:(i+1)*d], v[(i/20)*d:(i/20+1)*d])
	}
	return v
}

// sorted compares x with the vectors among, one by one.
func (s *Set) sorted(x []float32, among []int) []Found {
	var all []Found
	for _, j := range among {
		all = append(all, Found{int32(j), s.Distance(x, j)})
	}
	s.metric.Sort(all)
	return all
}

func upTo(from, to int) (all []int) {
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

func TestEstimatesAreDecidedByDistances(t *testing.T) {
	for _, metric := range []Metric{L2, InnerProduct} {
		for _, off := range []float64{0, 3, 1000} {
			for _, shape := range [][3]int{{1, 1, 1}, {7, 3, 5}, {600, 1, 40}, {1100, 9, 270}} {
				n, d, m := shape[0], shape[1], shape[2]
				t.Run(fmt.Sprint(metric, off, n, d), func(t *testing.T) {
					s := NewSet(metric, cloud(n, d, off, 1), n, d)
					x := append(cloud(m-1, d, off, 2), s.Vector(n/2)...)
					at, distance := make([]int32, m), make([]float32, m)
					var w Work
					s.Nearest(&w, x, m, at, distance)
					k := min(12, n)
					found := make([]Found, m*k)
					s.Top(&w, x, m, k, found)
					// Three stretches, of which each query looks at two.
					start := []int{0, n / 3, n / 2, n}
					var lists []int32
					for i := range m {
						lists = append(lists, int32(i%2), 2, -1)
					}
					few := min(k, n-n/2)
					among := make([]Found, m*few)
					s.TopAmong(&w, x, m, few, lists, 3, start, among)
					for i := range m {
						row := x[i*d : (i+1)*d]
						want := s.sorted(row, upTo(0, n))
						if (Found{at[i], distance[i]}) != want[0] {
							t.Fatalf("query %d: the nearest is %d at %v, want %v", i, at[i], distance[i], want[0])
						}
						if !slices.Equal(found[i*k:(i+1)*k], want[:k]) {
							t.Fatalf("query %d: %v, want %v", i, found[i*k:(i+1)*k], want[:k])
						}
						part := s.sorted(row, append(upTo(start[i%2], start[i%2+1]), upTo(start[2], n)...))
						if !slices.Equal(among[i*few:(i+1)*few], part[:few]) {
							t.Fatalf("query %d among a part: %v, want %v", i, among[i*few:(i+1)*few], part[:few])
						}
					}
				})
			}
		}
	}
}

func TestBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 3, 10, 500} {
		var b Best
		var all []Found
		b.Reset(10)
		for i := range n {
			f := Found{int32(i), float32(rng.IntN(50))}
			all = append(all, f)
			if f.Distance <= b.Limit() {
				b.Add(f.At, f.Distance)
			}
		}
		L2.Sort(all)
		if got := b.Sorted(); !slices.Equal(got, all[:min(10, n)]) {
			t.Errorf("of %d: %v, want %v", n, got, all[:min(10, n)])
		}
	}
}

func BenchmarkTop(b *testing.B) {
	const n, d, m = 100_000, 50, 256
	s, x := NewSet(L2, cloud(n, d, 0, 1), n, d), cloud(m, d, 0, 2)
	var w Work
	found := make([]Found, m*10)
	for b.Loop() {
		s.Top(&w, x, m, 10, found)
	}
}
