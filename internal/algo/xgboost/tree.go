// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// tree is one regression tree, node by node; node 0 is the root. The fields
// are those of XGBoost's model format.
type tree struct {
	left, right, parent []int32 // -1 where there is none
	feature             []int32 // 0 in leaves
	value               []float32
	// value is the bound of a split (smaller goes left) or the weight of a leaf,
	// times eta.
	missingLeft []bool
	gain        []float32            // 0 in leaves
	hess        []float32            // sum over the rows of the node
	base        []float32            // weight that the node has or would have as a leaf
	cats        map[int32]categories // of splits by category: those that go right; nil when there are none
}

// leaf appends a node below parent and gives its number.
func (t *tree) leaf(parent int32, value, hess float32) int32 {
	t.left = append(t.left, -1)
	t.right = append(t.right, -1)
	t.parent = append(t.parent, parent)
	t.feature = append(t.feature, 0)
	t.value = append(t.value, value)
	t.missingLeft = append(t.missingLeft, false)
	t.gain = append(t.gain, 0)
	t.hess = append(t.hess, hess)
	t.base = append(t.base, value)
	return int32(len(t.left) - 1)
}

// flatten appends the nodes of t that can be reached to nodes, breadth first,
// so that the children of a node lie side by side, and its sets of categories to
// sets. depth is the splits on the longest way to a leaf. It fails where t is no
// tree: a child out of range or reached twice, or a feature not below features.
func (t *tree) flatten(nodes []node, sets []categories, features int) (flat []node, all []categories, depth int, err error) {
	n := len(t.left)
	if n == 0 {
		return nil, nil, 0, algo.ClientErrorf("a tree of the model has no nodes")
	}
	base := len(nodes)
	order := make([]int32, 1, n)
	seen := make([]bool, n)
	seen[0] = true
	for i, next := 0, 1; i < len(order); i++ { // next is where the level below begins
		if i == next {
			depth, next = depth+1, len(order)
		}
		at := order[i]
		l, r := t.left[at], t.right[at]
		if l == -1 && r == -1 {
			nodes = append(nodes, node{bound: math.Float32bits(t.value[at]), left: int32(base + i)})
			continue
		}
		for _, c := range [2]int32{l, r} {
			if c < 0 || int(c) >= n || seen[c] {
				return nil, nil, 0, algo.ClientErrorf("node %d of a tree of the model has the child %d, which cannot be", at, c)
			}
			seen[c] = true
		}
		f := t.feature[at]
		if f < 0 || int(f) >= min(features, mostFeatures) {
			return nil, nil, 0, algo.ClientErrorf("node %d of a tree of the model splits feature %d of %d", at, f, features)
		}
		slot := 2 + 2*uint32(f)
		if !t.missingLeft[at] {
			slot++
		}
		bound := uint32(0) // no value is below NaN
		if set, ok := t.cats[at]; ok {
			bound, slot = uint32(len(sets)), slot|byCategory
			sets = append(sets, set)
		} else if v := t.value[at]; v == v {
			bound = sortKey(v) - 1
		}
		nodes = append(nodes, node{bound: bound, slot: slot, left: int32(base + len(order))})
		order = append(order, l, r)
	}
	return nodes, sets, depth, nil
}
