// SPDX-License-Identifier: Apache-2.0

package rcf

import (
	"math"
	"math/rand/v2"
	"slices"
)

// node is a cut, or a leaf. The left child of a cut stands right behind it.
type node struct {
	dim   int32   // the cut's dimension; leaf for a leaf
	right int32   // index of the right child; of a leaf its point
	mass  int32   // points below, equal ones counted
	box   int32   // of a cut: which of tree.boxes
	cut   float64 // what is not above it lies left
}

const leaf = -1

// tree is one tree in preorder. Leaves hold one point, or several equal ones.
type tree struct {
	nodes []node
	// boxes has for each cut the bounds of the points below: dims low ones, then
	// dims high ones. spans are the sums of their sides. Neither is saved.
	boxes  []float32
	spans  []float64
	normal float64 // what scores are multiplied by, so that trees of all sizes compare
}

// builder builds one tree of f.
type builder struct {
	f    *Forest
	rng  *rand.Rand
	tree tree
	low  []float32
	high []float32
}

// build makes the tree of points, which it reorders.
func (b *builder) build(points []int32) {
	b.low, b.high = make([]float32, b.f.dims), make([]float32, b.f.dims)
	b.tree.nodes = make([]node, 0, 2*len(points)-1)
	b.add(points)
}

// add appends the tree of points.
func (b *builder) add(points []int32) {
	at := len(b.tree.nodes)
	b.tree.nodes = append(b.tree.nodes, node{dim: leaf, right: points[0], mass: int32(len(points))})
	if len(points) == 1 {
		return
	}
	span := b.bounds(points)
	if span == 0 { // all are equal: the smallest index stands for them, whatever the order
		b.tree.nodes[at].right = slices.Min(points)
		return
	}
	dim, cut := b.draw(span)
	left := 0
	for i, p := range points {
		if float64(b.f.point(p)[dim]) <= cut {
			points[i], points[left] = points[left], p
			left++
		}
	}
	b.add(points[:left])
	b.tree.nodes[at] = node{dim: int32(dim), cut: cut, right: int32(len(b.tree.nodes)), mass: int32(len(points))}
	b.add(points[left:])
}

// bounds makes low and high the box of points and gives the sum of its sides.
func (b *builder) bounds(points []int32) (span float64) {
	copy(b.low, b.f.point(points[0]))
	copy(b.high, b.low)
	for _, p := range points[1:] {
		enclose(b.low, b.high, b.f.point(p))
	}
	return sides(b.low, b.high)
}

// draw chooses a dimension with a chance in proportion to the side of the box,
// and a cut in it such that points lie on both sides.
func (b *builder) draw(span float64) (dim int, cut float64) {
	at := b.rng.Float64() * span
	last := 0
	for d, low := range b.low {
		side := float64(b.high[d]) - float64(low)
		if side <= 0 {
			continue
		}
		if last = d; at < side {
			break
		}
		at -= side
	}
	low, high := float64(b.low[last]), float64(b.high[last])
	if cut = low + at; !(cut < high) { // by rounding, at the end of the box
		cut = math.Nextafter(high, low)
	}
	return last, cut
}

// enclose widens a box by a point.
func enclose(low, high, p []float32) {
	for d, v := range p {
		low[d] = min(low[d], v)
		high[d] = max(high[d], v)
	}
}

// sides is the sum of a box's sides.
func sides(low, high []float32) (sum float64) {
	for d, v := range low {
		sum += float64(high[d]) - float64(v)
	}
	return sum
}

// bound fills boxes and spans.
func (t *tree) bound(f *Forest) {
	t.normal = math.Log2(float64(t.nodes[0].mass) + 1)
	cuts := 0
	for i := range t.nodes {
		if n := &t.nodes[i]; n.dim != leaf {
			n.box = int32(cuts)
			cuts++
		}
	}
	t.boxes, t.spans = make([]float32, 2*cuts*f.dims), make([]float64, cuts)
	for i := len(t.nodes) - 1; i >= 0; i-- { // children stand behind
		n := &t.nodes[i]
		if n.dim == leaf {
			continue
		}
		low, high := t.box(f, n)
		copy(low, t.corner(f, int32(i)+1, false))
		copy(high, t.corner(f, int32(i)+1, true))
		enclose(low, high, t.corner(f, n.right, false))
		enclose(low, high, t.corner(f, n.right, true))
		t.spans[n.box] = sides(low, high)
	}
}

// box is the low and the high corner of a cut's box.
func (t *tree) box(f *Forest, n *node) (low, high []float32) {
	from := int(n.box) * 2 * f.dims
	return t.boxes[from : from+f.dims : from+f.dims], t.boxes[from+f.dims : from+2*f.dims]
}

// corner is the low or high corner of what lies below node i.
func (t *tree) corner(f *Forest, i int32, high bool) []float32 {
	n := &t.nodes[i]
	if n.dim == leaf {
		return f.point(n.right)
	}
	low, top := t.box(f, n)
	if high {
		return top
	}
	return low
}

// score says how much the tree would change if x came into it. path is room for
// the nodes on the way down.
//
// Source: AnomalyScoreVisitor and CommonUtils in AWS's random-cut-forest
// library.
func (t *tree) score(f *Forest, x []float32, path []int32) (float64, []int32) {
	path = path[:0]
	i := int32(0)
	nodes := t.nodes
	n := &nodes[0]
	for n.dim != leaf {
		path = append(path, i)
		next := i + 1
		if float64(x[n.dim]) > n.cut { // a conditional move: the processor could not guess
			next = n.right
		}
		i = next
		n = &nodes[i]
	}
	end, whole := n, float64(nodes[0].mass)
	depth := len(path)
	if slices.Equal(f.point(end.right), x) {
		if depth == 0 {
			return 0, path
		}
		damp := 1 - float64(end.mass)/(2*whole)
		return damp / (float64(depth) + math.Log2(float64(end.mass)+1)) * t.normal, path
	}
	score := 1 / float64(depth+1)
	for depth--; depth >= 0; depth-- {
		n := &t.nodes[path[depth]]
		low, high := t.box(f, n)
		beyond := outside(x, low, high)
		if beyond == 0 {
			break // the boxes further up hold this one
		}
		p := beyond / (t.spans[n.box] + beyond)
		score = p/float64(depth+1) + (1-p)*score
	}
	return score * t.normal, path
}

// outside is by how much the sides of the box grow when it takes x in.
func outside(x, low, high []float32) float64 {
	low, high = low[:len(x)], high[:len(x)]
	var sum float32
	for d, v := range x {
		sum += positive(v-high[d]) + positive(low[d]-v)
	}
	return float64(sum)
}

// positive is v, or 0 when v is below, without a branch.
func positive(v float32) float32 {
	b := math.Float32bits(v)
	return math.Float32frombits(b &^ uint32(int32(b)>>31))
}
