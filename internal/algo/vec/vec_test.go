// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"slices"
	"testing"
)

func TestKernels(t *testing.T) {
	a, b := []float32{1, 2, 3, 4, 5, 6}, []float32{2, 0, 1, 1, 1, 1}
	if got := Dot(a, b); got != 20 {
		t.Errorf("Dot %v", got)
	}
	if got := SquaredDistance(a, b); got != 1+4+4+9+16+25 {
		t.Errorf("SquaredDistance %v", got)
	}
	y := slices.Clone(b)
	if Axpy(2, a, y); !slices.Equal(y, []float32{4, 4, 7, 9, 11, 13}) {
		t.Errorf("Axpy %v", y)
	}
	c := make([]float32, 4)
	if MulT(c, a, b, 2, 2, 3); !slices.Equal(c, []float32{5, 6, 14, 15}) {
		t.Errorf("MulT %v", c)
	}
	g := make([]float64, 9)
	if Gram(g, a, 2, 3); !slices.Equal(g, []float64{17, 22, 27, 22, 29, 36, 27, 36, 45}) {
		t.Errorf("Gram %v", g)
	}
}
