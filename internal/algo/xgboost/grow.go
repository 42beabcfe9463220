// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// grower grows trees over one training matrix.
type grower struct {
	regular
	b       *binned
	threads int
	seed    uint64
	place   place
	parts   []int   // of the features by host: host h weighs those from parts[h] to parts[h+1]
	wire    []int64 // histograms on their way between hosts

	q       quantized
	rows    []uint32 // the rows in use; each open node owns a stretch
	spare   []uint32
	out     []bool // by row: left out by subsample; nil when all are in use
	scratch []*scratch

	mu   sync.Mutex // guards free and made
	free []histogram
	made int // how many there are, at most most
	most int
}

// histogramBudget is how many bytes of histograms are kept at most. Nodes
// beyond it have theirs built anew instead of taken from the parent's.
const histogramBudget = 1 << 30

// wideRows is from how many rows on one node's work is spread over the workers.
const wideRows = 1 << 15

// openNode is a node of the tree being grown.
type openNode struct {
	id     int32
	depth  int
	lo, hi int // its rows are rows[lo:hi]
	total  sums
	hist   histogram // nil when not kept
	best   split
	fence  *fence // nil without constraints
}

// grown is a tree, and what finds the leaf of rows by their bins.
type grown struct {
	tree
	bin    []int // per node, within the feature
	leaves []*openNode
}

func newGrower(b *binned, p regular, threads int, seed uint64, at place) *grower {
	g := &grower{regular: p, b: b, threads: threads, seed: seed, place: at, parts: shares(b, at.peers.Size())}
	const size = 16 // of sums, in bytes
	g.most = max(1, histogramBudget/(size*max(1, len(b.cuts))))
	g.rows, g.spare = make([]uint32, b.rows), make([]uint32, b.rows)
	for range threads {
		g.scratch = append(g.scratch, newScratch(b))
	}
	return g
}

// errDiverged says that the loss has no finite derivatives any more.
var errDiverged = algo.ClientErrorf("training diverged: a gradient is not finite; " +
	"lower eta, set max_delta_step, or look for extreme labels")

// grow grows one tree for pairs, the gradient pairs by row. number tells the
// trees of a model apart in what is drawn at random. The error is errDiverged,
// or of another host. All hosts grow the same tree.
func (g *grower) grow(ctx context.Context, pairs []gradPair, number uint64) (*grown, error) {
	pairs, err := g.sample(ctx, pairs, number)
	if err != nil {
		return nil, err
	}
	if err := g.q.quantize(ctx, g.place.peers, pairs, g.threads); err != nil {
		return nil, err
	}
	t := &grown{}
	columns := newColumns(g.regular, g.b.cols, g.seed, number)
	root := &openNode{hi: len(g.rows)}
	if root.total, err = g.sumAll(ctx, g.sum(g.rows)); err != nil {
		return nil, err
	}
	root.fence = g.unfenced(float64(root.total.g)*g.q.unitG, float64(root.total.h)*g.q.unitH)
	root.id = g.leaf(t, -1, root.total, root.fence)
	if g.mayWiden(root) {
		g.reserve(root)
		if g.place.several() {
			err = g.openAcross(ctx, root, columns)
		} else {
			g.build(root, root.hist, columns)
			g.evaluate(root, root.hist, columns)
		}
		if err != nil {
			return nil, err
		}
	}
	if g.lossguide {
		return t, g.byLoss(ctx, t, root, columns)
	}
	return t, g.byDepth(ctx, t, root, columns)
}

// byDepth splits level by level, in the order of the nodes.
func (g *grower) byDepth(ctx context.Context, t *grown, root *openNode, columns *columns) error {
	level := []*openNode{root}
	leaves := 1
	for len(level) > 0 {
		var batch []*openNode
		for _, n := range level {
			if n.best.gain > 0 && (g.maxLeaves == 0 || leaves < g.maxLeaves) {
				batch = append(batch, n)
				leaves++
			} else {
				g.release(n)
				t.leaves = append(t.leaves, n)
			}
		}
		var err error
		if level, err = g.expand(ctx, t, batch, columns); err != nil {
			return err
		}
	}
	return nil
}

// byLoss splits the node that gains most first.
func (g *grower) byLoss(ctx context.Context, t *grown, root *openNode, columns *columns) error {
	queue := &byGain{root}
	leaves := 1
	for queue.Len() > 0 {
		n := heap.Pop(queue).(*openNode)
		if n.best.gain <= 0 || g.maxLeaves > 0 && leaves >= g.maxLeaves {
			g.release(n)
			t.leaves = append(t.leaves, n)
			continue
		}
		leaves++
		children, err := g.expand(ctx, t, []*openNode{n}, columns)
		if err != nil {
			return err
		}
		for _, c := range children {
			heap.Push(queue, c)
		}
	}
	slices.SortFunc(t.leaves, func(a, b *openNode) int { return cmp.Compare(a.id, b.id) })
	return nil
}

// byGain is a heap of nodes, the largest gain first, then the oldest.
type byGain []*openNode

func (q byGain) Len() int      { return len(q) }
func (q byGain) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *byGain) Push(x any)   { *q = append(*q, x.(*openNode)) }
func (q byGain) Less(i, j int) bool {
	if q[i].best.gain != q[j].best.gain {
		return q[i].best.gain > q[j].best.gain
	}
	return q[i].id < q[j].id
}
func (q *byGain) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// leaf appends a leaf with the sums total to t, its weight held within f.
func (g *grower) leaf(t *grown, parent int32, total sums, f *fence) int32 {
	h := float64(total.h) * g.q.unitH
	w := g.weightWithin(f, float64(total.g)*g.q.unitG, h)
	t.bin = append(t.bin, 0)
	return t.tree.leaf(parent, float32(w*g.eta), float32(h))
}

// split turns leaf n of t into a split with two leaves.
func (g *grower) split(t *grown, n *openNode) (left, right *openNode) {
	bound := float32(-math.MaxFloat32)
	if n.best.bin >= 0 {
		bound = g.b.cuts[int(g.b.ptr[n.best.feature])+n.best.bin]
	}
	return g.splitAt(t, n, bound)
}

// splitAt is split for a bound that need not be a bin's.
func (g *grower) splitAt(t *grown, n *openNode, bound float32) (left, right *openNode) {
	s, id := n.best, n.id
	left = &openNode{depth: n.depth + 1, total: s.left}
	right = &openNode{depth: n.depth + 1, total: n.total.minus(s.left)}
	left.id = g.leaf(t, id, left.total, n.fence)
	right.id = g.leaf(t, id, right.total, n.fence)
	left.fence, right.fence = g.below(n.fence, s.feature, float64(left.total.g)*g.q.unitG, float64(left.total.h)*g.q.unitH,
		float64(right.total.g)*g.q.unitG, float64(right.total.h)*g.q.unitH)
	t.left[id], t.right[id] = left.id, right.id
	t.feature[id], t.bin[id], t.missingLeft[id] = int32(s.feature), s.bin, s.missingLeft
	t.value[id] = bound
	t.byCategory(id, s.cats)
	t.gain[id] = float32(s.gain)
	t.base[id] = float32(g.weightWithin(n.fence, float64(n.total.g)*g.q.unitG, float64(n.total.h)*g.q.unitH))
	return left, right
}

// mayWiden tells whether n could be split at all. The rows are counted to save
// work only, and where other hosts have some they are not.
func (g *grower) mayWiden(n *openNode) bool {
	return (n.hi-n.lo > 1 || g.place.several()) && (g.maxDepth == 0 || n.depth < g.maxDepth) &&
		float64(n.total.h)*g.q.unitH >= 2*g.minChildWeight
}

// expand splits the nodes of batch and evaluates their children, which it
// gives in order.
func (g *grower) expand(ctx context.Context, t *grown, batch []*openNode, columns *columns) ([]*openNode, error) {
	children := make([]*openNode, 0, 2*len(batch))
	for _, n := range batch {
		left, right := g.split(t, n)
		children = append(children, left, right)
	}
	cut := func(i, threads int) {
		n, left, right := batch[i], children[2*i], children[2*i+1]
		mid := g.partition(n, threads)
		left.lo, left.hi, right.lo, right.hi = n.lo, mid, mid, n.hi
	}
	g.apart(len(batch), func(i int) bool { return batch[i].hi-batch[i].lo >= wideRows },
		func(i int) { cut(i, g.threads) }, func(_, i int) { cut(i, 1) })
	if g.place.several() {
		return children, g.expandAcross(ctx, batch, children, columns)
	}
	g.open(batch, children, columns)
	return children, nil
}

// open evaluates the children of batch, two for each node.
func (g *grower) open(batch, children []*openNode, columns *columns) {

	// The smaller child is added up from its rows, the larger one is the rest
	// of the parent.
	small := func(i int) (few, many *openNode) {
		a, b := children[2*i], children[2*i+1]
		if a.hi-a.lo > b.hi-b.lo {
			a, b = b, a
		}
		return a, b
	}
	wanted := func(i int) bool { return g.mayWiden(children[2*i]) || g.mayWiden(children[2*i+1]) }
	big := func(i int) bool {
		few, _ := small(i)
		return few.hi-few.lo >= wideRows && wanted(i) && batch[i].hist != nil && g.reserve(few)
	}
	built := make([]bool, len(batch))
	g.apart(len(batch), big, func(i int) {
		few, _ := small(i)
		g.build(few, few.hist, columns)
		built[i] = true
	}, func(int, int) {})
	vec.Parallel(g.threads, len(batch), func(worker, i int) {
		parent := batch[i]
		few, many := small(i)
		switch {
		case !wanted(i):
			g.release(parent)
		case parent.hist != nil && (built[i] || g.reserve(few)):
			if !built[i] {
				g.b.fill(few.hist, g.rows[few.lo:few.hi], &g.q, columns.groups, g.scratch[worker])
			}
			many.hist, parent.hist = parent.hist, nil
			many.hist.subtract(few.hist)
			g.evaluate(few, few.hist, columns)
			g.evaluate(many, many.hist, columns)
		default:
			g.release(parent)
			for _, n := range []*openNode{few, many} {
				local := g.scratch[worker].local
				if g.reserve(n) {
					local = n.hist
				} else {
					clear(local)
				}
				g.b.fill(local, g.rows[n.lo:n.hi], &g.q, columns.groups, g.scratch[worker])
				g.evaluate(n, local, columns)
			}
		}
	})
}

// apart does the big ones of n pieces one after the other and then the others
// side by side.
func (g *grower) apart(n int, big func(i int) bool, alone func(i int), beside func(worker, i int)) {
	var small []int
	for i := range n {
		if g.threads > 1 && big(i) {
			alone(i)
		} else {
			small = append(small, i)
		}
	}
	vec.Parallel(g.threads, len(small), func(worker, i int) { beside(worker, small[i]) })
}

// evaluate finds the best split of n, and gives its histogram back when there
// is none.
func (g *grower) evaluate(n *openNode, h histogram, columns *columns) {
	if g.mayWiden(n) {
		n.best = g.best(g.b, &g.q, h, n.total, columns.of(n), n.fence)
	}
	if n.best.gain <= 0 {
		g.release(n)
	}
}

// build fills the histogram into of n with all workers.
func (g *grower) build(n *openNode, into histogram, columns *columns) {
	const chunk = 8 * packRows
	rows := g.rows[n.lo:n.hi]
	used := make([]bool, len(g.scratch))
	vec.Stretches(g.threads, len(rows), chunk, func(worker, from, to int) {
		h, s := into, g.scratch[worker]
		if worker > 0 {
			h = s.local
			if !used[worker] {
				clear(h)
				used[worker] = true
			}
		}
		g.b.fill(h, rows[from:to], &g.q, columns.groups, s)
	})
	for worker, s := range g.scratch {
		if used[worker] {
			into.add(s.local)
		}
	}
}

// reserve gives n an empty histogram, or says that the budget is spent. The
// first one is always granted.
func (g *grower) reserve(n *openNode) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last := len(g.free) - 1; last >= 0 {
		n.hist, g.free = g.free[last], g.free[:last]
		clear(n.hist)
		return true
	}
	if g.made >= g.most {
		return false
	}
	g.made++
	n.hist = make(histogram, len(g.b.cuts))
	return true
}

// release takes the histogram of n back.
func (g *grower) release(n *openNode) {
	if n.hist == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free, n.hist = append(g.free, n.hist), nil
}

// sum adds up the pairs of rows with all workers.
func (g *grower) sum(rows []uint32) sums {
	parts := make([]sums, (len(rows)+span-1)/span)
	spans(g.threads, len(rows), func(_, block, lo, hi int) { parts[block] = g.q.total(rows[lo:hi]) })
	var s sums
	for _, p := range parts {
		s = s.plus(p)
	}
	return s
}
