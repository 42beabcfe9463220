// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// topics is what documents are explained by.
type topics struct {
	alpha  []float64 // k Dirichlet weights
	width  int       // k made a multiple of 16
	byWord []float32 // words × width: β transposed, or what stands for it while training
}

func widthOf(k int) int { return (k + 15) / 16 * 16 }

// mixer infers the mixtures of documents, one at a time.
type mixer struct {
	t     *topics
	gamma []float64
	e     []float32 // exp(ψ(γ)), width
	sum   []float32
}

func (t *topics) mixer() *mixer {
	return &mixer{t: t, gamma: make([]float64, len(t.alpha)), e: make([]float32, t.width), sum: make([]float32, t.width)}
}

// Inference stops when γ changes by less than this on the mean, or after so many
// steps, as in Hoffman's code.
const (
	mixTol   = 1e-3
	mixSteps = 100
)

// mix finds the γ of a document, from the γ that x has: the variational
// distribution of its mixture is Dirichlet(γ).
//
// It is ascent on the lower bound of the likelihood, a coordinate at a time.
// Source: Hoffman, Blei and Bach, "Online Learning for Latent Dirichlet
// Allocation", NIPS 2010, equations 3 to 5.
func (x *mixer) mix(word []int32, count []float32) {
	k, width := len(x.t.alpha), x.t.width
	for j, g := range x.gamma {
		x.e[j] = float32(expDigamma(g))
	}
	for range mixSteps {
		clear(x.sum)
		for i, w := range word {
			row := x.t.byWord[int(w)*width : (int(w)+1)*width]
			ratio := count[i] / (vec.Dot(row, x.e) + 1e-30)
			vec.Axpy(ratio, row, x.sum)
		}
		change := 0.0
		for j, a := range x.t.alpha {
			g := a + float64(x.e[j])*float64(x.sum[j])
			change += math.Abs(g - x.gamma[j])
			x.gamma[j] = g
			x.e[j] = float32(expDigamma(g))
		}
		if change < mixTol*float64(k) {
			break
		}
	}
}

// start sets γ to what a document of so many words has that is of all topics alike.
func (x *mixer) start(length float64) {
	for j, a := range x.t.alpha {
		x.gamma[j] = a + length/float64(len(x.gamma))
	}
}

// mixture writes the mean of the mixture into out.
func (x *mixer) mixture(out []float32) {
	sum := 0.0
	for _, g := range x.gamma {
		sum += g
	}
	for j, g := range x.gamma {
		out[j] = float32(g / sum)
	}
}

// expDigamma is exp(ψ(x)) for x > 0: by the recurrence up to 6, from there on by
// the asymptotic series. The logarithm of the series cancels.
//
// Source: Abramowitz and Stegun, 6.3.5 and 6.3.18.
func expDigamma(x float64) float64 {
	r := 0.0
	for x < 6 {
		r -= 1 / x
		x++
	}
	i := 1 / x
	s := i * i
	return x * math.Exp(r-i/2-s*(1.0/12-s*(1.0/120-s*(1.0/252-s/240))))
}
