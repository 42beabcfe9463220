// SPDX-License-Identifier: Apache-2.0

// Package lda is Latent Dirichlet Allocation: topics, which are distributions of
// words, and documents as mixtures of topics. The topics are found by the spectral
// method, without local optima, and refined by variational inference.
//
// Source: "How LDA Works" in the SageMaker developer guide, and the papers that
// it names.
package lda

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is SageMaker's Latent Dirichlet Allocation.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Passes over the documents that refine the topics: with all that the spectral
// method found, then with those that are kept.
const (
	firstPasses = 2
	passes      = 10
)

// Train finds the topics.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "LDA")
	p := in.Params
	train, err := load(in, "train")
	if err != nil {
		return nil, err
	}
	var test *algo.Matrix
	if in.Channels["test"] != nil {
		if test, err = load(in, "test"); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	c := newCorpus(train, true)
	if len(c.word) == 0 {
		return nil, algo.ClientErrorf("train channel: the documents hold no words: all counts are 0")
	}
	k, alpha0 := p.Int("num_topics"), p.Float("alpha0")
	alpha, byWord, err := spectral(ctx, c, in.Threads, alpha0, k, search{
		restarts: p.Int("max_restarts"), iterations: p.Int("max_iterations"), tol: p.Float("tol"), threads: in.Threads,
	})
	if err != nil {
		return nil, err
	}
	report.Info("%d topics found in %d documents of %d words", len(alpha), c.docs, c.words)
	l := learn(c, in.Threads, alpha0, alpha, byWord)
	for pass := range firstPasses + passes {
		if pass == firstPasses {
			l.keep(k)
		}
		if err := l.pass(ctx); err != nil {
			return nil, err
		}
		if pass < firstPasses+passes-1 {
			l.update()
		}
		report.Progress(pass+1, firstPasses+passes)
	}
	m := newModel(l.weights(), l.beta(), c.words)
	report.Throughput(c.docs, time.Since(began))
	report.Counts(0, c.docs, (c.docs+p.Int("mini_batch_size")-1)/p.Int("mini_batch_size"))
	if test != nil {
		v, err := m.pwll(ctx, test)
		if err != nil {
			return nil, err
		}
		report.Score("test", "pwll", v)
		report.Final("test", pwll, v)
	}
	report.End()
	return m, nil
}

// load reads a channel of word counts.
func load(in algo.Input, name string) (*algo.Matrix, error) {
	return data.Load(in.Channels[name], data.Options{
		Formats: []data.Format{data.RecordIO, data.CSV}, Cols: in.Params.Int("feature_dim"), Finite: true, Unsupervised: true, Threads: in.Threads,
		Bounds: &data.Bounds{Min: 0, Max: 1e15, Want: "the count of a word, from 0 to 1e15,"},
	})
}

// spectral finds topics and their weights by the moments of the words: a quarter
// more than k, of which the caller keeps those of the largest weights. Where the
// documents do not tell that many apart, or there are more than maxParts, the
// others are what all words are like, at random. byWord has the topics as its columns, each of which sums to 1.
func spectral(ctx context.Context, c *corpus, threads int, alpha0 float64, k int, s search) (alpha []float64, byWord []float32, err error) {
	m := newMoments(c, threads, alpha0)
	more := max(k, min(k+(k+3)/4, c.words))
	w, back, rank, err := m.whiten(ctx, min(more, c.words, maxParts))
	if err != nil {
		return nil, nil, err
	}
	var parts []part
	if rank > 0 {
		t, err := m.third(ctx, w, rank)
		if err != nil {
			return nil, nil, err
		}
		if parts, err = decompose(ctx, t, rank, s); err != nil {
			return nil, nil, err
		}
	}
	width := widthOf(more)
	rng := rand.New(rand.NewPCG(seed, 3))
	byWord, alpha = make([]float32, c.words*width), make([]float64, more)
	for j := range more {
		var topic []float64
		if j < len(parts) {
			topic = unwhiten(back, parts[j].v, rank)
		} else {
			topic = make([]float64, c.words)
			for i, v := range m.first {
				topic[i] = float64(v) * rng.ExpFloat64()
			}
		}
		// λᵢ is 2/(α₀+2)·√(α₀(α₀+1)/αᵢ).
		alpha[j] = least * alpha0
		if j < len(parts) && parts[j].lambda > 0 {
			alpha[j] = min(4*alpha0*(alpha0+1)/((alpha0+2)*(alpha0+2)*parts[j].lambda*parts[j].lambda), alpha0)
		}
		// A little of the mean keeps each word possible.
		sum := 0.0
		for _, v := range topic {
			sum += v
		}
		for i, v := range topic {
			mean := (float64(m.first[i]) + 1/float64(c.words)) / 2
			if sum > 0 {
				mean = floor*mean + (1-floor)*v/sum
			}
			byWord[i*width+j] = float32(mean)
		}
	}
	total := 0.0
	for _, a := range alpha {
		total += a
	}
	for j := range alpha {
		alpha[j] *= alpha0 / total
	}
	return alpha, byWord, nil
}

// maxParts bounds the tensor, which has as many numbers as its cube: 0.3 GB in
// float64.
const maxParts = 320

// floor is how much of the mean of all words a topic has while it is refined.
const floor = 0.01

// unwhiten gives the topic of a part: a multiple of back·v, whose sign is such
// that most of it is positive. What is negative is an error of the moments and
// becomes 0.
func unwhiten(back []float32, v []float64, k int) []float64 {
	topic := make([]float64, len(back)/k)
	plus, minus := 0.0, 0.0
	for w := range topic {
		for j, x := range v {
			topic[w] += float64(back[w*k+j]) * x
		}
		plus, minus = plus+math.Max(topic[w], 0), minus+math.Max(-topic[w], 0)
	}
	for w, x := range topic {
		if minus > plus {
			x = -x
		}
		topic[w] = math.Max(x, 0)
	}
	return topic
}
