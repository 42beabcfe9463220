// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// quantised is a matrix in codes: each row is pieces, and of each piece the code
// tells which of 256 centroids is near it; the length of the row may be kept
// apart.
//
// Source: Joulin et al., "FastText.zip: Compressing text classification models",
// 2016.
type quantised struct {
	rows, dim int
	codes     []byte
	pieces    *quantiser
	norms     []byte // nil when lengths are not kept apart
	lengths   *quantiser
}

// quantiser is the centroids of pieces.
type quantiser struct {
	dim, pieces, size, last int // values of a row; pieces of it, values of each and of the last
	centroids               []float32
}

const centroids = 256

func (r *reader) quantised(dim int) *quantised {
	q := &quantised{dim: dim}
	apart := r.byte() != 0
	n, cols, size := r.int64(), r.int64(), r.int32()
	q.rows = r.count("rows", n, 1)
	q.codes = make([]byte, r.count("codes", int64(size), 1))
	r.full(q.codes)
	q.pieces = r.quantiser()
	if r.err == nil && (cols != int64(dim) || q.pieces.dim != dim || len(q.codes) != q.rows*q.pieces.pieces) {
		r.fail("%d codes for %d rows of %d values", size, n, cols)
	}
	if apart && r.err == nil {
		q.norms = make([]byte, r.count("rows", n, 1))
		r.full(q.norms)
		if q.lengths = r.quantiser(); r.err == nil && q.lengths.dim != 1 {
			r.fail("a length of %d values", q.lengths.dim)
		}
	}
	return q
}

func (r *reader) quantiser() *quantiser {
	q := &quantiser{int(r.int32()), int(r.int32()), int(r.int32()), int(r.int32()), nil}
	if r.err == nil && (q.dim < 1 || q.size < 1 || q.size > q.dim || q.last < 1 || q.last > q.size || q.pieces < 1 || q.pieces > q.dim ||
		(q.pieces-1)*q.size+q.last != q.dim) {
		r.fail("%d values are not %d pieces of %d", q.dim, q.pieces, q.size)
	}
	if r.err != nil {
		return q
	}
	q.centroids = make([]float32, r.count("centroids", int64(q.dim)*centroids, 4))
	r.each(len(q.centroids), 1, func(i int, v []float32) { q.centroids[i] = v[0] })
	return q
}

// add adds alpha times what codes stand for to h.
func (q *quantiser) add(h []float32, codes []byte, alpha float32) {
	for i, code := range codes {
		size := q.size
		if i == q.pieces-1 {
			size = q.last
		}
		at := i*centroids*q.size + int(code)*size
		for j, v := range q.centroids[at : at+size] {
			h[i*q.size+j] += alpha * v
		}
	}
}

// addRow adds alpha times a row to h.
func (q *quantised) addRow(h []float32, row int, alpha float32) {
	if q.norms != nil {
		alpha *= q.lengths.centroids[q.norms[row]]
	}
	n := q.pieces.pieces
	q.pieces.add(h, q.codes[row*n:(row+1)*n], alpha)
}

func (q *quantised) mean(h []float32, rows []int32) {
	clear(h)
	for _, r := range rows {
		q.addRow(h, int(r), 1/float32(len(rows)))
	}
}

func (q *quantised) memory() int64 {
	return int64(len(q.codes)+len(q.norms)) + 4*int64(len(q.pieces.centroids))
}

// dense is q as a matrix.
func (q *quantised) dense() *matrix {
	m := &matrix{make([]float32, q.rows*vec.Stride(q.dim)), q.rows, q.dim, vec.Stride(q.dim)}
	for i := range q.rows {
		q.addRow(m.row(i), i, 1)
	}
	return m
}

// codeTree is the tree of hierarchical softmax: Huffman's over the labels.
type codeTree struct {
	nodes  []treeNode // labels, then inner nodes; the last is the root
	labels int
}

type treeNode struct{ left, right int32 }

// newCodeTree builds the tree as fastText does, from counts that descend.
func newCodeTree(counts []int64) *codeTree {
	n := len(counts)
	t := &codeTree{nodes: make([]treeNode, 2*n-1), labels: n}
	weight := make([]int64, 2*n-1)
	for i := range weight {
		weight[i] = math.MaxInt64 / 4
	}
	copy(weight, counts)
	leaf, node := n-1, n
	for i := n; i < 2*n-1; i++ {
		var pair [2]int32
		for j := range pair {
			if leaf >= 0 && weight[leaf] < weight[node] {
				pair[j] = int32(leaf)
				leaf--
			} else {
				pair[j] = int32(node)
				node++
			}
		}
		t.nodes[i] = treeNode{pair[0], pair[1]}
		weight[i] = weight[pair[0]] + weight[pair[1]]
	}
	return t
}

// probabilities multiplies those of the turns on the way to each label.
func (t *codeTree) probabilities(p []float32, out *matrix, h []float32) {
	reach := make([]float32, len(t.nodes))
	reach[len(reach)-1] = 1
	var score [1]float32
	for i := len(t.nodes) - 1; i >= t.labels; i-- {
		vec.DotRows(score[:], out.v, []int32{int32(i - t.labels)}, h)
		right := float32(1 / (1 + math.Exp(-float64(score[0]))))
		reach[t.nodes[i].left] = reach[i] * (1 - right)
		reach[t.nodes[i].right] = reach[i] * right
	}
	copy(p, reach)
}
