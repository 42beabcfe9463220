// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// header is the parameters that a file of fastText begins with.
type header struct {
	Dim, Window, Epoch, MinCount, Negatives, WordNgrams int32
	Loss, Model                                         int32
	Buckets, MinChar, MaxChar, RateUpdate               int32
	Threshold                                           float64
}

// What header.Loss and header.Model may be.
const (
	lossTree     = 1 // hierarchical softmax
	lossNegative = 2
	lossSoftmax  = 3
	lossEach     = 4 // one against all

	modelCBOW       = 1
	modelSkipgram   = 2
	modelSupervised = 3
)

// rows is the rows of an input matrix.
type rows interface {
	// mean makes h, of vec.Stride(dim) values, the mean of rows; zeros of none.
	mean(h []float32, rows []int32)
	memory() int64
}

// Model is word vectors or a text classifier.
type Model struct {
	header
	dict   *dictionary
	pruned map[int32]int32 // of a quantised model: the rows of the buckets that are left; nil for all
	in     rows
	inRows int
	out    *matrix
	labels []int32   // rows of out: 0, 1, 2, ...
	tree   *codeTree // of lossTree

	evaluation []byte // eval.json, nil when there was no evaluation
}

var (
	_ algo.Model     = (*Model)(nil)
	_ algo.Responder = (*Model)(nil)
	_ algo.Sizer     = (*Model)(nil)
)

func newModel(h header, d *dictionary, in rows, inRows int, out *matrix) *Model {
	m := &Model{header: h, dict: d, in: in, inRows: inRows, out: out}
	if h.Model == modelSupervised {
		for i := range d.labels() {
			m.labels = append(m.labels, int32(i))
		}
		if h.Loss == lossTree {
			m.tree = newCodeTree(d.counts[d.nwords:])
		}
	}
	return m
}

// Save writes a classifier as model.bin, and word vectors as vectors.bin and
// vectors.txt. Both .bin are files of fastText.
func (m *Model) Save(dir string) error {
	if m.supervised() {
		return m.writeBinary(filepath.Join(dir, "model.bin"))
	}
	if err := m.writeBinary(filepath.Join(dir, "vectors.bin")); err != nil {
		return err
	}
	if err := m.writeText(filepath.Join(dir, "vectors.txt")); err != nil {
		return err
	}
	if m.evaluation == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "eval.json"), m.evaluation, 0o644)
}

// Predict is not what a model of words is asked: requests are text.
func (m *Model) Predict(context.Context, *algo.Matrix) (algo.Prediction, error) {
	return algo.Prediction{}, errors.New("blazingtext: requests are text, not rows of numbers")
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 {
	n := m.in.memory() + 16*int64(len(m.dict.slots))
	if m.out != nil {
		n += 4 * int64(len(m.out.v))
	}
	for _, w := range m.dict.words {
		n += int64(len(w)) + 32
	}
	return n
}

// bucketRow appends the rows of buckets, which are counted from nwords: all of
// them, or those that a quantised model has left.
func (m *Model) bucketRows(all []int32) []int32 {
	if m.pruned == nil {
		return all
	}
	left := all[:0]
	for _, r := range all {
		if to, ok := m.pruned[r-int32(m.dict.nwords)]; ok {
			left = append(left, to+int32(m.dict.nwords))
		}
	}
	return left
}

// textRows is the rows whose mean is that of a line of text, an end of line
// included, as fastText reads it.
func (m *Model) textRows(text []byte) []int32 {
	var known, hashed []int32
	var hashes []uint32
	word := func(w []byte) {
		h := hashOf(w)
		at := m.dict.find(w, h)
		if at >= int32(m.dict.nwords) || at < 0 && isLabel(w) {
			return
		}
		hashes = append(hashes, h)
		if at >= 0 {
			known = append(known, at)
		}
		hashed = subwords(hashed, string(w), int(m.MinChar), int(m.MaxChar), int(m.Buckets), m.dict.nwords)
	}
	for i := 0; i < len(text); {
		if separates(text[i]) {
			i++
			continue
		}
		from := i
		for i < len(text) && !separates(text[i]) {
			i++
		}
		word(text[from:i])
	}
	word([]byte(endOfLine))
	hashed = wordNgrams(hashed, hashes, int(m.WordNgrams), int(m.Buckets), m.dict.nwords)
	return append(known, m.bucketRows(hashed)...)
}

// vector makes h the vector of a word: of one that is not known the mean of its
// subwords', zeros where the model has none.
func (m *Model) vector(h []float32, word []byte) {
	var all []int32
	if at := m.dict.find(word, hashOf(word)); at >= 0 {
		all = append(all, at)
	}
	all = append(all, m.bucketRows(subwords(nil, string(word), int(m.MinChar), int(m.MaxChar), int(m.Buckets), m.dict.nwords))...)
	m.in.mean(h, all)
}

// probabilities gives those of the labels for a text, by label.
func (m *Model) probabilities(text []byte) []float32 {
	h := make([]float32, vec.Stride(int(m.Dim)))
	m.in.mean(h, m.textRows(text))
	scores := make([]float32, len(m.labels))
	switch m.Loss {
	case lossTree:
		m.tree.probabilities(scores, m.out, h)
		return scores
	case lossSoftmax:
		vec.DotRows(scores, m.out.v, m.labels, h)
		softmax(scores)
	default:
		vec.DotRows(scores, m.out.v, m.labels, h)
		for i, s := range scores {
			scores[i] = float32(1 / (1 + math.Exp(-float64(s))))
		}
	}
	return scores
}

// best gives the k most probable labels, the first in the dictionary first where
// they are equally so.
func best(probabilities []float32, k int) []int32 {
	all := make([]int32, len(probabilities))
	for i := range all {
		all[i] = int32(i)
	}
	slices.SortStableFunc(all, func(a, b int32) int {
		switch p, q := probabilities[a], probabilities[b]; {
		case p > q:
			return -1
		case p < q:
			return 1
		}
		return 0
	})
	return all[:min(k, len(all))]
}

func (m *Model) supervised() bool { return m.Model == modelSupervised }
