// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"maps"
	"math"
	"slices"
	"strconv"
)

// writeBooster writes the model's gradient_booster.
func (m *Model) writeBooster(w sink) {
	switch m.booster {
	case linearBooster:
		m.writeLinear(w)
	case dartBooster:
		m.writeDart(w)
	default:
		m.writeForest(w)
	}
}

// writeForest writes the booster gbtree.
func (m *Model) writeForest(w sink) {
	w.open()
	w.key("model")
	m.writeTrees(w)
	w.key("name")
	w.text("gbtree")
	w.close()
}

func (m *Model) writeTrees(w sink) {
	w.open()
	w.key("cats")
	m.writeEncoding(w)
	w.key("gbtree_model_param")
	texts(w, map[string]string{"num_parallel_tree": strconv.Itoa(m.parallel), "num_trees": strconv.Itoa(len(m.trees))})
	w.key("iteration_indptr")
	w.list(len(m.bounds))
	for _, v := range m.bounds {
		w.integer(v)
	}
	w.end()
	w.key("tree_info")
	w.list(len(m.class))
	for _, v := range m.class {
		w.integer(int(v))
	}
	w.end()
	w.key("trees")
	w.list(len(m.trees))
	for i := range m.trees {
		m.trees[i].write(w, i, m.features)
	}
	w.end()
	w.close()
}

// writeEncoding writes what the categories of data frames are called.
func (m *Model) writeEncoding(w sink) {
	if m.encoding != nil {
		writePlain(w, m.encoding)
		return
	}
	w.open()
	w.key("enc")
	w.list(0)
	w.end()
	w.key("feature_segments")
	w.ints(nil)
	w.key("sorted_idx")
	w.ints(nil)
	w.close()
}

// writePlain writes a document of objects, lists, strings and whole numbers.
// Other values are left out of objects.
func writePlain(w sink, v any) {
	switch v := v.(type) {
	case map[string]any:
		w.open()
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, flag := v[key].(bool); !flag {
				w.key(key)
				writePlain(w, v[key])
			}
		}
		w.close()
	case []any:
		w.list(len(v))
		for _, piece := range v {
			writePlain(w, piece)
		}
		w.end()
	case packed:
		writePlain(w, v.float64s())
	case []float64:
		w.list(len(v))
		for _, n := range v {
			w.integer(int(n))
		}
		w.end()
	case string:
		w.text(v)
	case float64:
		w.integer(int(v))
	default:
		w.integer(0)
	}
}

func (t *tree) write(w sink, id, features int) {
	n := len(t.left)
	parents := slices.Clone(t.parent)
	parents[0] = noParent
	missing := make([]uint8, n)
	for i, left := range t.missingLeft {
		if left {
			missing[i] = 1
		}
	}
	deleted := 0 // by pruning; such nodes are kept and marked
	for _, f := range t.feature {
		if f == math.MaxInt32 {
			deleted++
		}
	}
	kinds := make([]uint8, n)
	var chosen, owners, begins, sizes []int32
	for _, at := range slices.Sorted(maps.Keys(t.cats)) {
		list := t.cats[at].list()
		kinds[at] = 1
		owners, begins, sizes = append(owners, at), append(begins, int32(len(chosen))), append(sizes, int32(len(list)))
		chosen = append(chosen, list...)
	}
	w.open()
	w.key("base_weights")
	w.floats(t.base)
	w.key("categories")
	w.ints(chosen)
	w.key("categories_nodes")
	w.ints(owners)
	w.key("categories_segments")
	w.longs(begins)
	w.key("categories_sizes")
	w.longs(sizes)
	w.key("default_left")
	w.bytes(missing)
	w.key("id")
	w.integer(id)
	w.key("left_children")
	w.ints(t.left)
	w.key("loss_changes")
	w.floats(t.gain)
	w.key("parents")
	w.ints(parents)
	w.key("right_children")
	w.ints(t.right)
	w.key("split_conditions")
	w.floats(t.value)
	w.key("split_indices")
	w.ints(t.feature)
	w.key("split_type")
	w.bytes(kinds)
	w.key("sum_hessian")
	w.floats(t.hess)
	w.key("tree_param")
	texts(w, map[string]string{
		"num_deleted": strconv.Itoa(deleted), "num_feature": strconv.Itoa(features),
		"num_nodes": strconv.Itoa(n), "size_leaf_vector": "1",
	})
	w.close()
}

// decodeBooster reads a model's gradient_booster.
func (m *Model) decodeBooster(c cursor) {
	switch name := c.get("name").text(); name {
	case "gbtree":
		m.decodeTrees(c.get("model"))
	case dartBooster:
		m.decodeDart(c)
	case linearBooster:
		m.decodeLinear(c)
	default:
		c.fail("booster %q is not known", name)
	}
}

func (m *Model) decodeTrees(c cursor) {
	if n, err := strconv.Atoi(c.get("gbtree_model_param").strings()["num_parallel_tree"]); err == nil && n > 0 {
		m.parallel = n
	}
	if c.has("cats") && len(c.get("cats").get("enc").list()) > 0 {
		m.encoding = c.get("cats").at
	}
	trees := c.get("trees").list()
	class := c.get("tree_info").ints(len(trees))
	after := make([]int, len(trees)+1) // how many trees are made of those up to here
	for i, t := range trees {
		if *c.err != nil {
			return
		}
		made := decodeTree(t, m.width)
		for k := range made {
			// The trees that stand for one of vectors are for the outputs in turn.
			m.class = append(m.class, class[i]+int32(k))
		}
		m.trees = append(m.trees, made...)
		after[i+1] = len(m.trees)
	}
	if c.has("iteration_indptr") {
		last := 0
		for _, v := range c.get("iteration_indptr").ints(-1) {
			if int(v) < last || int(v) > len(trees) {
				c.fail("iteration_indptr does not rise from 0 to %d", len(trees))
				return
			}
			last = int(v)
			m.bounds = append(m.bounds, after[last])
		}
		if len(m.bounds) > 0 {
			return
		}
	}
	// Before 1.7 each round held as many trees as classes times parallel ones.
	if m.parallel > len(trees)+1 {
		c.fail("num_parallel_tree is %d for %d trees", m.parallel, len(trees))
		return
	}
	for at := 0; at < len(m.trees); at += m.width * m.parallel {
		m.bounds = append(m.bounds, at)
	}
	m.bounds = append(m.bounds, len(m.trees))
}

// decodeTree reads a tree. One whose leaves are vectors of width values becomes
// as many trees of single ones, which say the same.
func decodeTree(c cursor, width int) []tree {
	var t tree
	t.left = c.get("left_children").ints(-1)
	n := len(t.left)
	t.right = c.get("right_children").ints(n)
	t.parent = c.get("parents").ints(n)
	t.feature = c.get("split_indices").ints(n)
	t.value = c.get("split_conditions").floats(n)
	t.missingLeft = make([]bool, n)
	for i, v := range c.get("default_left").numbers(n) {
		t.missingLeft[i] = v != 0
	}
	// What explains a tree; prediction needs none of it.
	optional := func(name string) []float32 {
		if c.has(name) {
			return c.get(name).floats(n)
		}
		return make([]float32, n)
	}
	t.gain, t.hess = optional("loss_changes"), optional("sum_hessian")
	t.decodeCategories(c)
	if size := c.get("tree_param").strings()["size_leaf_vector"]; size != "" && size != "0" && size != "1" {
		if size != strconv.Itoa(width) {
			c.fail("leaves have %s values where the model has %d outputs", size, width)
			return nil
		}
		return t.apart(c, width)
	}
	t.base = optional("base_weights")
	return []tree{t}
}

// apart makes width trees of one whose leaves are vectors. Since 3.1 these are
// in a list of their own, where the right child of a leaf says which is its;
// before, they were among the weights of all nodes.
func (t *tree) apart(c cursor, width int) []tree {
	n := len(t.left)
	base := c.get("base_weights").floats(n * width)
	leaves := base
	own := c.has("leaf_weights")
	if own {
		leaves = c.get("leaf_weights").floats(-1)
	}
	if *c.err != nil {
		return nil
	}
	out := make([]tree, width)
	for k := range out {
		one := *t
		one.right, one.value, one.base = slices.Clone(t.right), slices.Clone(t.value), make([]float32, n)
		one.hess = slices.Clone(t.hess)
		for i := range n {
			one.base[i] = base[i*width+k]
			one.hess[i] /= float32(width) // the sum over all outputs
			if t.left[i] != -1 {
				continue
			}
			at := i
			if own {
				at = int(t.right[i])
			}
			if at < 0 || (at+1)*width > len(leaves) {
				c.fail("leaf %d has no weights", i)
				return nil
			}
			one.right[i], one.value[i] = -1, leaves[at*width+k]
		}
		out[k] = one
	}
	return out
}

// decodeCategories reads the splits by category.
func (t *tree) decodeCategories(c cursor) {
	if !c.has("split_type") {
		return
	}
	kinds := c.get("split_type").numbers(-1)
	if !slices.ContainsFunc(kinds, func(v float64) bool { return v != 0 }) {
		return
	}
	owners := c.get("categories_nodes").ints(-1)
	begins, sizes := c.get("categories_segments").numbers(len(owners)), c.get("categories_sizes").numbers(len(owners))
	all := c.get("categories").ints(-1)
	if *c.err != nil {
		return
	}
	t.cats = make(map[int32]categories, len(owners))
	room := len(all) // each is of one node
	for i, at := range owners {
		lo, hi := begins[i], begins[i]+sizes[i]
		if at < 0 || int(at) >= len(t.left) || !(lo >= 0 && lo <= hi && hi <= float64(len(all))) || lo != math.Trunc(lo) || hi != math.Trunc(hi) {
			c.fail("the categories of node %d are not there", at)
			return
		}
		list := slices.Clone(all[int(lo):int(hi)])
		for _, category := range list {
			if category < 0 || category > mostCategory {
				c.fail("node %d splits by category %d", at, category)
				return
			}
		}
		if room -= len(list); room < 0 {
			c.fail("the categories of nodes overlap")
			return
		}
		t.cats[at] = categoriesOf(list)
	}
	for at, kind := range kinds {
		if _, ok := t.cats[int32(at)]; kind != 0 && !ok {
			c.fail("node %d splits by category, and has none", at)
			return
		}
	}
}
