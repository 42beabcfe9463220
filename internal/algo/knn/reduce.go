// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/across"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// reduction is how model_algo-1.json tells of a dimension reduction. The same
// members give the same projection.
type reduction struct {
	Type   string `json:"type"`
	Seed   uint64 `json:"seed"`
	Target int    `json:"target_dim"`
	Input  int    `json:"input_dim"`
}

// reducer makes vectors shorter such that distances stay about the same.
type reducer struct {
	reduction
	signs []float32 // sign: Target×Input; fjlt: one for each of Input
	picks []int     // fjlt
}

// newReducer draws the projection.
//
// Sources: Achlioptas, "Database-friendly random projections", JCSS 2003 (sign);
// Ailon and Chazelle, "The Fast Johnson-Lindenstrauss Transform", SIAM Journal on
// Computing 2009, with the coordinates of the transform picked at random in place
// of a sparse Gaussian matrix (fjlt), as in Tropp, "Improved analysis of the
// subsampled randomized Hadamard transform", 2011.
func newReducer(r reduction) *reducer {
	rng := rand.New(rand.NewPCG(r.Seed, uint64(r.Input)))
	w := &reducer{reduction: r}
	n := r.Input
	if r.Type == sign {
		n *= r.Target
	}
	size := float32(1 / math.Sqrt(float64(r.Target)))
	w.signs = make([]float32, n)
	var word uint64
	for i := range w.signs {
		if i%64 == 0 {
			word = rng.Uint64()
		}
		w.signs[i] = size
		if word>>(i%64)&1 == 1 {
			w.signs[i] = -size
		}
	}
	if r.Type == fjlt {
		w.picks = across.Sample(r.Target, w.width(), rng)
	}
	return w
}

// width is the power of two that rows are made as long as for fjlt.
func (r *reducer) width() int { return 1 << bits.Len(uint(r.Input-1)) }

// apply writes the m rows x, of Input numbers, to out, of Target.
func (r *reducer) apply(out, x []float32, m int) {
	if r.Type == sign {
		vec.MulT(out, x, r.signs, m, r.Target, r.Input)
		return
	}
	room := make([]float32, r.width())
	for i := range m {
		clear(room)
		for k, v := range x[i*r.Input : (i+1)*r.Input] {
			room[k] = v * r.signs[k]
		}
		hadamard(room)
		for k, at := range r.picks {
			out[i*r.Target+k] = room[at]
		}
	}
}

// hadamard is the Walsh-Hadamard transform of x, in place, not scaled. The length
// is a power of two.
func hadamard(x []float32) {
	for half := 1; half < len(x); half *= 2 {
		for from := 0; from < len(x); from += 2 * half {
			a, b := x[from:from+half], x[from+half:from+2*half]
			for i, v := range a {
				w := b[i]
				a[i], b[i] = v+w, v-w
			}
		}
	}
}
