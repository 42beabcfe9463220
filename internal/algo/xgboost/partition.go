// SPDX-License-Identifier: Apache-2.0

package xgboost

import "github.com/sagebrush-ml/sagebrush/internal/algo/vec"

// partition orders the rows of n so that those that go left come first, each
// side in ascending order, and gives the place where the right ones begin.
func (g *grower) partition(n *openNode, threads int) int {
	const chunk = 1 << 14
	rows, spare := g.rows[n.lo:n.hi], g.spare[n.lo:n.hi]
	if threads == 1 || len(rows) <= chunk {
		left := g.b.part(rows, spare, n.best)
		copy(rows[left:], spare[:len(rows)-left])
		return n.lo + left
	}
	lefts := make([]int, (len(rows)+chunk-1)/chunk)
	vec.Parallel(threads, len(lefts), func(_, i int) {
		hi := min((i+1)*chunk, len(rows))
		lefts[i] = g.b.part(rows[i*chunk:hi], spare[i*chunk:hi], n.best)
	})
	at := 0
	for i, left := range lefts {
		copy(rows[at:], rows[i*chunk:i*chunk+left])
		at += left
	}
	mid := at
	for i, left := range lefts {
		size := min((i+1)*chunk, len(rows)) - i*chunk
		at += copy(rows[at:], spare[i*chunk:i*chunk+size-left])
	}
	return n.lo + mid
}

// part moves the rows that go left to the front of rows and the others to the
// front of spare, and gives the number of the former.
func (b *binned) part(rows, spare []uint32, s split) int {
	spare = spare[:len(rows)]
	left, right := 0, 0
	if b.bytes == nil {
		for _, r := range rows {
			bin, ok := b.bin(r, s.feature)
			if ok && s.goesLeft(bin) || !ok && s.missingLeft {
				rows[left] = r
				left++
			} else {
				spare[right] = r
				right++
			}
		}
		return left
	}
	var goes [missingByte + 1]uint8
	for bin := range goes {
		if s.goesLeft(bin) {
			goes[bin] = 1
		}
	}
	if b.missing[s.feature] {
		goes[missingByte] = 0
		if s.missingLeft {
			goes[missingByte] = 1
		}
	}
	// Both sides are written and one counts: a branch would be foretold wrongly
	// every other time.
	column := b.bytes[s.feature*b.rows : (s.feature+1)*b.rows]
	for _, r := range rows {
		l := int(goes[column[r]])
		rows[left] = r
		spare[right] = r
		left += l
		right += 1 - l
	}
	return left
}
