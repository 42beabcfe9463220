// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// corpus is documents by word counts, and the same by words.
type corpus struct {
	docs, words int
	start       []int64 // of a document in word and count
	word        []int32
	count       []float32
	length      []float32 // of a document: sum of its counts

	wordStart []int64 // of a word in doc and at
	doc       []int32
	at        []int64 // where that word of that document is in count
}

// newCorpus takes the counts of rows. byWord says whether the order by words is
// asked for.
func newCorpus(rows *algo.Matrix, byWord bool) *corpus {
	c := &corpus{docs: rows.Rows, words: rows.Cols, start: make([]int64, 1, rows.Rows+1)}
	add := func(w int32, n float32) {
		if n > 0 {
			c.word, c.count = append(c.word, w), append(c.count, n)
		}
	}
	for i := range rows.Rows {
		if rows.Sparse() {
			for at := rows.Start[i]; at < rows.Start[i+1]; at++ {
				add(rows.Index[at], rows.Values[at])
			}
		} else {
			for w, n := range rows.Row(i, nil) {
				add(int32(w), n)
			}
		}
		c.start = append(c.start, int64(len(c.word)))
		sum := 0.0
		for _, n := range c.count[c.start[i]:] {
			sum += float64(n)
		}
		c.length = append(c.length, float32(sum))
	}
	if byWord {
		c.turn()
	}
	return c
}

// turn makes the order by words.
func (c *corpus) turn() {
	c.wordStart = make([]int64, c.words+1)
	for _, w := range c.word {
		c.wordStart[w+1]++
	}
	for w := range c.words {
		c.wordStart[w+1] += c.wordStart[w]
	}
	c.doc, c.at = make([]int32, len(c.word)), make([]int64, len(c.word))
	next := append([]int64(nil), c.wordStart...)
	for d := range c.docs {
		for at := c.start[d]; at < c.start[d+1]; at++ {
			w := c.word[at]
			c.doc[next[w]], c.at[next[w]] = int32(d), at
			next[w]++
		}
	}
}

// checkCounts tells what is wrong with the counts of a request or a channel.
func checkCounts(rows *algo.Matrix) error {
	for at, v := range rows.Values {
		if v < 0 || math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			row := 0
			if rows.Sparse() {
				for rows.Start[row+1] <= int64(at) {
					row++
				}
			} else {
				row = at / rows.Cols
			}
			return fmt.Errorf("document %d: the count %v of a word is not a number of at least 0", row+1, v)
		}
	}
	return nil
}

// some is how many documents or words one goroutine takes at a time.
const some = 256

// each calls do for stretches of 0 to n on up to threads goroutines.
func each(threads, n int, do func(worker, from, to int)) { vec.Stretches(threads, n, some, do) }

// byDocument writes, for each document, the sum of its counts' rows of q (words ×
// width), each times its count over the document's length: docs × width.
func (c *corpus) byDocument(threads int, q []float32, width int) []float32 {
	p := make([]float32, c.docs*width)
	each(threads, c.docs, func(_, from, to int) {
		for d := from; d < to; d++ {
			row := p[d*width : (d+1)*width]
			for at := c.start[d]; at < c.start[d+1]; at++ {
				vec.Axpy(c.count[at]/c.length[d], q[int(c.word[at])*width:][:width], row)
			}
		}
	})
	return p
}

// byWord writes, for each word, the sum of the rows of p (docs × width) of
// documents that have it, each times its share of the document's words and the
// document's weight; and the sum of those factors.
func (c *corpus) byWord(threads int, p []float32, width int, weight []float32) (z, sums []float32) {
	z, sums = make([]float32, c.words*width), make([]float32, c.words)
	each(threads, c.words, func(_, from, to int) {
		for w := from; w < to; w++ {
			row, sum := z[w*width:(w+1)*width], 0.0
			for i := c.wordStart[w]; i < c.wordStart[w+1]; i++ {
				d := int(c.doc[i])
				if weight[d] == 0 {
					continue
				}
				share := c.count[c.at[i]] / c.length[d] * weight[d]
				sum += float64(share)
				vec.Axpy(share, p[d*width:(d+1)*width], row)
			}
			sums[w] = float32(sum)
		}
	})
	return z, sums
}
