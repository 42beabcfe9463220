// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

const evalRows = 256 // of a piece of a table that is scored

// score calls do with the scores of t's first rows by outputs [first, first+n) of
// weights, piece by piece, by several goroutines: p has the labels of the rows from
// one on, and their scores, output o of row i being p.scores[i*stride+o]. Of the
// pieces only each every-th is scored. It gives the parts of the goroutines.
func (w *work) score(t *table, rows, every int, weights []float32, first, n int, do func(piece, from int, p *part, stride int)) []*part {
	pieces := (rows + evalRows*every - 1) / (evalRows * every)
	rooms, all := make(chan *part, w.crew.Threads()), make([]*part, w.crew.Threads())
	for i := range all {
		all[i] = new(part)
		rooms <- all[i]
	}
	weights = weights[first*w.width : (first+n)*w.width]
	stride := stride(n)
	var turned []float32
	if !t.Sparse() && n > 1 {
		turned = turn(nil, weights, n, w.width, stride)
	}
	w.each(pieces, rows/every*n*w.width, func(i int) {
		p := <-rooms
		defer func() { rooms <- p }()
		from := i * every * evalRows
		to := min(from+evalRows, rows)
		p.y = t.Label[from:to]
		p.scores = resize(p.scores, vec.PadRows(to-from)*stride)
		if t.Sparse() {
			rows := make([]int32, 0, evalRows)
			for r := from; r < to; r++ {
				rows = append(rows, int32(r))
			}
			for o := range n {
				w.sparseScores(t, rows, weights[o*w.width:(o+1)*w.width], p.scores[o:], stride)
			}
		} else if n == 1 {
			for r := range p.y {
				p.scores[r] = w.scoreOf(t.row(int32(from+r)), weights)
			}
		} else {
			p.x = resize(p.x, vec.PadRows(to-from)*w.row)
			for r := range p.y {
				w.fill(p.x[r*w.row:], t.row(int32(from+r)))
			}
			vec.MulPadded(vec.Rows(p.scores, stride), vec.Rows(p.x, w.row), vec.Rows(turned, stride), to-from, stride, w.width)
		}
		do(i, from, p, stride)
	})
	return all
}

// losses gives the mean loss of each model on the rows of all hosts.
func (w *work) losses(t *table, weights []float32) ([]float64, error) {
	models := len(w.set)
	byPiece := make([][]float64, (t.Rows+evalRows-1)/evalRows)
	w.score(t, t.Rows, 1, weights, 0, w.outputs, func(piece, _ int, p *part, stride int) {
		w.slopes(p, 0, w.outputs, p.scores, stride)
		byPiece[piece] = slices.Clone(p.losses[:models])
	})
	sums := make([]float64, models)
	for _, losses := range byPiece {
		for m, v := range losses {
			sums[m] += v
		}
	}
	if err := w.in.Peers.SumFloats(w.all, sums); err != nil {
		return nil, err
	}
	for m := range sums {
		sums[m] *= w.back / float64(t.total)
	}
	return sums, nil
}

// scoresOf gives the scores of the first rows of t by one model: classes of each
// row.
func (w *work) scoresOf(t *table, weights []float32, model int) []float32 {
	out := make([]float32, t.Rows*w.classes)
	w.score(t, t.Rows, 1, weights, model*w.classes, w.classes, func(_, from int, p *part, stride int) {
		for i := range p.y {
			copy(out[(from+i)*w.classes:(from+i+1)*w.classes], p.scores[i*stride:])
		}
	})
	return out
}

// cells is how many cells the scores of a model are sorted into to compare it
// with others; they lie between the least and the greatest score of at least
// sampledRows.
const (
	cells       = 1 << 12
	sampledRows = 1 << 16
)

// criteria gives, for each model of a binary classifier, its value of the
// criterion at the best threshold, negative so that less is better. Thresholds
// are the edges of cells of equal width: the threshold of the one that is chosen
// is found exactly afterwards.
func (w *work) criteria(t *table, weights []float32) ([]float64, error) {
	models, rows := len(w.set), w.calibrationRows(t)
	most := make([]float64, 2*models) // greatest score and greatest negative one
	for i := range most {
		most[i] = math.Inf(-1)
	}
	for _, p := range w.score(t, rows, max(1, rows/sampledRows), weights, 0, models, func(_, _ int, p *part, stride int) {
		if p.most == nil {
			p.most = slices.Repeat([]float32{float32(math.Inf(-1))}, 2*models)
		}
		for at := 0; at < len(p.y)*stride; at += stride {
			for m, v := range p.scores[at : at+models] {
				p.most[m], p.most[models+m] = max(p.most[m], v), max(p.most[models+m], -v)
			}
		}
	}) {
		for i, v := range p.most {
			most[i] = max(most[i], float64(v))
		}
	}
	if err := w.in.Peers.MaxFloats(w.all, most); err != nil {
		return nil, err
	}
	counts := make([]int64, models*cells*2)
	for _, p := range w.score(t, rows, 1, weights, 0, models, func(_, _ int, p *part, stride int) {
		p.counts = resize(p.counts, len(counts))
		for m := range models {
			own := p.counts[m*cells*2 : (m+1)*cells*2]
			lo := float32(-most[models+m])
			by := float32((cells - 1) / max(most[m]+most[models+m], 1e-30))
			for i, y := range p.y {
				cell := 0
				if v := (p.scores[i*stride+m] - lo) * by; v >= cells-1 {
					cell = cells - 1
				} else if v > 0 {
					cell = int(v)
				}
				own[(cell*2+int(y))&(2*cells-1)]++
			}
		}
	}) {
		for i, v := range p.counts {
			counts[i] += int64(v)
		}
	}
	if err := w.in.Peers.SumInts(w.all, counts); err != nil {
		return nil, err
	}
	values := make([]float64, models)
	for m := range values {
		values[m] = math.Inf(1)
		if lo, hi := -most[models+m], most[m]; lo <= hi && !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
			values[m] = -w.bestCut(counts[m*cells*2:(m+1)*cells*2], nil).value
		}
	}
	return values, nil
}

// calibrationRows is how many of t's first rows thresholds are chosen by.
func (w *work) calibrationRows(t *table) int { return min(max(w.calibration-t.from, 0), t.Rows) }

// cut is a threshold: rows from cell on are labelled 1.
type cut struct {
	cell  int
	value float64 // of the criterion
}

// bestCut finds the cut with the greatest value of the criterion. counts are the
// rows labelled 0 and 1 of each cell, in the order of scores. Among equal ones it
// takes that whose score is nearest to 0, told by at; nil takes the first.
func (w *work) bestCut(counts []int64, at func(cell int) float64) cut {
	var c confusion
	for i := 0; i < len(counts); i += 2 {
		c.falsePositive += float64(counts[i])
		c.truePositive += float64(counts[i+1])
	}
	best, reached := cut{value: math.Inf(-1)}, false
	for cell := 0; ; cell++ {
		value, ok := w.value(c)
		better := value > best.value
		if value == best.value && at != nil {
			better = math.Abs(at(cell)) < math.Abs(at(best.cell))
		}
		if ok && !reached || ok == reached && better {
			best, reached = cut{cell, value}, ok
		}
		if 2*cell == len(counts) {
			return best
		}
		zeros, ones := float64(counts[2*cell]), float64(counts[2*cell+1])
		c.falsePositive -= zeros
		c.trueNegative += zeros
		c.truePositive -= ones
		c.falseNegative += ones
	}
}

// value is the criterion of a confusion matrix. ok is false where it misses the
// target; value is then how near it comes.
func (w *work) value(c confusion) (value float64, ok bool) {
	switch w.criterion {
	case "f1":
		return c.fBeta(1), true
	case "f_beta":
		return c.fBeta(w.beta), true
	case "precision_at_target_recall":
		if r := c.recall(); r < w.targetRecall {
			return r - 1, false
		}
		return c.precision(), true
	case "recall_at_target_precision":
		if p := c.precision(); p < w.targetPrecision {
			return p - 1, false
		}
		return c.recall(), true
	}
	return c.accuracy(), true
}
