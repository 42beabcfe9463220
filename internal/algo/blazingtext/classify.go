// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"context"
	"math"
	"runtime/debug"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// classifier learns to tell labels of documents: the mean of the rows of a
// document's words and word n-grams goes through a linear layer and softmax.
//
// Source: Joulin et al., "Bag of Tricks for Efficient Text Classification", EACL
// 2017.
type classifier struct {
	config
	crew   *vec.Crew
	docs   *documents
	in     dense
	out    *matrix
	labels []int32 // 0, 1, 2, ...
	epoch  int

	batches [2]docBatch // the one whose outputs are learned, and the next
}

// A batch is so many documents, or fewer that have so many rows. Documents of one
// batch do not see what the others change in the rows of words, and those of two
// batches while one gathers what the other will change.
const (
	docsPerBatch = 64
	rowsPerBatch = 1 << 16
)

// docBatch is the documents from to to.
type docBatch struct {
	from, to int
	hidden   []float32 // of each document: its mean; then the gradient of it
	updates  [parts]byOwner
}

// fewLabels is up to how many labels the output layer is learned document after
// document, by one thread while the others gather. With more labels that would
// take the longest: then documents are taken by some at once.
const (
	fewLabels  = 24
	docsAtOnce = 16
)

func newClassifier(c config, d *dictionary, docs *documents, threads *vec.Crew) *classifier {
	rows := d.nwords + c.buckets
	docs.heat(rows, c.rate)
	used := make([]bool, rows)
	for _, r := range docs.rows {
		used[r] = true
	}
	debug.FreeOSMemory() // what reading took, before the matrix takes the most
	l := &classifier{config: c, crew: threads, docs: docs, in: newDense(rows, c.dim, used), out: newMatrix(d.labels(), c.dim)}
	l.in.random(threads)
	l.in.find(docs.rows)
	for i := range d.labels() {
		l.labels = append(l.labels, int32(i))
	}
	for i := range l.batches {
		l.batches[i].hidden = make([]float32, docsPerBatch*l.in.stride)
	}
	return l
}

// learn does an epoch, whose first step is taken when done of all rows of all
// epochs are behind. report hears of the share of the whole and the step size.
func (l *classifier) learn(ctx context.Context, report func(done float64, rate float32)) error {
	output := newOutput(l)
	now, next := &l.batches[0], &l.batches[1]
	l.plan(now, 0)
	l.crew.Do(parts, func(part int) { l.gather(now, part) })
	for now.from < now.to {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done := (float64(l.epoch) + float64(l.docs.starts[now.from])/float64(len(l.docs.rows))) / float64(l.epochs)
		rate := float32(l.rate * (1 - done))
		report(done, rate)
		l.plan(next, now.to)
		if len(l.labels) <= fewLabels {
			l.crew.Do(1+parts, func(item int) {
				if item == 0 {
					output.inTurn(now, rate)
				} else {
					l.gather(next, item-1)
				}
			})
		} else {
			output.atOnce(now, rate)
			l.crew.Do(parts, func(part int) { l.gather(next, part) })
		}
		l.crew.Do(owners, func(owner int) {
			for part := range now.updates {
				now.updates[part].apply(l.in.matrix, owner, now.hidden)
			}
		})
		now, next = next, now
	}
	l.epoch++
	return nil
}

// plan makes b the batch that begins with a document.
func (l *classifier) plan(b *docBatch, from int) {
	b.from, b.to = from, from
	for b.to < l.docs.n() && b.to-from < docsPerBatch &&
		(b.to == from || l.docs.starts[b.to+1]-l.docs.starts[from] <= rowsPerBatch) {
		b.to++
	}
}

// gather finds the means of a part of b, and which rows will change.
func (l *classifier) gather(b *docBatch, part int) {
	n := b.to - b.from
	u := &b.updates[part]
	u.clear()
	for i := part * n / parts; i < (part+1)*n/parts; i++ {
		rows := l.docs.rowsOf(b.from + i)
		share := 1 / float32(len(rows))
		h := b.hidden[i*l.in.stride : (i+1)*l.in.stride]
		clear(h)
		rows = rows[l.docs.hot[b.from+i]:]
		addEach(h, share, l.in.matrix, rows)
		for _, r := range rows {
			u.add(r, share, int32(i))
		}
	}
}

// mean makes h the mean of rows of m.
func mean(h []float32, m *matrix, rows []int32) {
	clear(h)
	addEach(h, 1/float32(len(rows)), m, rows)
}

// addEach adds alpha times each of rows of m to h.
func addEach(h []float32, alpha float32, m *matrix, rows []int32) {
	var alphas [64]float32
	for i := range alphas[:min(len(rows), len(alphas))] {
		alphas[i] = alpha
	}
	for len(rows) > 0 {
		n := min(len(rows), len(alphas))
		vec.AddRows(h, alphas[:n], m.v, rows[:n])
		rows = rows[n:]
	}
}

// addToEach adds alpha times h to each of rows of m.
func addToEach(m *matrix, rows []int32, alpha float32, h []float32) {
	var alphas [64]float32
	var zeros [64]int32
	for i := range alphas[:min(len(rows), len(alphas))] {
		alphas[i] = alpha
	}
	for len(rows) > 0 {
		n := min(len(rows), len(alphas))
		vec.AddToRows(m.v, rows[:n], alphas[:n], h, zeros[:n], m.stride)
		rows = rows[n:]
	}
}

// target is the label that a document teaches this time: one of its labels.
func (l *classifier) target(doc int) int32 {
	labels := l.docs.labelsOf(doc)
	if len(labels) == 1 {
		return labels[0]
	}
	r := draws(l.epoch, doc)
	return labels[r.below(len(labels))]
}

// output learns the output layer, and turns the means of a batch into gradients.
type output struct {
	*classifier
	alphas []float32 // of documents that are taken at once, by labels
	grads  []float32
	zeros  []int32
	places []int32
}

func newOutput(l *classifier) *output {
	o := &output{classifier: l, zeros: make([]int32, len(l.labels)), places: l.labels[:min(docsAtOnce, len(l.labels))]}
	o.alphas = make([]float32, docsAtOnce*len(l.labels))
	o.grads = make([]float32, docsAtOnce*l.out.stride)
	return o
}

// inTurn takes the documents of b one after the other.
func (o *output) inTurn(b *docBatch, rate float32) {
	alpha, grad := o.alphas[:len(o.labels)], o.grads[:o.out.stride]
	for i := range b.to - b.from {
		h := b.hidden[i*o.out.stride : (i+1)*o.out.stride]
		rows := o.docs.rowsOf(b.from + i)
		share, hot := 1/float32(len(rows)), rows[:o.docs.hot[b.from+i]]
		addEach(h, share, o.in.matrix, hot)
		o.backward(grad, alpha, h, o.target(b.from+i), rate)
		vec.AddToRows(o.out.v, o.labels, alpha, h, o.zeros, o.out.stride)
		addToEach(o.in.matrix, hot, share, grad)
		copy(h, grad)
	}
}

// atOnce takes some documents of b at a time; they do not see each other's
// changes.
func (o *output) atOnce(b *docBatch, rate float32) {
	stride, n := o.out.stride, len(o.labels)
	const block = 32
	for from := b.from; from < b.to; from += docsAtOnce {
		count := min(docsAtOnce, b.to-from)
		hidden := b.hidden[(from-b.from)*stride : (from-b.from+count)*stride]
		o.crew.Do(count, func(i int) {
			rows := o.docs.rowsOf(from + i)
			addEach(hidden[i*stride:(i+1)*stride], 1/float32(len(rows)), o.in.matrix, rows[:o.docs.hot[from+i]])
			o.backward(o.grads[i*stride:(i+1)*stride], o.alphas[i*n:(i+1)*n], hidden[i*stride:(i+1)*stride], o.target(from+i), rate)
		})
		o.crew.Do((n+block-1)/block, func(item int) {
			var column [docsAtOnce]float32
			for k := item * block; k < min((item+1)*block, n); k++ {
				for i := range count {
					column[i] = o.alphas[i*n+k]
				}
				vec.AddRows(o.out.v[k*stride:(k+1)*stride], column[:count], hidden, o.places[:count])
			}
		})
		copy(hidden, o.grads)
		for i := range count {
			rows := o.docs.rowsOf(from + i)
			addToEach(o.in.matrix, rows[:o.docs.hot[from+i]], 1/float32(len(rows)), o.grads[i*stride:(i+1)*stride])
		}
	}
}

// backward makes alpha the steps of the labels, and grad that of the mean h.
func (o *output) backward(grad, alpha, h []float32, target int32, rate float32) {
	vec.DotRows(alpha, o.out.v, o.labels, h)
	softmax(alpha)
	for k := range alpha {
		alpha[k] *= -rate
	}
	alpha[target] += rate
	clear(grad)
	vec.AddRows(grad, alpha, o.out.v, o.labels)
}

// softmax turns scores into probabilities.
func softmax(scores []float32) {
	most := scores[0]
	for _, s := range scores {
		most = max(most, s)
	}
	sum := float32(0)
	for i, s := range scores {
		scores[i] = float32(math.Exp(float64(s - most)))
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// accuracy is the share of docs whose most probable label is one of theirs. Their
// rows are those that l.in.find gives.
func (l *classifier) accuracy(docs *documents) float64 {
	const block = 64
	blocks := (docs.n() + block - 1) / block
	right := make([]int32, blocks)
	l.crew.Do(blocks, func(b int) {
		h, scores := make([]float32, l.in.stride), make([]float32, len(l.labels))
		for i := b * block; i < min((b+1)*block, docs.n()); i++ {
			mean(h, l.in.matrix, docs.rowsOf(i))
			vec.DotRows(scores, l.out.v, l.labels, h)
			best := 0
			for k, s := range scores {
				if s > scores[best] {
					best = k
				}
			}
			for _, label := range docs.labelsOf(i) {
				if int(label) == best {
					right[b]++
					break
				}
			}
		}
	})
	sum := 0
	for _, n := range right {
		sum += int(n)
	}
	return float64(sum) / float64(docs.n())
}
