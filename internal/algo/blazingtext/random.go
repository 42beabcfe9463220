// SPDX-License-Identifier: Apache-2.0

package blazingtext

import "math/bits"

// random is a stream of numbers. One is made for each small piece of work, from
// what the piece is and not from who does it, so that the draws are the same on
// any number of threads.
//
// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators",
// OOPSLA 2014 (SplitMix64).
type random struct{ state uint64 }

// seed is that of all draws: BlazingText has no hyperparameter for it.
const seed = 1

// draws gives the stream of a piece of work.
func draws(what ...int) random {
	r := random{seed}
	for _, w := range what {
		r.state = r.next() ^ uint64(w)
	}
	return random{r.next()}
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is an integer below n, n > 0.
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// fill makes v uniform within (-bound, bound).
func (r *random) fill(v []float32, bound float32) {
	for i := 0; i < len(v); i += 2 {
		x := r.next()
		v[i] = (float32(x>>40)*(1.0/(1<<23)) - 1) * bound
		if i+1 < len(v) {
			v[i+1] = (float32(x&(1<<24-1))*(1.0/(1<<23)) - 1) * bound
		}
	}
}

// lottery draws words with given chances in one step: the alias method.
//
// Source: Walker, "An Efficient Method for Generating Discrete Random Variables
// with General Distributions", ACM TOMS 1977; built as by Vose, 1991.
type lottery struct {
	keep  []uint32 // the chance, of 2^32, that a drawn place is kept
	other []int32  // what is drawn in its stead
}

// newLottery gives each i a chance in proportion to weights[i].
func newLottery(weights []float64) *lottery {
	n := len(weights)
	l := &lottery{make([]uint32, n), make([]int32, n)}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	scaled := make([]float64, n)
	var small, large []int32
	for i, w := range weights {
		scaled[i] = w * float64(n) / sum
		if scaled[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, b := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		l.keep[s], l.other[s] = uint32(min(scaled[s]*(1<<32), 1<<32-1)), b
		if scaled[b] -= 1 - scaled[s]; scaled[b] < 1 {
			large, small = large[:len(large)-1], append(small, b)
		}
	}
	for _, i := range append(small, large...) {
		l.keep[i], l.other[i] = 1<<32-1, i
	}
	return l
}

func (l *lottery) draw(r *random) int32 {
	x := r.next()
	i := int32(x >> 32 * uint64(len(l.keep)) >> 32)
	if uint32(x) <= l.keep[i] {
		return i
	}
	return l.other[i]
}
