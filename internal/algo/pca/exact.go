// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// maxScatter is how many features the regular mode takes where there are as many
// records: their matrix has 2 GB then.
const maxScatter = 16384

// maxDense is how many values sparse records may become: 2 GB.
const maxDense = 1 << 29

// exact finds the k principal components from the sums of products of all
// features or, where there are fewer records than those, of all records.
func exact(t *table, k int) (*basis, error) {
	few := t.all < t.dims && t.all <= maxScatter && (!t.m.Sparse() || t.all*t.dims <= maxDense)
	if few && t.peers.Size() == 1 && t.dims > smallDims {
		return fromRecords(t, k)
	}
	if t.dims > maxScatter {
		return nil, algo.ClientErrorf("algorithm_mode regular takes up to %d features where there are as many records or several hosts; "+
			"feature_dim is %d: use algorithm_mode randomized", maxScatter, t.dims)
	}
	d := t.dims
	scatter := make([]float64, d*d)
	for from := 0; from < t.rows(); from += cancelRows {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		vec.GramOf(t.threads, scatter, min(cancelRows, t.rows()-from), d, func(i int, dst []float32) { t.fill(from+i, dst) })
	}
	if err := t.peers.SumFloats(t.ctx, scatter); err != nil {
		return nil, fmt.Errorf("add up the products: %w", err)
	}
	for i, v := range t.rest {
		vec.AxpyDouble(-float64(t.all)*v, t.rest, scatter[i*d:(i+1)*d])
	}
	values, vectors, err := topEigen(t, scatter, d, k)
	if err != nil {
		return nil, err
	}
	return newBasis(values, vectors, d, k), nil
}

const (
	// smallDims is up to how many features their own products are summed in any
	// case.
	smallDims = 256
	// cancelRows are summed before it is looked whether training was cancelled.
	cancelRows = 1 << 16
)

// fromRecords finds the components of fewer records than features: those of X
// are Xᵀu/σ, where u is an eigenvector of XXᵀ to σ².
func fromRecords(t *table, k int) (*basis, error) {
	n, d := t.rows(), t.dims
	columns := make([]float32, d*n) // X transposed
	room := make([]float32, d)
	for i := range n {
		t.fill(i, room)
		for j, v := range room {
			columns[j*n+i] = v
		}
	}
	products := make([]float64, n*n)
	vec.GramOf(t.threads, products, d, n, func(j int, dst []float32) { copy(dst, columns[j*n:(j+1)*n]) })
	r := min(n, k)
	values, u, err := topEigen(t, products, n, r)
	if err != nil {
		return nil, err
	}
	u32 := make([]float32, n*r)
	for j := range r {
		for i := range n {
			u32[i*r+j] = float32(u[j][i])
		}
	}
	v := make([]float32, d*r)
	vec.Gemm(t.threads, vec.Rows(v, r), vec.Rows(columns, n), vec.Rows(u32, r), d, r, n, false)
	vectors := make([][]float64, r)
	for j := range vectors {
		vectors[j] = make([]float64, d)
		if values[j] <= noise*values[0] { // nothing but rounding
			values[j] = 0
			continue
		}
		for i := range vectors[j] {
			vectors[j][i] = float64(v[i*r+j])
		}
	}
	return newBasis(values, vectors, d, k), t.ctx.Err()
}

// noise is what an eigenvalue may be of the largest one without being more than
// what float32 rounds.
const noise = 1e-12

// sigma is the singular value to the eigenvalue v.
func sigma(v float64) float64 { return math.Sqrt(math.Max(v, 0)) }
