// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/sagebrush-ml/sagebrush/internal/algo/eigen"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// seed is that of all draws: the algorithm has no hyperparameter for it.
const seed = 0x4c444121

// moments are those of the words of a document, made such that with topics μᵢ
// and Dirichlet weights αᵢ, which sum to α₀,
//
//	M₂ = Σ αᵢ/(α₀(α₀+1)) μᵢ⊗μᵢ,  M₃ = Σ 2αᵢ/(α₀(α₀+1)(α₀+2)) μᵢ⊗μᵢ⊗μᵢ.
//
// Neither is ever made: M₂ is a product with vectors, and of M₃ there is only what
// it is within the span of the topics.
//
// Source: Anandkumar, Ge, Hsu, Kakade and Telgarsky, "Tensor Decompositions for
// Learning Latent Variable Models", JMLR 2014, theorem 3.5; moments of documents
// by word counts as in its section 6.1.
type moments struct {
	c       *corpus
	threads int
	alpha0  float64
	first   []float32 // M₁
	pairs   []float32 // weight of a document in M₂: 0 of one with less than two words
	triples []float32 // and in M₃
}

func newMoments(c *corpus, threads int, alpha0 float64) *moments {
	m := &moments{c: c, threads: threads, alpha0: alpha0, first: make([]float32, c.words)}
	weights := func(least float32, weight func(n float64) float64) []float32 {
		w, have := make([]float32, c.docs), 0.0
		for _, n := range c.length {
			if n >= least {
				have++
			}
		}
		for d, n := range c.length {
			if n >= least {
				w[d] = float32(weight(float64(n)) / have)
			}
		}
		return w
	}
	m.pairs = weights(2, func(n float64) float64 { return n / (n - 1) })
	m.triples = weights(3, func(n float64) float64 { return n * n / ((n - 1) * (n - 2)) })
	ones := make([]float32, c.docs)
	_, m.first = c.byWord(threads, ones, 1, weights(1, func(float64) float64 { return 1 }))
	return m
}

// second gives M₂·Q, Q being words × width.
func (m *moments) second(q []float32, width int) []float32 {
	p := m.c.byDocument(m.threads, q, width)
	z, _ := m.c.byWord(m.threads, p, width, m.pairs)
	// Pairs of a word token with itself are none.
	own := m.own(m.pairs)
	mean := make([]float32, width) // M₁ᵀQ
	vec.Gemm(1, vec.Rows(mean, width), vec.Rows(m.first, m.c.words), vec.Rows(q, width), 1, width, m.c.words, false)
	factor := float32(m.alpha0 / (m.alpha0 + 1))
	each(m.threads, m.c.words, func(_, from, to int) {
		for w := from; w < to; w++ {
			row := z[w*width : (w+1)*width]
			vec.Axpy(-own[w], q[w*width:(w+1)*width], row)
			vec.Axpy(-factor*m.first[w], mean, row)
		}
	})
	return z
}

// own is, for each word, the sum over documents of its share of the words times
// weight over the document's length.
func (m *moments) own(weight []float32) []float32 {
	sums := make([]float32, m.c.words)
	each(m.threads, m.c.words, func(_, from, to int) {
		for w := from; w < to; w++ {
			sum := 0.0
			for i := m.c.wordStart[w]; i < m.c.wordStart[w+1]; i++ {
				d := m.c.doc[i]
				n := float64(m.c.length[d])
				sum += float64(m.c.count[m.c.at[i]]) / (n * n) * float64(weight[d])
			}
			sums[w] = float32(sum)
		}
	})
	return sums
}

// whiten finds W (words × k) such that WᵀM₂W is 1, and what takes it back: B = M₂W,
// so that topics are multiples of Bv. k falls where M₂ has fewer large eigenvalues.
//
// The eigenvectors are found by iterating on a subspace that is wider than k.
func (m *moments) whiten(ctx context.Context, k int) (w, back []float32, rank int, err error) {
	words := m.c.words
	width := min((k+8+15)/16*16, words)
	rng := rand.New(rand.NewPCG(seed, 1))
	q := make([]float32, words*width)
	for i := range q {
		q[i] = float32(rng.NormFloat64())
	}
	var values, was []float64
	var turn []float32
	for step := range subspaceSteps {
		if q, width, err = m.orthonormal(ctx, q, width); err != nil || width == 0 {
			return nil, nil, 0, err
		}
		var z []float32
		if z, values, turn, err = m.within(ctx, q, width, k); err != nil {
			return nil, nil, 0, err
		}
		settled := len(was) == len(values)
		for i := range was {
			settled = settled && math.Abs(values[i]-was[i]) <= settledAt*values[0]
		}
		if settled || step == subspaceSteps-1 {
			break
		}
		q, was = z, values
	}
	for rank < len(values) && values[rank] > tiny*values[0] {
		rank++
	}
	if rank == 0 {
		return nil, nil, 0, nil
	}
	scaled := make([]float32, width*rank)
	for i := range width {
		for j := range rank {
			scaled[i*rank+j] = turn[i*len(values)+j] / float32(math.Sqrt(values[j]))
		}
	}
	w = make([]float32, words*rank)
	vec.Gemm(m.threads, vec.Rows(w, rank), vec.Rows(q, width), vec.Rows(scaled, rank), words, rank, width, false)
	return w, m.second(w, rank), rank, ctx.Err()
}

// within gives z = M₂Q, and the largest eigenvalues of QᵀM₂Q, up to k, with their
// vectors as the columns of turn.
func (m *moments) within(ctx context.Context, q []float32, width, k int) (z []float32, values []float64, turn []float32, err error) {
	z = m.second(q, width)
	product := make([]float32, width*width)
	vec.Gemm(m.threads, vec.Rows(product, width), vec.Rows(q, width).T(), vec.Rows(z, width), width, width, m.c.words, false)
	square := make([]float64, width*width)
	for i := range width {
		for j := range width {
			square[i*width+j] = (float64(product[i*width+j]) + float64(product[j*width+i])) / 2
		}
	}
	values, vectors, err := eigen.Top(ctx, m.threads, square, width, min(k, width))
	return z, values, columns(vectors, width), err
}

const (
	subspaceSteps = 12
	settledAt     = 1e-5 // of the largest eigenvalue
	tiny          = 1e-6 // of the largest eigenvalue: less is rounding
)

// columns makes the n × k matrix whose columns are vectors.
func columns(vectors [][]float64, n int) []float32 {
	k := len(vectors)
	m := make([]float32, n*k)
	for j, v := range vectors {
		for i, x := range v {
			m[i*k+j] = float32(x)
		}
	}
	return m
}

// orthonormal gives an orthonormal basis of the span of z's columns, of which
// those that are no more than rounding are left out.
func (m *moments) orthonormal(ctx context.Context, z []float32, width int) (q []float32, rank int, err error) {
	words := m.c.words
	for range 2 { // once makes them nearly so
		most := float32(0)
		for _, v := range z {
			most = max(most, v, -v)
		}
		if most == 0 {
			return nil, 0, nil
		}
		vec.Scale(1/most, z)
		gram := make([]float64, width*width)
		vec.GramOf(m.threads, gram, words, width, func(i int, dst []float32) { copy(dst, z[i*width:(i+1)*width]) })
		values, vectors, err := eigen.Top(ctx, m.threads, gram, width, width)
		if err != nil {
			return nil, 0, err
		}
		rank = 0
		for rank < width && values[rank] > 1e-10*values[0] {
			for i := range vectors[rank] {
				vectors[rank][i] /= math.Sqrt(values[rank])
			}
			rank++
		}
		q = make([]float32, words*rank)
		vec.Gemm(m.threads, vec.Rows(q, rank), vec.Rows(z, width), vec.Rows(columns(vectors[:rank], width), rank), words, rank, width, false)
		z, width = q, rank
	}
	return q, rank, nil
}

// third gives M₃ whitened by w (words × k): k×k×k numbers. Of three words of a
// document none may be one token, so for counts c of n words, with p = Wᵀc and y
// the rows of W, a document gives
//
//	(p⊗p⊗p - Σ c(y⊗y⊗p + y⊗p⊗y + p⊗y⊗y) + 2 Σ c y⊗y⊗y) / n(n-1)(n-2),
//
// whose second and third part are summed by words, not by documents.
func (m *moments) third(ctx context.Context, w []float32, k int) ([]float64, error) {
	p := m.c.byDocument(m.threads, w, k)
	weight := make([]float32, m.c.docs) // of a document: n³/n(n-1)(n-2), and what of it one n less has
	for d := range weight {
		weight[d] = m.triples[d] / max(m.c.length[d], 1)
	}
	g, _ := m.c.byWord(m.threads, p, k, weight)
	for d := range weight {
		weight[d] /= max(m.c.length[d], 1)
	}
	_, h := m.c.byWord(m.threads, make([]float32, m.c.docs), 1, weight)
	t, part := make([]float32, k*k*k), make([]float32, k*k*k)
	if err := m.products(ctx, t, p, m.triples, p, k, m.c.docs); err != nil {
		return nil, err
	}
	for word := range m.c.words {
		vec.Scale(-1, g[word*k:(word+1)*k])
		vec.Axpy(2*h[word]/3, w[word*k:(word+1)*k], g[word*k:(word+1)*k])
	}
	if err := m.products(ctx, part, w, nil, g, k, m.c.words); err != nil {
		return nil, err
	}
	mean := make([]float32, k)
	vec.Gemm(1, vec.Rows(mean, k), vec.Rows(m.first, m.c.words), vec.Rows(w, k), 1, k, m.c.words, false)
	a0 := m.alpha0
	out := make([]float64, k*k*k)
	for a := range k {
		for b := range k {
			for c := range k {
				x, y, z := float64(mean[a]), float64(mean[b]), float64(mean[c])
				v := (float64(t[(a*k+b)*k+c]) + float64(t[(b*k+c)*k+a]) + float64(t[(c*k+a)*k+b])) / 3
				v += float64(part[(a*k+b)*k+c]) + float64(part[(b*k+c)*k+a]) + float64(part[(c*k+a)*k+b])
				// What three words of one document have in common beside its topics:
				// E[x⊗x] whitened is 1 + α₀/(α₀+1) m⊗m.
				pair := 0.0
				if a == b {
					pair += z
				}
				if a == c {
					pair += y
				}
				if b == c {
					pair += x
				}
				v -= a0 / (a0 + 2) * (pair + 3*a0/(a0+1)*x*y*z)
				v += 2 * a0 * a0 / ((a0 + 1) * (a0 + 2)) * x * y * z
				out[(a*k+b)*k+c] = v
			}
		}
	}
	return out, ctx.Err()
}

// products adds Σ weight·g⊗y⊗y to t over n rows of y and g, of k numbers each.
// No weights are 1.
func (m *moments) products(ctx context.Context, t, y, weight, g []float32, k, n int) error {
	block := max(1<<20/(k*k), 16)
	squares := make([]float32, min(block, n)*k*k)
	for from := 0; from < n; from += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		have := min(block, n-from)
		each(m.threads, have, func(_, a, b int) {
			for r := a; r < b; r++ {
				row := y[(from+r)*k : (from+r+1)*k]
				for i, v := range row {
					dst := squares[(r*k+i)*k : (r*k+i+1)*k]
					copy(dst, row)
					if weight != nil {
						v *= weight[from+r]
					}
					vec.Scale(v, dst)
				}
			}
		})
		vec.Gemm(m.threads, vec.Rows(t, k*k), vec.Rows(g[from*k:], k).T(), vec.Rows(squares, k*k), k, k*k, have, true)
	}
	return nil
}
