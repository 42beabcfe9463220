// SPDX-License-Identifier: Apache-2.0

package firstparty

import "math"

// Scored is a score and its label, 0 or 1, in 33 bits that order by the score.
type Scored uint64

// ScoredOf joins a score and a label.
func ScoredOf(score, label float32) Scored {
	if score == 0 {
		score = 0 // not -0
	}
	b := math.Float32bits(score)
	if b>>31 != 0 {
		b = ^b
	} else {
		b |= 1 << 31
	}
	return Scored(b)<<1 | Scored(uint64(label))
}

// Label is 0 or 1.
func (s Scored) Label() int { return int(s & 1) }

// Score is the score.
func (s Scored) Score() float32 {
	b := uint32(s >> 1)
	if b>>31 != 0 {
		return math.Float32frombits(b &^ (1 << 31))
	}
	return math.Float32frombits(^b)
}

// Sorted is list sorted by radix. The order in list itself is lost.
func Sorted(list []Scored) []Scored {
	other := make([]Scored, len(list))
	for shift := 0; shift < 33; shift += 11 {
		var starts [1 << 11]int
		for _, v := range list {
			starts[v>>shift&(1<<11-1)]++
		}
		at := 0
		for i, n := range starts {
			starts[i] = at
			at += n
		}
		for _, v := range list {
			digit := v >> shift & (1<<11 - 1)
			other[starts[digit]] = v
			starts[digit]++
		}
		list, other = other, list
	}
	return list
}

// AreaUnder is the area under the ROC curve of sorted rows, 0.5 where a class has
// none. Rows of equal scores count half.
func AreaUnder(list []Scored) float64 {
	var zeros, ones, area float64
	for i := 0; i < len(list); {
		var z, o float64
		j := i
		for ; j < len(list) && list[j]>>1 == list[i]>>1; j++ {
			if list[j].Label() == 1 {
				o++
			} else {
				z++
			}
		}
		area += o * (zeros + z/2)
		zeros, ones, i = zeros+z, ones+o, j
	}
	if zeros == 0 || ones == 0 {
		return 0.5
	}
	return area / (zeros * ones)
}
