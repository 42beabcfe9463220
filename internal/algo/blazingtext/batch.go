// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"math"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Training is stochastic gradient descent in small batches, done so that all
// threads work and the result does not hang on their number. fastText lets its
// threads write to the same rows as it comes ("Hogwild"), which is fast, and
// another model each time. Here a batch is two steps:
//
//   - its examples are cut into parts; for each part its gradients are found from
//     the parameters as they are before the batch, which nobody writes;
//   - the rows of the parameters are divided among owners; each owner adds to its
//     rows what the parts say, part after part.
//
// Parts and owners are a fixed number of each, whatever the threads; a thread
// takes the next that is left. A batch is so small that what its examples do not
// see of each other is as little as in Hogwild.
const (
	parts  = 16
	owners = 16 // a power of two
)

func ownerOf(row int32) int32 { return row & (owners - 1) }

// updates is what is to be added to rows of one owner: alpha[i] times row from[i]
// of some vectors to row rows[i].
type updates struct {
	rows  []int32
	alpha []float32
	from  []int32
}

func (u *updates) add(row int32, alpha float32, from int32) {
	u.rows = append(u.rows, row)
	u.alpha = append(u.alpha, alpha)
	u.from = append(u.from, from)
}

// byOwner is updates for each owner.
type byOwner [owners]updates

func (o *byOwner) clear() {
	for i := range o {
		l := &o[i]
		l.rows, l.alpha, l.from = l.rows[:0], l.alpha[:0], l.from[:0]
	}
}

func (o *byOwner) add(row int32, alpha float32, from int32) {
	o[ownerOf(row)].add(row, alpha, from)
}

// apply adds rows of vectors to those of one owner in m.
func (o *byOwner) apply(m *matrix, owner int, vectors []float32) {
	l := &o[owner]
	vec.AddToRows(m.v, l.rows, l.alpha, vectors, l.from, m.stride)
}

// room is vectors that are taken one after the other.
type room struct {
	v      []float32
	stride int
	n      int32 // in use
}

// vector gives the next vector, whose values are not defined, and its place.
func (r *room) vector() ([]float32, int32) {
	at := int(r.n) * r.stride
	if at+r.stride > len(r.v) {
		more := make([]float32, 2*at+64*r.stride)
		copy(more, r.v)
		r.v = more
	}
	r.n++
	return r.v[at : at+r.stride], r.n - 1
}

// sigmoids is 1/(1+exp(-x)) for x from -sigmoidBound up, as fastText has it.
// newEmbedder fills it, as other programs of this binary need none.
var sigmoids [sigmoidSteps + 1]float32

var fillSigmoids = sync.OnceFunc(func() {
	for i := range sigmoids {
		x := float64(i)*2*sigmoidBound/sigmoidSteps - sigmoidBound
		sigmoids[i] = float32(1 / (1 + math.Exp(-x)))
	}
})

const (
	sigmoidSteps = 1024
	sigmoidBound = 8
)

func sigmoid(x float32) float32 {
	switch {
	case x >= sigmoidBound:
		return 1
	case x <= -sigmoidBound:
		return 0
	case x != x: // a table has no place for it
		return x
	}
	return sigmoids[int((x+sigmoidBound)*(sigmoidSteps/(2*sigmoidBound)))]
}
