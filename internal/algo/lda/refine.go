// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"context"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// learner refines topics by the documents themselves.
type learner struct {
	c       *corpus
	threads int
	alpha0  float64
	t       *topics
	prior   float64   // of a word in a topic
	gamma   []float64 // docs × k
	counts  []float32 // words × width: how much of each word each topic has
}

// learn begins with the topics of byWord, words × width, each of which sums to 1.
func learn(c *corpus, threads int, alpha0 float64, alpha []float64, byWord []float32) *learner {
	k := len(alpha)
	l := &learner{c: c, threads: threads, alpha0: alpha0, prior: 1 / float64(k)}
	l.t = &topics{alpha: alpha, width: widthOf(k), byWord: byWord}
	l.restart()
	return l
}

// restart forgets the mixtures.
func (l *learner) restart() {
	k := len(l.t.alpha)
	l.gamma = make([]float64, l.c.docs*k)
	x := l.t.mixer()
	for d := range l.c.docs {
		x.start(float64(l.c.length[d]))
		copy(l.gamma[d*k:], x.gamma)
	}
}

// pass infers the mixtures of all documents, and counts the words of the topics.
// What is summed over documents is summed in their order, by words.
func (l *learner) pass(ctx context.Context) error {
	k, width := len(l.t.alpha), l.t.width
	share, e := make([]float32, len(l.c.count)), make([]float32, l.c.docs*width)
	mixers := make([]*mixer, max(l.threads, 1))
	each(l.threads, l.c.docs, func(worker, from, to int) {
		if mixers[worker] == nil {
			mixers[worker] = l.t.mixer()
		}
		x := mixers[worker]
		for d := from; d < to && ctx.Err() == nil; d++ {
			a, b := l.c.start[d], l.c.start[d+1]
			copy(x.gamma, l.gamma[d*k:(d+1)*k])
			x.mix(l.c.word[a:b], l.c.count[a:b])
			copy(l.gamma[d*k:], x.gamma)
			copy(e[d*width:], x.e)
			for at := a; at < b; at++ {
				w := int(l.c.word[at])
				share[at] = l.c.count[at] / (vec.Dot(l.t.byWord[w*width:(w+1)*width], x.e) + 1e-30)
			}
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	l.counts = make([]float32, l.c.words*width)
	each(l.threads, l.c.words, func(_, from, to int) {
		for w := from; w < to; w++ {
			row, was := l.counts[w*width:(w+1)*width], l.t.byWord[w*width:(w+1)*width]
			for i := l.c.wordStart[w]; i < l.c.wordStart[w+1]; i++ {
				d := int(l.c.doc[i])
				vec.Axpy(share[l.c.at[i]], e[d*width:(d+1)*width], row)
			}
			for j, b := range was {
				row[j] *= b
			}
		}
	})
	return nil
}

// update makes the topics and weights of what pass counted. What stands for β is
// exp(E[log β]) under Dirichlet(prior + counts).
func (l *learner) update() {
	k, width := len(l.t.alpha), l.t.width
	totals := l.totals()
	next := make([]float32, l.c.words*width)
	scale := make([]float64, k)
	for j, n := range totals {
		scale[j] = 1 / expDigamma(n+l.prior*float64(l.c.words))
	}
	each(l.threads, l.c.words, func(_, from, to int) {
		for w := from; w < to; w++ {
			for j := range k {
				next[w*width+j] = float32(expDigamma(l.prior+float64(l.counts[w*width+j])) * scale[j])
			}
		}
	})
	l.t = &topics{alpha: l.weights(), width: width, byWord: next}
}

// totals is how many words each topic has.
func (l *learner) totals() []float64 {
	width := l.t.width
	sums := make([]float64, width)
	for w := range l.c.words {
		vec.Accumulate(l.counts[w*width:(w+1)*width], sums)
	}
	return sums[:len(l.t.alpha)]
}

// weights is α₀ by the mean mixture of the documents.
func (l *learner) weights() []float64 {
	k := len(l.t.alpha)
	alpha := make([]float64, k)
	have := 0.0
	for d := range l.c.docs {
		if l.c.length[d] == 0 {
			continue
		}
		have++
		sum := 0.0
		for _, g := range l.gamma[d*k : (d+1)*k] {
			sum += g
		}
		vec.AxpyDouble(1/sum, l.gamma[d*k:(d+1)*k], alpha)
	}
	sum := 0.0
	for j := range alpha {
		alpha[j] = max(alpha[j]/max(have, 1), least)
		sum += alpha[j]
	}
	for j := range alpha {
		alpha[j] *= l.alpha0 / sum
	}
	return alpha
}

// least is what a topic has of all documents at the least.
const least = 1e-4

// keep keeps the n topics of the largest weights, in their order.
func (l *learner) keep(n int) {
	k, width := len(l.t.alpha), l.t.width
	if n >= k {
		return
	}
	order := make([]int, k)
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch d := l.t.alpha[a] - l.t.alpha[b]; {
		case d > 0:
			return -1
		case d < 0:
			return 1
		}
		return 0
	})
	order = order[:n]
	slices.Sort(order)
	narrow := widthOf(n)
	t := &topics{width: narrow, byWord: make([]float32, l.c.words*narrow)}
	sum := 0.0
	for to, from := range order {
		t.alpha = append(t.alpha, l.t.alpha[from])
		sum += l.t.alpha[from]
		for w := range l.c.words {
			t.byWord[w*narrow+to] = l.t.byWord[w*width+from]
		}
	}
	for j := range t.alpha {
		t.alpha[j] *= l.alpha0 / sum
	}
	l.t, l.prior = t, 1/float64(n)
	l.restart()
}

// beta gives the topics: k × words, each of which sums to 1.
func (l *learner) beta() []float32 {
	k, width := len(l.t.alpha), l.t.width
	beta := make([]float32, k*l.c.words)
	for j, n := range l.totals() {
		whole := n + l.prior*float64(l.c.words)
		for w := range l.c.words {
			beta[j*l.c.words+w] = float32((l.prior + float64(l.counts[w*width+j])) / whole)
		}
	}
	return beta
}
