// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"cmp"
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// documents is labelled lines of text, made ready: the rows of the input matrix
// that each is the mean of, and its labels.
type documents struct {
	rows        []int32
	starts      []int64 // of each document in rows, and the end
	labels      []int32
	labelStarts []int64
	hot         []uint16 // of each document, how many of its first rows are hot; nil for none
	lines       int      // of the text, those without a label or a known word included
}

func (d *documents) n() int { return len(d.starts) - 1 }

func (d *documents) rowsOf(i int) []int32 { return d.rows[d.starts[i]:d.starts[i+1]] }

func (d *documents) labelsOf(i int) []int32 { return d.labels[d.labelStarts[i]:d.labelStarts[i+1]] }

// unknownLabel is a label that the dictionary lacks: no answer is right.
const unknownLabel = -1

// documentsOf makes documents of text by d, and leaves nothing of text.ids. places
// is where the words of text are in d, -1 for none. Lines without a label are
// passed over; a text without any is a client error.
func documentsOf(text *wording, places []int32, d *dictionary, c config, threads *vec.Crew) (*documents, error) {
	tokens, each := 0, 1
	for _, ids := range text.ids {
		tokens += len(ids)
	}
	if c.buckets > 0 {
		each = c.ngrams
	}
	all := &documents{rows: make([]int32, 0, each*tokens), starts: []int64{0}, labelStarts: []int64{0}}
	var made [piecesAtOnce]documents
	for from := 0; from < len(text.ids); from += piecesAtOnce {
		now := text.ids[from:min(from+piecesAtOnce, len(text.ids))]
		threads.Do(len(now), func(i int) {
			made[i].fill(now[i], text.words, places, d, c)
			now[i] = nil
		})
		for i := range now {
			rows, labels := int64(len(all.rows)), int64(len(all.labels))
			for at := range made[i].n() {
				all.starts = append(all.starts, rows+made[i].starts[at+1])
				all.labelStarts = append(all.labelStarts, labels+made[i].labelStarts[at+1])
			}
			all.rows, all.labels = append(all.rows, made[i].rows...), append(all.labels, made[i].labels...)
			all.lines += made[i].lines
		}
	}
	if all.n() == 0 {
		return nil, algo.ClientErrorf("file %s: none of %d lines has a label and a known word; lines such as \"%s1 a text\" were expected", text.first, all.lines, labelPrefix)
	}
	return all, nil
}

// fill makes d the documents of a piece.
func (d *documents) fill(ids []int32, words *counter, places []int32, dict *dictionary, c config) {
	d.rows, d.labels, d.lines = d.rows[:0], d.labels[:0], 0
	d.starts, d.labelStarts = append(d.starts[:0], 0), append(d.labelStarts[:0], 0)
	var hashes []uint32
	for _, id := range ids {
		if id != lineEnd {
			e := &words.entries[id]
			at := places[id]
			switch {
			case isLabel(e.word):
				label := int32(unknownLabel)
				if at >= 0 {
					label = at - int32(dict.nwords)
				}
				d.labels = append(d.labels, label)
			default:
				if at >= 0 {
					d.rows = append(d.rows, at)
				}
				hashes = append(hashes, e.hash)
			}
			continue
		}
		d.lines++
		row, label := d.starts[d.n()], d.labelStarts[d.n()]
		d.rows = wordNgrams(d.rows, hashes, c.ngrams, c.buckets, dict.nwords)
		if hashes = hashes[:0]; int64(len(d.rows)) > row && int64(len(d.labels)) > label {
			d.starts, d.labelStarts = append(d.starts, int64(len(d.rows))), append(d.labelStarts, int64(len(d.labels)))
		} else {
			d.rows, d.labels = d.rows[:row], d.labels[:label]
		}
	}
}

// The rows of words that stand in most documents are hot: each document should
// see what the last one changed in them, or the changes of a batch add up to too
// much. They are few.
const (
	mostHot   = 256
	leastHeat = 2e-6
)

// heat puts the hot rows of each document first. A row's heat is the mean square
// of its share in documents: how much of its gradient comes back in the next
// one's mean.
func (d *documents) heat(rows int, rate float64) {
	heat := make([]float64, rows)
	for i := range d.n() {
		of := d.rowsOf(i)
		share := 1 / float64(len(of))
		for _, r := range of {
			heat[r] += share * share
		}
	}
	var hottest []int32
	for r, h := range heat {
		if h*rate >= leastHeat*float64(d.n()) {
			hottest = append(hottest, int32(r))
		}
	}
	slices.SortFunc(hottest, func(a, b int32) int { return cmp.Or(cmp.Compare(heat[b], heat[a]), cmp.Compare(a, b)) })
	is := make([]bool, rows)
	for _, r := range hottest[:min(len(hottest), mostHot)] {
		is[r] = true
	}
	d.hot = make([]uint16, d.n())
	for i := range d.hot {
		of, n := d.rowsOf(i), 0
		for j, r := range of {
			if is[r] && n < math.MaxUint16 {
				of[j], of[n] = of[n], r
				n++
			}
		}
		d.hot[i] = uint16(n)
	}
}
