// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// part is a share of a batch: rows of a dense table for all models, or all rows
// of a sparse one for one model. How a batch is divided hangs on its size alone,
// so that sums have one order with any number of threads.
type part struct {
	x        []float32 // rows×row, the bias's 1 last and then 0
	scores   []float32 // rows×stride
	room     []float32 // of softmax
	slopes   []float32 // rows×stride
	y        []float32
	gradient []float32 // outputs×row
	losses   []float64 // by model, from the first that slopes are of

	most   []float32 // for criteria: greatest scores, and greatest negative ones
	counts []int32   // rows by model, cell and label
}

// resize gives s with length n; the content is not defined.
func resize[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]T, n)
}

const (
	partRows    = 128     // of a dense part, or more
	maxParts    = 16      // of a batch
	aheadRows   = 24      // how far ahead rows are fetched from memory
	partWeights = 1 << 22 // of all parts' gradients
)

// batchOf makes a step by batch b of nb and adds its losses. stop says that a
// host has been told to stop, and that no step was made.
func (w *work) batchOf(t *table, b, nb, epoch int, losses []float64) (stop bool, err error) {
	from, to := b*t.total/nb, (b+1)*t.total/nb
	w.choose(t, from, to)
	if t.Sparse() {
		w.sparseParts(t)
	} else {
		w.denseParts(t)
	}
	if w.in.Peers.Size() > 1 {
		return w.together(epoch*nb+b, b, to-from, losses)
	}
	if w.ctx.Err() != nil {
		return true, nil
	}
	for p := range w.parts {
		for m := range losses {
			losses[m] += w.parts[p].losses[m]
		}
	}
	mean := 1 / float32(to-from)
	w.each(w.outputs, w.outputs*w.width*(8+len(w.parts)), func(o int) {
		at := o * w.row
		g := w.parts[0].gradient[at : at+w.width]
		for p := 1; p < len(w.parts); p++ {
			vec.Axpy(1, w.parts[p].gradient[at:at+w.width], g)
		}
		for i := range g {
			g[i] *= mean
		}
		w.update(o, epoch*nb+b, b, g)
	})
	return false, nil
}

// together is the rest of batchOf on several hosts: gradients, losses and
// whether to stop are added up.
func (w *work) together(step, b, rows int, losses []float64) (stop bool, err error) {
	clear(w.sum)
	n := w.outputs * w.width
	for p := range w.parts {
		for o := range w.outputs {
			vec.Accumulate(w.parts[p].gradient[o*w.row:o*w.row+w.width], w.sum[o*w.width:])
		}
		for m := range losses {
			w.sum[n+m] += w.parts[p].losses[m]
		}
	}
	last := len(w.sum) - 1
	if w.ctx.Err() != nil {
		w.sum[last] = 1
	}
	if err := w.in.Peers.SumFloats(w.all, w.sum); err != nil || w.sum[last] > 0 {
		return true, err
	}
	for m := range losses {
		losses[m] += w.sum[n+m]
	}
	w.each(w.outputs, n*8, func(o int) {
		g := w.parts[0].gradient[o*w.row : o*w.row+w.width]
		for i := range g {
			g[i] = float32(w.sum[o*w.width+i] / float64(rows))
		}
		w.update(o, step, b, g)
	})
	return false, nil
}

// denseParts fills parts from the rows of a dense table.
func (w *work) denseParts(t *table) {
	rows := len(w.rows)
	n := max(1, min((rows+partRows-1)/partRows, maxParts, partWeights/(w.outputs*w.row)))
	w.parts = resize(w.parts, n)
	stride := stride(w.outputs)
	w.turned = turn(w.turned, w.weights, w.outputs, w.width, stride)
	w.each(n, rows*w.outputs*(w.width/16+1), func(i int) {
		p := &w.parts[i]
		from, to := i*rows/n, (i+1)*rows/n
		own := w.rows[from:to]
		p.y = resize(p.y, len(own))
		if w.outputs > 1 {
			p.x = resize(p.x, vec.PadRows(len(own))*w.row)
		} else {
			p.scores = resize(p.scores, len(own))
		}
		for r, row := range own {
			vec.Prefetch(t.row(w.rows[min(from+r+aheadRows, rows-1)]))
			p.y[r] = t.Label[row]
			if w.outputs > 1 {
				w.fill(p.x[r*w.row:], t.row(row))
			} else {
				p.scores[r] = w.scoreOf(t.row(row), w.weights)
			}
		}
		if w.outputs == 1 { // no product of matrices
			w.slopes(p, 0, 1, p.scores, 1)
			p.gradient = resize(p.gradient, w.row)
			clear(p.gradient)
			for r, row := range own {
				vec.Axpy(p.slopes[r], t.row(row), p.gradient)
				if w.useBias {
					p.gradient[w.width-1] += p.slopes[r]
				}
			}
			return
		}
		x := vec.Rows(p.x, w.row)
		p.scores = resize(p.scores, vec.PadRows(len(own))*stride)
		vec.MulPadded(vec.Rows(p.scores, stride), x, vec.Rows(w.turned, stride), len(own), stride, w.width)
		w.slopes(p, 0, w.outputs, p.scores, stride)
		p.gradient = resize(p.gradient, vec.PadRows(w.outputs)*w.row)
		vec.MulPadded(vec.Rows(p.gradient, w.row), vec.Rows(p.slopes, stride).T(), x, w.outputs, w.row, len(own))
	})
}

// fill writes a row of a dense table to x.
func (w *work) fill(x, row []float32) {
	copy(x, row)
	if w.useBias {
		x[w.width-1] = 1
	}
}

// scoreOf is the score of a row of a dense table by the weights of one output.
func (w *work) scoreOf(row, weights []float32) float32 {
	s := vec.Dot(row, weights)
	if w.useBias {
		s += weights[w.width-1]
	}
	return s
}

// stride is how far from each other rows of the scores of n outputs lie: they
// are whole lanes, but for one output.
func stride(n int) int {
	if n == 1 {
		return 1
	}
	return vec.Stride(n)
}

// turn writes the weights of n outputs as columns of rows of stride, which is no
// less, to dst.
func turn(dst, weights []float32, n, width, stride int) []float32 {
	dst = resize(dst, width*stride)
	for f := range width {
		row := dst[f*stride : (f+1)*stride]
		for o := range n {
			row[o] = weights[o*width+f]
		}
		clear(row[n:])
	}
	return dst
}

// slopes fills slopes and losses of p for n outputs from the first one of a model
// on: the scores of row i are at scores[i*stride:], and so are the slopes.
func (w *work) slopes(p *part, first, n int, scores []float32, stride int) {
	rows, k := len(p.y), w.classes
	p.slopes = resize(p.slopes, rows*stride+vec.PadRows(n)) // which a product looks at
	p.losses = resize(p.losses, stride)
	clear(p.losses)
	if w.loss.name == "logistic" {
		vec.Logistic(p.slopes, scores, p.y, w.positives[first:first+stride], p.losses)
		return
	}
	p.room = resize(p.room, rows*k)
	for m := range n / k {
		g, s := p.slopes[m*k:], scores[min(m*k, len(scores)):]
		if w.kind == multiclass {
			p.losses[m] = softmax(g, s, p.room, stride, k, p.y, w.classWeights)
		} else {
			p.losses[m] = w.scaled.slope(g, s, stride, p.y, w.positives[first+m])
		}
	}
}

// sparseParts fills parts from the rows of a sparse table: part 0 gets the
// gradients of all models, each of which is a piece of the work.
func (w *work) sparseParts(t *table) {
	rows := len(w.rows)
	stored := 0
	for _, row := range w.rows {
		stored += int(t.Start[row+1] - t.Start[row])
	}
	// Each model's piece is a part with its own slopes; their gradients and
	// losses lie in the first part's.
	w.parts = resize(w.parts, 1)
	p0 := &w.parts[0]
	p0.gradient = resize(p0.gradient, w.outputs*w.width)
	p0.losses = resize(p0.losses, len(w.set))
	p0.y = resize(p0.y, rows)
	for r, row := range w.rows {
		p0.y[r] = t.Label[row]
	}
	w.pieces = resize(w.pieces, len(w.set))
	w.each(len(w.set), w.outputs*(stored*2+w.width+rows*6), func(m int) {
		p := &w.pieces[m]
		p.y = p0.y
		p.scores = resize(p.scores, rows*w.classes)
		for c := range w.classes {
			w.sparseScores(t, w.rows, w.weights[(m*w.classes+c)*w.width:], p.scores[c:], w.classes)
		}
		w.slopes(p, m*w.classes, w.classes, p.scores, w.classes)
		p0.losses[m] = p.losses[0]
		for c := range w.classes {
			at := (m*w.classes + c) * w.width
			w.sparseGradient(t, p.slopes[c:], w.classes, p0.gradient[at:at+w.width])
		}
	})
}

// sparseScores writes the scores of rows of t by the weights x to s, stride
// apart.
func (w *work) sparseScores(t *table, rows []int32, x, s []float32, stride int) {
	base := float32(0)
	if w.useBias {
		base = x[w.width-1]
	}
	if w.scaler.shift != nil {
		base -= vec.Dot(w.scaler.shift, x)
	}
	for r, row := range rows {
		from, to := t.Start[row], t.Start[row+1]
		s[r*stride] = base + vec.SparseDot(t.Values[from:to], t.Index[from:to], x)
	}
}

// sparseGradient writes the gradient of one output, by the slopes of the batch,
// stride apart.
func (w *work) sparseGradient(t *table, slopes []float32, stride int, g []float32) {
	clear(g)
	total := float32(0)
	for r, row := range w.rows {
		d := slopes[r*stride]
		if d == 0 {
			continue
		}
		total += d
		from, to := t.Start[row], t.Start[row+1]
		vec.SparseAxpy(d, t.Values[from:to], t.Index[from:to], g)
	}
	if w.scaler.shift != nil {
		vec.Axpy(-total, w.scaler.shift, g)
	}
	if w.useBias {
		g[w.width-1] = total
	}
}
