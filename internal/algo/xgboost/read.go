// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// ReadModel reads a model file of XGBoost 1.0 to 3.x, JSON or UBJSON, told by
// its content. Errors are client errors: what the file lacks, or what it has
// that is not built (dart, gblinear, categories, vector leaves, the binary
// format and pickles of old releases).
func ReadModel(b []byte) (*Model, error) {
	var document any
	var err error
	switch head := bytes.TrimLeft(b, " \t\r\n"); {
	case len(head) < 2:
		return nil, algo.ClientErrorf("model file is empty")
	case head[0] == 0x80:
		return nil, algo.ClientErrorf("model file is a Python pickle; write it with Booster.save_model instead")
	case head[0] != '{':
		return nil, algo.ClientErrorf("model file is neither JSON nor UBJSON; " +
			"the binary format of old releases is read by XGBoost up to 3.0, whose Booster.save_model converts it")
	case strings.IndexByte("\" \t\r\n}", head[1]) >= 0:
		document, err = readJSON(head)
	default:
		document, err = readUBJ(head)
	}
	if err != nil {
		return nil, err
	}
	m, err := decodeModel(document)
	if err != nil {
		return nil, err
	}
	if err := m.prepare(); err != nil {
		return nil, err
	}
	return m, nil
}

func decodeModel(document any) (*Model, error) {
	var err error
	learner := cursor{document, "model", &err}.get("learner")
	if learner.has("learner") { // Booster.save_raw with its configuration, as pickles hold
		learner = learner.get("learner")
	}
	m := &Model{attributes: map[string]string{}, parallel: 1}
	if learner.has("attributes") {
		m.attributes = learner.get("attributes").strings()
	}
	if learner.has("feature_names") {
		m.names = learner.get("feature_names").names()
	}
	if learner.has("feature_types") {
		m.types = learner.get("feature_types").names()
	}
	m.decodeObjective(learner.get("objective"))
	m.decodeShape(learner.get("learner_model_param").strings(), &err)
	booster := learner.get("gradient_booster")
	if name := booster.get("name").text(); err == nil && name != "gbtree" {
		return nil, algo.ClientErrorf("model file: booster %s is not built yet in Sagebrush", name)
	}
	if err == nil {
		m.decodeTrees(booster.get("model"))
	}
	if err == nil && transformOf(m.objective) == unknownTransform {
		return nil, algo.ClientErrorf("model file: objective %q is not known", m.objective)
	}
	return m, err
}

func (m *Model) decodeObjective(c cursor) {
	m.objective = c.get("name").text()
	if m.objective == "reg:linear" {
		m.objective = "reg:squarederror"
	}
	object, _ := c.at.(map[string]any)
	for key := range object {
		if strings.HasSuffix(key, "_param") && (m.group == "" || key < m.group) {
			m.group, m.params = key, c.get(key).strings()
		}
	}
}

// decodeShape reads the numbers that the format keeps as strings.
func (m *Model) decodeShape(p map[string]string, err *error) {
	number := func(name string, most int) int {
		n, bad := strconv.Atoi(p[name])
		if p[name] == "" {
			return 0
		}
		if (bad != nil || n < 0 || n > most) && *err == nil {
			*err = algo.ClientErrorf("model file: %s is %q", name, p[name])
		}
		return n
	}
	m.features = number("num_feature", math.MaxInt32)
	m.width = max(1, number("num_class", 1<<20))
	if number("num_target", math.MaxInt32) > 1 && *err == nil {
		*err = algo.ClientErrorf("model file: more than one target is not built yet in Sagebrush")
	}
	// A number up to 3.0, a list of them since.
	base := strings.Trim(p["base_score"], "[]")
	for part := range strings.SplitSeq(base, ",") {
		v, bad := strconv.ParseFloat(strings.TrimSpace(part), 32)
		if bad != nil && *err == nil {
			*err = algo.ClientErrorf("model file: base_score is %q", p["base_score"])
		}
		m.base = append(m.base, float32(v))
	}
}

func (m *Model) decodeTrees(c cursor) {
	if n, err := strconv.Atoi(c.get("gbtree_model_param").strings()["num_parallel_tree"]); err == nil && n > 0 {
		m.parallel = n
	}
	trees := c.get("trees").list()
	m.class = c.get("tree_info").ints(len(trees))
	for _, t := range trees {
		m.trees = append(m.trees, decodeTree(t))
	}
	if c.has("iteration_indptr") {
		last := 0
		for _, v := range c.get("iteration_indptr").ints(-1) {
			if int(v) < last || int(v) > len(trees) {
				c.fail("iteration_indptr does not rise from 0 to %d", len(trees))
				return
			}
			last = int(v)
			m.bounds = append(m.bounds, last)
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
	for at := 0; at < len(trees); at += m.width * m.parallel {
		m.bounds = append(m.bounds, at)
	}
	m.bounds = append(m.bounds, len(trees))
}

func decodeTree(c cursor) tree {
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
	t.gain, t.hess, t.base = optional("loss_changes"), optional("sum_hessian"), optional("base_weights")
	if c.has("split_type") {
		for _, v := range c.get("split_type").numbers(-1) {
			if v != 0 {
				c.fail("splits on categories are not built yet in Sagebrush")
			}
		}
	}
	if size := c.get("tree_param").strings()["size_leaf_vector"]; size != "" && size != "0" && size != "1" {
		c.fail("leaves of %s values are not built yet in Sagebrush", size)
	}
	return t
}
