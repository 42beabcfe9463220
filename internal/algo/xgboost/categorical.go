// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// categories is a set of categories. A split by category sends the rows whose
// category it holds to the right, and all others to the left.
type categories struct {
	bits []uint32 // one for each
	few  []int32  // ascending, in place of bits where these would be mostly empty
}

// mostCategory is the largest category: from there on float32 skips numbers.
const mostCategory = 1 << 24

// categoriesOf makes a set of a list, which it may keep. Its memory is a fixed
// multiple of the list's, however large the categories are.
func categoriesOf(list []int32) categories {
	if len(list) == 0 {
		return categories{}
	}
	if top := slices.Max(list); int(top)/32 > 8*len(list) {
		slices.Sort(list)
		return categories{few: list}
	}
	var c categories
	for _, at := range list {
		for len(c.bits) <= int(at/32) {
			c.bits = append(c.bits, 0)
		}
		c.bits[at/32] |= 1 << (at % 32)
	}
	return c
}

// has tells whether the category of v is in the set. No number below 0 or above
// mostCategory is a category; what lies between two is the lower one.
func (c categories) has(v float32) bool {
	if !(v >= 0 && v <= mostCategory) {
		return false
	}
	at := uint32(v)
	if c.few != nil {
		_, ok := slices.BinarySearch(c.few, int32(at))
		return ok
	}
	return int(at/32) < len(c.bits) && c.bits[at/32]>>(at%32)&1 == 1
}

// list gives the categories in ascending order.
func (c categories) list() []int32 {
	out := slices.Compact(slices.Clone(c.few))
	for i, word := range c.bits {
		for ; word != 0; word &= word - 1 {
			out = append(out, int32(32*i+bits.TrailingZeros32(word)))
		}
	}
	return out
}

// bytes is the memory of the set, in bytes.
func (c categories) bytes() int64 { return 48 + 4*int64(cap(c.bits)+cap(c.few)) }

// walkMixed is walkAll for trees with splits by category.
func (f *forest) walkMixed(keys []uint32, margins []float32) {
	stride := f.stride()
	for i := range len(margins) / f.width {
		row := keys[i*stride : (i+1)*stride]
		for t, at := range f.roots {
			for f.nodes[at].slot != 0 {
				n := &f.nodes[at]
				if n.slot&byCategory == 0 {
					at = step(f.nodes, at, row)
					continue
				}
				key := row[n.slot&^byCategory]
				if at = n.left; key == missingRight || key != missingLeft && f.sets[n.bound].has(floatOf(key)) {
					at++
				}
			}
			margins[i*f.width+int(f.class[t])] += math.Float32frombits(f.nodes[at].bound)
		}
	}
}

// smallestBound is what XGBoost writes for the bound of a split by category.
const smallestBound = math.SmallestNonzeroFloat32

// byCategory makes the split of node id one by category, where cats is not nil.
func (t *grown) byCategory(id int32, cats *categories) {
	if cats == nil {
		return
	}
	if t.cats == nil {
		t.cats = map[int32]categories{}
	}
	t.cats[id], t.value[id] = *cats, smallestBound
}

// goesLeft tells where rows go at the split at whose feature lies in bin.
func (t *grown) goesLeft(at int32, bin int) bool {
	if set, ok := t.cats[at]; ok {
		return !set.has(float32(bin))
	}
	return bin <= t.bin[at]
}

// tryCategories weighs the splits of feature f by category; bins has the sums of
// each. Few categories are split off one by one. Of many, those of the smallest
// weights are split off the others, which for one loss to the second order is
// where the best set lies.
//
// Source: Fisher, "On Grouping for Maximum Homogeneity", JASA 1958, as XGBoost
// does it.
func (e *evaluator) tryCategories(f int, bins histogram, total sums) {
	take := func(left sums, missingLeft bool, cats func() categories) {
		if e.try(left) {
			set := cats()
			e.found.feature, e.found.bin, e.found.missingLeft, e.found.left, e.found.cats = f, 0, missingLeft, left, &set
		}
	}
	var present sums
	for _, s := range bins {
		present = present.plus(s)
	}
	if len(bins) < e.oneHot {
		for i, s := range bins {
			one := func() categories { return categoriesOf([]int32{int32(i)}) }
			take(total.minus(s), true, one)
			take(present.minus(s), false, one)
		}
		return
	}
	order := make([]int, len(bins))
	weights := make([]float32, len(bins))
	for i, s := range bins {
		order[i] = i
		weights[i] = float32(e.weight(float64(s.g)*e.unitG, float64(s.h)*e.unitH))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[a], weights[b]) })
	first := func(n int) func() categories {
		return func() categories {
			var list []int32
			for _, i := range order[:n] {
				list = append(list, int32(i))
			}
			return categoriesOf(list)
		}
	}
	most := min(e.mostCats, len(bins)) - 1
	var right, left sums
	for i := range most {
		right = right.plus(bins[order[i]])
		take(total.minus(right), true, first(i+1))
	}
	for i := len(bins) - 1; i > len(bins)-1-most; i-- {
		left = left.plus(bins[order[i]])
		take(left, false, first(i))
	}
}

// shareCategories tells all hosts the sets of the best splits of nodes. owners
// says which host found them, and mine has those that this one found.
func (g *grower) shareCategories(ctx context.Context, nodes []*openNode, owners []int, mine []*categories) error {
	if g.cats == nil {
		return nil
	}
	var own []byte
	rank := g.place.peers.Rank()
	for i, n := range nodes {
		if n.best.cats == nil || owners[i] != rank {
			continue
		}
		list := mine[i].list()
		own = binary.AppendUvarint(own, uint64(len(list)))
		for _, at := range list {
			own = binary.LittleEndian.AppendUint32(own, uint32(at))
		}
	}
	all, err := g.place.peers.AllGather(ctx, own)
	if err != nil {
		return err
	}
	for i, n := range nodes {
		if n.best.cats == nil {
			continue
		}
		b := all[owners[i]]
		count, size := binary.Uvarint(b)
		if size <= 0 || count > uint64(len(b)-size)/4 {
			return errPeer
		}
		list := make([]int32, count)
		for j := range list {
			if list[j] = int32(binary.LittleEndian.Uint32(b[size+4*j:])); list[j] < 0 || list[j] > mostCategory {
				return errPeer
			}
		}
		set := categoriesOf(list)
		n.best.cats, all[owners[i]] = &set, b[size+4*len(list):]
	}
	return nil
}

// planCategories reads which features hold categories, and how they are split.
func (c *config) planCategories(p given) error {
	c.oneHot, c.mostCats = p.Int("max_cat_to_onehot"), p.Int("max_cat_threshold")
	for _, text := range p.List("_categorical_features") {
		f, err := strconv.Atoi(text)
		if err != nil || f < 0 || f > mostFeatures {
			return algo.ClientErrorf("Hyperparameter _categorical_features: %q is not the number of a feature, counted from 0", text)
		}
		c.categorical = append(c.categorical, f)
	}
	if len(c.categorical) > 0 && c.method == byValue {
		return algo.ClientErrorf("Categorical features are not supported by the tree method exact: use hist or approx")
	}
	return nil
}

// markCategories says which of the columns hold categories.
func (c *config) markCategories(cols int) error {
	if len(c.categorical) == 0 {
		return nil
	}
	c.cats = make([]bool, cols)
	for _, f := range c.categorical {
		if f >= cols {
			return algo.ClientErrorf("_categorical_features names feature %d; the data has %d, counted from 0", f, cols)
		}
		c.cats[f] = true
	}
	return nil
}

// cutCategories gives the features with categories a bin for each, up to the
// largest that any host has. name is the channel of m.
func (c *config) cutCategories(ctx context.Context, peers *collective.Group, m *algo.Matrix, bins *cutting, name string) error {
	if c.cats == nil {
		return nil
	}
	top := make([]float64, len(c.cats))
	look := func(f int, v float32) error {
		if !c.cats[f] || v != v {
			return nil
		}
		if !(v >= 0 && v < missingShort-1) {
			return algo.ClientErrorf("%s channel: feature %d holds categories, and %v is none: they are whole numbers from 0 to %d",
				name, f, v, missingShort-2)
		}
		top[f] = max(top[f], math.Floor(float64(v)))
		return nil
	}
	for i, v := range m.Values {
		f := i % max(m.Cols, 1)
		if m.Sparse() {
			f = int(m.Index[i])
		}
		if err := look(f, v); err != nil {
			return err
		}
	}
	if err := peers.MaxFloats(ctx, top); err != nil {
		return err
	}
	for f, is := range c.cats {
		if is {
			// The bound of a bin is above what it holds.
			bounds := make([]float32, int(top[f])+1)
			for i := range bounds {
				bounds[i] = float32(i + 1)
			}
			bins.bounds[f] = bounds
		}
	}
	return nil
}

// featureTypes is what the model file says of the features, nil without
// categories.
func (c *config) featureTypes(features int) []string {
	if c.cats == nil {
		return nil
	}
	types := make([]string, features)
	for f := range types {
		if types[f] = "float"; f < len(c.cats) && c.cats[f] {
			types[f] = "c"
		}
	}
	return types
}
