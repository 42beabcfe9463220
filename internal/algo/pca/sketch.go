// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// seed is that of all draws: the algorithm has no hyperparameter for it.
const seed = 0x50434121

// refine is how often the sketch is multiplied by XᵀX once more. AWS's reads the
// data once; here they lie in memory, and the second look makes small what the
// sketch errs by where the spectrum falls slowly.
// Source: Halko, Martinsson and Tropp, "Finding Structure with Randomness", 2011,
// algorithm 4.4.
const refine = 2

// sketch finds k principal components from a sketch of width ell: Z = Σ XᵗᵀHᵗ
// over the batches Xᵗ of size records, with random matrices Hᵗ. The components are
// those of the data within the span of Z.
func sketch(t *table, k, ell, size int) (*basis, error) {
	z := make([]float32, t.dims*ell)
	if err := t.project(z, ell, min(size, maxBatch)); err != nil {
		return nil, err
	}
	var q []float32
	var width int
	for pass := range refine + 1 {
		sum, err := t.sum(z)
		if err != nil {
			return nil, err
		}
		vectors := span(sum, t.dims, ell)
		if width = len(vectors); width == 0 { // all rows are equal
			return newBasis(nil, nil, t.dims, k), nil
		}
		q = interleave(vectors, t.dims)
		if pass == refine {
			return t.within(vectors, q, k)
		}
		ell = width
		z = make([]float32, t.dims*ell)
		var p []float32
		err = t.blocks(ell, func(b block) error {
			p = slices.Grow(p[:0], b.n*ell)[:b.n*ell]
			t.times(b, q, ell, p)
			t.addTransposed(b, p, ell, z)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	panic("unreachable")
}

// sum is z of all hosts.
func (t *table) sum(z []float32) ([]float64, error) {
	sum := make([]float64, len(z))
	vec.Accumulate(z, sum)
	if err := t.peers.SumFloats(t.ctx, sum); err != nil {
		return nil, fmt.Errorf("add up the sketches: %w", err)
	}
	return sum, nil
}

// span gives orthonormal vectors that span the columns of the d×k matrix z.
func span(z []float64, d, k int) [][]float64 {
	var vectors [][]float64
	for j := range k {
		v := make([]float64, d)
		for i := range v {
			v[i] = z[i*k+j]
		}
		if orthonormalize(vectors, v) {
			vectors = append(vectors, v)
		}
	}
	return vectors
}

// interleave makes the matrix whose columns are vectors.
func interleave(vectors [][]float64, d int) []float32 {
	k := len(vectors)
	q := make([]float32, d*k)
	for j, v := range vectors {
		for i, x := range v {
			q[i*k+j] = float32(x)
		}
	}
	return q
}

// within finds the k components of the data within the span of vectors, which q
// has as its columns: from the eigenvectors of (XQ)ᵀXQ.
func (t *table) within(vectors [][]float64, q []float32, k int) (*basis, error) {
	width := len(vectors)
	products := make([]float64, width*width)
	var p []float32
	err := t.blocks(width, func(b block) error {
		p = slices.Grow(p[:0], b.n*width)[:b.n*width]
		t.times(b, q, width, p)
		vec.GramOf(t.threads, products, b.n, width, func(i int, dst []float32) { copy(dst, p[i*width:(i+1)*width]) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := t.peers.SumFloats(t.ctx, products); err != nil {
		return nil, fmt.Errorf("add up the products: %w", err)
	}
	values, u, err := topEigen(t, products, width, min(k, width))
	if err != nil {
		return nil, err
	}
	found := make([][]float64, len(u))
	for j, mix := range u {
		found[j] = make([]float64, t.dims)
		for i, x := range mix {
			vec.AxpyDouble(x, vectors[i], found[j])
		}
	}
	return newBasis(values, found, t.dims, k), nil
}

// maxBatch bounds the records of one random matrix.
const maxBatch = 1 << 14

// project adds the sketch of this host's rows to z (dims×ell): batches of size
// rows, each by a matrix of its own. It is of random signs, or a fast
// Johnson-Lindenstrauss transform where that is the quicker: rows that are drawn
// of a Hadamard matrix with random signs.
func (t *table) project(z []float32, ell, size int) error {
	first := 0
	batch := func(b block) error {
		for from := 0; from < b.n; from += size {
			n := min(size, b.n-from)
			part := block{first: b.first + from, n: n}
			if b.dense != nil {
				part.dense = b.dense[from*t.dims : (from+n)*t.dims]
			}
			rng := rand.New(rand.NewPCG(seed, uint64(t.peers.Rank())<<40+uint64(first)))
			first++
			if part.dense != nil && fast(n, ell) {
				t.hadamard(part, ell, z, rng)
				continue
			}
			t.addTransposed(part, signs(rng, n*ell), ell, z)
		}
		return nil
	}
	return t.blocks(ell, batch)
}

// signs draws n numbers of -1 and 1.
func signs(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := 0; i < n; i += 64 {
		draw := rng.Uint64()
		for j := i; j < min(i+64, n); j++ {
			s[j] = float32(int64(draw&1)*2 - 1)
			draw >>= 1
		}
	}
	return s
}

// fast tells whether the transform of n rows, which adds each value log n times,
// is quicker than ell multiplications of each, some 16 of which are done in the
// time of an addition.
func fast(n, ell int) bool { return n >= 2*ell && ell > 16*bits.Len(uint(n-1)) }

// hadamard adds the fast transform of a dense block to z.
//
// Source: Ailon and Chazelle, "The Fast Johnson-Lindenstrauss Transform", 2009,
// in the form of Tropp, "Improved Analysis of the Subsampled Randomized Hadamard
// Transform", 2011.
func (t *table) hadamard(b block, ell int, z []float32, rng *rand.Rand) {
	size := 1 << bits.Len(uint(b.n-1))
	sign := signs(rng, b.n)
	picked := rng.Perm(size)[:ell]
	const some = 16 // columns that one goroutine transforms at a time
	vec.Stretches(t.threads, t.dims, some, func(_, from, to int) {
		wide := to - from
		x := make([]float32, size*wide)
		for i := range b.n {
			copy(x[i*wide:], b.dense[i*t.dims+from:i*t.dims+to])
			if sign[i] < 0 {
				vec.Scale(-1, x[i*wide:(i+1)*wide])
			}
		}
		transform(x, wide)
		scale := float32(1 / math.Sqrt(float64(ell)))
		for j, row := range picked {
			for c := range wide {
				z[(from+c)*ell+j] += scale * x[row*wide+c]
			}
		}
	})
}

// transform multiplies the rows of x, each wide values, by the Hadamard matrix of
// their number, which is a power of 2.
func transform(x []float32, wide int) {
	for half := wide; half < len(x); half *= 2 {
		for from := 0; from < len(x); from += 2 * half {
			a, b := x[from:from+half], x[from+half:from+2*half]
			for i, v := range a {
				w := b[i]
				a[i], b[i] = v+w, v-w
			}
		}
	}
}
