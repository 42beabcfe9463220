// SPDX-License-Identifier: Apache-2.0

package rcf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/npz"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Forest is a trained forest.
type Forest struct {
	dims   int
	points []float32 // of all trees, row-major
	trees  []tree
	size   int // of a tree's sample
}

// What a Forest can do.
var (
	_ algo.Model      = (*Forest)(nil)
	_ algo.Formatter  = (*Forest)(nil)
	_ algo.RowChecker = (*Forest)(nil)
	_ algo.Sizer      = (*Forest)(nil)
)

func (f *Forest) point(i int32) []float32 {
	return f.points[int(i)*f.dims : int(i+1)*f.dims]
}

// bound makes ready what scores need beside the trees themselves.
func (f *Forest) bound(threads int) {
	vec.Parallel(threads, len(f.trees), func(_, t int) { f.trees[t].bound(f) })
}

// MemoryBytes implements algo.Sizer.
func (f *Forest) MemoryBytes() int64 {
	n := 4 * len(f.points)
	for i := range f.trees {
		t := &f.trees[i]
		n += 24*len(t.nodes) + 4*len(t.boxes) + 8*len(t.spans)
	}
	return int64(n)
}

// CheckRows refuses rows of another width.
func (f *Forest) CheckRows(_ string, rows *algo.Matrix) error {
	if !rows.Fits(f.dims) {
		return fmt.Errorf("a row has %d features, the model has feature_dim %d", rows.Cols, f.dims)
	}
	for i, v := range rows.Values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("value %d is not a finite number", i+1)
		}
	}
	return nil
}

// batch is how many rows one goroutine scores on end.
const batch = 64

// Predict gives the anomaly score of each row, the mean over the trees.
func (f *Forest) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	p := algo.Prediction{Values: make([]float32, rows.Rows), Width: 1}
	vec.Stretches(runtime.GOMAXPROCS(0), rows.Rows, batch, func(_, from, to int) {
		if ctx.Err() == nil {
			f.score(rows, from, p.Values[from:to])
		}
	})
	return p, ctx.Err()
}

// score fills scores for the rows from from on. It goes tree by tree, so that a
// tree is in the cache for all of them.
func (f *Forest) score(rows *algo.Matrix, from int, scores []float32) {
	var (
		path  = make([]int32, 0, 64)
		sums  = make([]float64, len(scores))
		dense = rows
	)
	if rows.Sparse() || rows.Cols != f.dims {
		dense = &algo.Matrix{Rows: len(scores), Cols: f.dims, Values: make([]float32, len(scores)*f.dims)}
		for i := range scores {
			rows.Row(from+i, dense.Values[i*f.dims:i*f.dims+rows.Cols])
		}
		from = 0
	}
	for t := range f.trees {
		for i := range scores {
			var s float64
			s, path = f.trees[t].score(f, dense.Row(from+i, nil), path)
			sums[i] += s
		}
	}
	for i, s := range sums {
		scores[i] = float32(s / float64(len(f.trees)))
	}
}

var layout = firstparty.Layout{Of: "scores", Fields: []firstparty.Field{{Name: "score", Width: 1}}}

// Accepts implements algo.Formatter.
func (f *Forest) Accepts() []string { return layout.Accepts() }

// Format implements algo.Formatter.
func (f *Forest) Format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	return layout.Format(dst, how, p)
}

// artifact is the one file of the model.
const artifact = "model_algo-1"

// Save writes the forest as an archive of NumPy arrays:
//
//	points  P×D float32  the records of all trees' samples
//	begin   T+1 int64    where in the following the nodes of tree t lie
//	dim     N int32      dimension of the node's cut, -1 for a leaf
//	cut     N float64    a record goes left when its value is not above
//	right   N int32      the right child, from begin[t] on (the left one is the next node); of a leaf its point
//	mass    N int32      records below
//	size    1 int64      records of a tree's sample
func (f *Forest) Save(dir string) error {
	file, err := os.Create(filepath.Join(dir, artifact))
	if err != nil {
		return err
	}
	defer file.Close()
	var dims, rights, masses []int32
	var cuts []float64
	begin := []int64{0}
	for _, t := range f.trees {
		for _, n := range t.nodes {
			dims, rights, masses, cuts = append(dims, n.dim), append(rights, n.right), append(masses, n.mass), append(cuts, n.cut)
		}
		begin = append(begin, int64(len(dims)))
	}
	w := npz.NewWriter(file)
	npz.Write(w, "points", f.points, len(f.points)/f.dims, f.dims)
	npz.Write(w, "begin", begin, len(begin))
	npz.Write(w, "dim", dims, len(dims))
	npz.Write(w, "cut", cuts, len(cuts))
	npz.Write(w, "right", rights, len(rights))
	npz.Write(w, "mass", masses, len(masses))
	npz.Write(w, "size", []int64{int64(f.size)}, 1)
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

// read is the inverse of Save.
func read(b []byte) (*Forest, error) {
	a, err := npz.Open(b)
	if err != nil {
		return nil, algo.ClientErrorf("%s is not a forest of Sagebrush: %w", artifact, err)
	}
	points, shape, err := npz.Read[float32](a, "points")
	begin, _, err2 := npz.Read[int64](a, "begin")
	dims, _, err3 := npz.Read[int32](a, "dim")
	cuts, _, err4 := npz.Read[float64](a, "cut")
	rights, _, err5 := npz.Read[int32](a, "right")
	masses, _, err6 := npz.Read[int32](a, "mass")
	size, _, err7 := npz.Read[int64](a, "size")
	if err := errors.Join(err, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, algo.ClientErrorf("%s is not a forest of Sagebrush: %w", artifact, err)
	}
	n := len(dims)
	if len(shape) != 2 || shape[1] == 0 || len(size) != 1 || len(begin) < 2 || len(cuts) != n || len(rights) != n || len(masses) != n {
		return nil, algo.ClientErrorf("%s: the arrays do not fit each other", artifact)
	}
	f := &Forest{dims: shape[1], points: points, size: int(size[0])}
	for t := 1; t < len(begin); t++ {
		from, to := begin[t-1], begin[t]
		if from < 0 || from >= to || to > int64(n) {
			return nil, algo.ClientErrorf("%s: tree %d lies outside of the nodes", artifact, t)
		}
		nodes := make([]node, to-from)
		for i := range nodes {
			at := int(from) + i
			nodes[i] = node{dim: dims[at], cut: cuts[at], right: rights[at], mass: masses[at]}
			if err := f.check(nodes[i], i, len(nodes)); err != nil {
				return nil, algo.ClientErrorf("%s: tree %d, node %d %w", artifact, t, i, err)
			}
		}
		f.trees = append(f.trees, tree{nodes: nodes})
	}
	f.bound(runtime.GOMAXPROCS(0))
	return f, nil
}

// check refuses a node that walks would not come out of.
func (f *Forest) check(n node, at, nodes int) error {
	switch {
	case n.mass < 1:
		return errors.New("has no mass")
	case n.dim == leaf && (n.right < 0 || int(n.right) >= len(f.points)/f.dims):
		return errors.New("has no point")
	case n.dim != leaf && (n.dim < 0 || int(n.dim) >= f.dims):
		return errors.New("cuts no dimension")
	case n.dim != leaf && (int(n.right) <= at+1 || int(n.right) >= nodes):
		return errors.New("has no right child")
	}
	return nil
}
