// SPDX-License-Identifier: Apache-2.0

package across

import (
	"math"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// CheckRows refuses rows of a request that a model of d features cannot take, by
// a client error: of another length, sparse ones of a greater one, and such as
// hold NaN or infinity.
func CheckRows(rows *algo.Matrix, d int) error {
	if !rows.Fits(d) {
		return algo.ClientErrorf("a row has %d features, but the model has %d", rows.Cols, d)
	}
	for at, v := range rows.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			if rows.Sparse() {
				return algo.ClientErrorf("a feature is %g; a finite number was expected", v)
			}
			return algo.ClientErrorf("row %d: feature %d is missing, NaN or infinite; a finite number was expected", at/rows.Cols+1, at%rows.Cols+1)
		}
	}
	return nil
}

// Sample is n different numbers below total, ascending, each choice of them as
// likely as any other.
//
// Source: Knuth, "The Art of Computer Programming", volume 2, 3.4.2, Algorithm S.
func Sample(n, total int, rng *rand.Rand) []int {
	all := make([]int, 0, n)
	for i := 0; i < total && len(all) < n; i++ {
		if rng.Uint64N(uint64(total-i)) < uint64(n-len(all)) {
			all = append(all, i)
		}
	}
	return all
}
