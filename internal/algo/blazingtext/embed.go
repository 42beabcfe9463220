// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"context"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// embedder learns vectors of words: such that from a word those around it can be
// told from words drawn at random (skipgram), or from those around it the word
// (cbow).
//
// Source: Mikolov et al., "Distributed Representations of Words and Phrases and
// their Compositionality", NIPS 2013; with subwords, Bojanowski et al., TACL 2017.
type embedder struct {
	config
	crew  *vec.Crew
	dict  *dictionary
	in    dense
	out   *matrix
	text  []int32 // words, and lineEnd
	epoch int
	host  int // this one's place among all, which draws its own

	inputs  []int32 // rows of the words' own and of their subwords
	starts  []int32 // of each word in inputs, and the end; nil without subwords
	keep    []uint32
	lottery *lottery

	thinned []int32 // what is left of a stretch of text
	thins   [][]int32
	parts   [parts]*embedPart
}

// stretch is how many words are thinned out at once, in pieces of thinPiece.
const (
	stretch   = 1 << 17
	thinPiece = 1 << 12
)

// embedPart is a part of a batch.
type embedPart struct {
	ins, outs     byOwner
	hidden, grads room
	rows          []int32
	scores        []float32
	deltas        room // of batch_skipgram: what output rows change by
	context       []int32
	places        []int32
	bag           []int32
	transpose     []float32
}

func newEmbedder(c config, d *dictionary, text []int32, threads *vec.Crew) *embedder {
	fillSigmoids()
	e := &embedder{config: c, crew: threads, dict: d, text: text}
	var used []bool // rows that a word has
	if c.subwords {
		used = make([]bool, d.nwords+c.buckets)
		for i := range d.nwords {
			e.starts = append(e.starts, int32(len(e.inputs)))
			e.inputs = subwords(append(e.inputs, int32(i)), d.words[i], c.minChar, c.maxChar, c.buckets, d.nwords)
		}
		e.starts = append(e.starts, int32(len(e.inputs)))
		for _, r := range e.inputs {
			used[r] = true
		}
	} else {
		for i := range d.nwords {
			e.inputs = append(e.inputs, int32(i))
		}
	}
	e.in, e.out = newDense(d.nwords+c.buckets, c.dim, used), newMatrix(d.nwords, c.dim)
	e.in.random(threads)
	e.in.find(e.inputs)
	e.keep = make([]uint32, d.nwords)
	weights := make([]float64, d.nwords)
	for i := range weights {
		share := float64(d.counts[i]) / float64(max(d.tokens, 1))
		e.keep[i] = uint32(min(math.Sqrt(c.threshold/share)+c.threshold/share, 1) * math.MaxUint32)
		weights[i] = math.Pow(float64(d.counts[i]), 0.75)
	}
	e.lottery = newLottery(weights)
	for i := range e.parts {
		p := &embedPart{}
		for _, r := range []*room{&p.hidden, &p.grads, &p.deltas} {
			r.stride = e.in.stride
		}
		e.parts[i] = p
	}
	return e
}

// inputsOf is the rows whose mean is the vector of a word.
func (e *embedder) inputsOf(word int32) []int32 {
	if e.starts == nil {
		return e.inputs[word : word+1]
	}
	return e.inputs[e.starts[word]:e.starts[word+1]]
}

// A batch has so many words that the output row that is changed most often is
// changed mostChanges times: changes of one batch do not see each other, and
// together they must not go too far. It is at least and at most so many.
const (
	mostChanges = 48
	leastBatch  = 16
	mostBatch   = 1024
)

// batchWords is how many words of thinned text a batch has.
func (e *embedder) batchWords() int {
	kept, draws := make([]float64, e.dict.nwords), make([]float64, e.dict.nwords)
	var sumKept, sumDraws float64
	for i := range kept {
		kept[i] = float64(e.dict.counts[i]) * float64(e.keep[i]) / math.MaxUint32
		draws[i] = math.Pow(float64(e.dict.counts[i]), 0.75)
		sumKept, sumDraws = sumKept+kept[i], sumDraws+draws[i]
	}
	pairs := float64(e.window + 1)
	trueOnes, drawn := pairs, pairs*float64(e.negatives)
	if e.mode != skipgram { // once for the word in the middle, not for each around it
		trueOnes, drawn = 1, float64(e.negatives)
		if e.mode == batchSkipgram { // but a change is of all inputs together
			trueOnes, drawn = pairs, pairs*float64(e.negatives)
		}
	}
	most := 0.0
	for i := range kept {
		most = max(most, trueOnes*kept[i]/sumKept+drawn*draws[i]/sumDraws)
	}
	return int(min(max(mostChanges*0.05/e.rate/most, leastBatch), mostBatch))
}

// learn does the share of an epoch that lies between two words of the text.
func (e *embedder) learn(ctx context.Context, from, to int, report func(done float64, rate float32)) error {
	words := e.batchWords()
	for at := from; at < to; at += stretch {
		e.thin(at, min(at+stretch, to))
		for first := 0; first < len(e.thinned); first += words {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			last := min(first+words, len(e.thinned))
			// How much of the text is behind: of the thinned stretch as much as of it all.
			behind := float64(at) + float64(min(at+stretch, to)-at)*float64(first)/float64(len(e.thinned))
			done := (float64(e.epoch) + behind/float64(len(e.text))) / float64(e.epochs)
			rate := float32(e.rate * (1 - done))
			report(done, rate)
			e.crew.Do(parts, func(i int) {
				n := last - first
				p := e.parts[i]
				p.clear()
				r := draws(e.host, e.epoch, at+first, i)
				for word := first + i*n/parts; word < first+(i+1)*n/parts; word++ {
					if e.thinned[word] != lineEnd {
						e.example(p, word, rate, &r)
					}
				}
			})
			e.crew.Do(owners, func(owner int) {
				for _, p := range e.parts {
					if e.mode == batchSkipgram {
						p.outs.apply(e.out, owner, p.deltas.v)
					} else {
						p.outs.apply(e.out, owner, p.hidden.v)
					}
					p.ins.apply(e.in.matrix, owner, p.grads.v)
				}
			})
		}
	}
	return nil
}

// thin leaves out frequent words of a stretch of text by chance.
//
// Source: Mikolov et al., section 2.3, with the chance of word2vec.c and fastText.
func (e *embedder) thin(from, to int) {
	pieces := (to - from + thinPiece - 1) / thinPiece
	for len(e.thins) < pieces {
		e.thins = append(e.thins, make([]int32, 0, thinPiece))
	}
	e.crew.Do(pieces, func(i int) {
		r := draws(-1, e.host, e.epoch, from+i*thinPiece)
		left := e.thins[i][:0]
		for _, word := range e.text[from+i*thinPiece : min(from+(i+1)*thinPiece, to)] {
			if word == lineEnd || e.keep[word] == math.MaxUint32 || uint32(r.next()) <= e.keep[word] {
				left = append(left, word)
			}
		}
		e.thins[i] = left
	})
	e.thinned = e.thinned[:0]
	for _, t := range e.thins[:pieces] {
		e.thinned = append(e.thinned, t...)
	}
}

func (p *embedPart) clear() {
	p.ins.clear()
	p.outs.clear()
	p.hidden.n, p.grads.n, p.deltas.n = 0, 0, 0
}

// example learns from the word at a place of the thinned text and those around
// it.
func (e *embedder) example(p *embedPart, at int, rate float32, r *random) {
	reach := 1 + r.below(e.window)
	p.context = p.context[:0]
	from := at
	for from > 0 && at-from < reach && e.thinned[from-1] != lineEnd {
		from--
	}
	for i := from; i <= at+reach && i < len(e.thinned) && e.thinned[i] != lineEnd; i++ {
		if i != at {
			p.context = append(p.context, e.thinned[i])
		}
	}
	if len(p.context) == 0 {
		return
	}
	switch word := e.thinned[at]; e.mode {
	case skipgram:
		e.skipgram(p, word, rate, r)
	case cbow:
		e.cbow(p, word, rate, r)
	default:
		for len(p.context) > 0 {
			n := min(len(p.context), e.batchSize)
			e.shared(p, p.context[:n], word, rate, r)
			p.context = p.context[n:]
		}
	}
}

// drawn appends to p.rows the true word and those drawn against it.
func (e *embedder) drawn(p *embedPart, word int32, r *random) {
	p.rows = append(p.rows, word)
	for range e.negatives {
		other := e.lottery.draw(r)
		for tries := 0; other == word && tries < 10; tries++ { // there may be but one word
			other = e.lottery.draw(r)
		}
		if other != word {
			p.rows = append(p.rows, other)
		}
	}
}

// steps turns the scores of p.rows into steps, of which those at true ones lead
// up.
func (e *embedder) steps(p *embedPart, vector []float32) {
	if n := len(p.rows); cap(p.scores) < n {
		p.scores = make([]float32, 2*n)
	}
	p.scores = p.scores[:len(p.rows)]
	vec.DotRows(p.scores, e.out.v, p.rows, vector)
}

// skipgram learns to tell each word of p.context from word.
func (e *embedder) skipgram(p *embedPart, word int32, rate float32, r *random) {
	p.rows, p.places = p.rows[:0], p.places[:0]
	for _, c := range p.context {
		p.places = append(p.places, int32(len(p.rows)))
		e.drawn(p, c, r)
	}
	h, hidden := p.hidden.vector()
	e.input(h, word)
	e.steps(p, h)
	for i, s := range p.scores {
		p.scores[i] = -rate * sigmoid(s)
	}
	for _, i := range p.places {
		p.scores[i] += rate
	}
	grad, at := p.grads.vector()
	clear(grad)
	vec.AddRows(grad, p.scores, e.out.v, p.rows)
	for i, row := range p.rows {
		p.outs.add(row, p.scores[i], hidden)
	}
	for _, row := range e.inputsOf(word) {
		p.ins.add(row, 1, at)
	}
}

// input makes h the vector of word.
func (e *embedder) input(h []float32, word int32) {
	if e.starts == nil {
		copy(h, e.in.v[int(word)*e.in.stride:int(word+1)*e.in.stride])
		return
	}
	mean(h, e.in.matrix, e.inputsOf(word))
}

// cbow learns to tell word from the mean of p.context.
func (e *embedder) cbow(p *embedPart, word int32, rate float32, r *random) {
	p.bag = p.bag[:0]
	for _, c := range p.context {
		p.bag = append(p.bag, e.inputsOf(c)...)
	}
	h, hidden := p.hidden.vector()
	mean(h, e.in.matrix, p.bag)
	p.rows = p.rows[:0]
	e.drawn(p, word, r)
	e.steps(p, h)
	for i, s := range p.scores {
		p.scores[i] = -rate * sigmoid(s)
	}
	p.scores[0] += rate
	grad, at := p.grads.vector()
	clear(grad)
	vec.AddRows(grad, p.scores, e.out.v, p.rows)
	for i, row := range p.rows {
		p.outs.add(row, p.scores[i], hidden)
	}
	for _, row := range p.bag {
		p.ins.add(row, 1, at)
	}
}

// shared learns to tell word from each of some words of its context, against the
// same drawn words: products of small matrices in place of many vectors.
//
// Source: Ji et al., "Parallelizing Word2Vec in Shared and Distributed Memory",
// 2016, section III; Gupta and Khare, "BlazingText", 2017.
func (e *embedder) shared(p *embedPart, inputs []int32, word int32, rate float32, r *random) {
	p.rows = p.rows[:0]
	e.drawn(p, word, r)
	n := len(p.rows)
	p.places = p.places[:0]
	if need := len(inputs) * n; cap(p.transpose) < need {
		p.transpose = make([]float32, 2*need)
	}
	for i, c := range inputs {
		h, place := p.hidden.vector()
		p.places = append(p.places, place)
		e.input(h, c)
		e.steps(p, h)
		for j, s := range p.scores {
			p.scores[j] = -rate * sigmoid(s)
		}
		p.scores[0] += rate
		for j, s := range p.scores {
			p.transpose[:cap(p.transpose)][j*len(inputs)+i] = s
		}
		grad, at := p.grads.vector()
		clear(grad)
		vec.AddRows(grad, p.scores, e.out.v, p.rows)
		for _, row := range e.inputsOf(c) {
			p.ins.add(row, 1, at)
		}
	}
	for j, row := range p.rows {
		delta, at := p.deltas.vector()
		clear(delta)
		vec.AddRows(delta, p.transpose[:cap(p.transpose)][j*len(inputs):(j+1)*len(inputs)], p.hidden.v, p.places)
		p.outs.add(row, 1, at)
	}
}
