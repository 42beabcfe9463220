// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// The sizes of the structures of the binary format, little-endian throughout.
const (
	learnerBytes = 136
	forestBytes  = 160
	treeBytes    = 148
	nodeBytes    = 20
	statBytes    = 16
	linearBytes  = 136
)

// binaryReader reads the model format of XGBoost 0.x, which releases up to 3.0
// read and those up to 2.0 wrote, into a document of the form that JSON models
// have. It asks for no more memory than a fixed multiple of what the file holds.
type binaryReader struct {
	b  []byte
	at int
}

// readBinary reads one model, with or without the heads "binf" and "bs64" of
// the command line of 0.x. What may follow it is passed over: names of metrics,
// and the configuration that pickles hold.
func readBinary(b []byte) (document any, err error) {
	defer caught(&err)
	if text, ok := cutHead(b, "bs64"); ok {
		plain := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(plain, trimBlank(text))
		if err != nil {
			return nil, algo.ClientErrorf("model file: the base64 behind its head bs64 is broken")
		}
		b = plain[:n]
	} else if rest, ok := cutHead(b, "binf"); ok {
		b = rest
	}
	r := &binaryReader{b: b}
	return r.model(), nil
}

// cutHead takes head off b.
func cutHead(b []byte, head string) ([]byte, bool) {
	if len(b) < len(head) || string(b[:len(head)]) != head {
		return b, false
	}
	return b[len(head):], true
}

// trimBlank takes blanks off both ends.
func trimBlank(b []byte) []byte {
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func (r *binaryReader) fail(what string) {
	panic(formatError{algo.ClientErrorf("model file: byte %d: %s; it is neither JSON, UBJSON, a pickle nor the binary format of old releases", r.at, what)})
}

func (r *binaryReader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail("the file ends early")
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

// structure is a structure of 32-bit words.
type structure []byte

func (s structure) word(i int) uint32   { return binary.LittleEndian.Uint32(s[4*i:]) }
func (s structure) int(i int) int       { return int(int32(s.word(i))) }
func (s structure) float(i int) float64 { return float64(math.Float32frombits(s.word(i))) }

// length reads a 64-bit count of pieces of size bytes each.
func (r *binaryReader) length(size int) int {
	n := binary.LittleEndian.Uint64(r.take(8))
	if n > uint64((len(r.b)-r.at)/size) {
		r.fail("a length goes beyond the end of the file")
	}
	return int(n)
}

// count checks a 32-bit count of pieces of size bytes each.
func (r *binaryReader) count(n, size int) int {
	if n < 0 || n > (len(r.b)-r.at)/size {
		r.fail("a count goes beyond the end of the file")
	}
	return n
}

func (r *binaryReader) text() string { return string(r.take(r.length(1))) }

func (r *binaryReader) floats(n int) []float64 {
	s := structure(r.take(4 * n))
	values := make([]float64, n)
	for i := range values {
		values[i] = s.float(i)
	}
	return values
}

// model reads the whole.
func (r *binaryReader) model() any {
	head := structure(r.take(learnerBytes))
	features, classes := head.int(1), head.int(2)
	objective := r.text()
	if transformOf(objective) == unknownTransform {
		r.fail("the objective is not known")
	}
	booster := r.text()
	learner := map[string]any{
		"objective": map[string]any{"name": objective},
	}
	var forest map[string]any
	switch booster {
	case "gbtree":
		forest = r.forest()
		learner["gradient_booster"] = map[string]any{"name": "gbtree", "model": forest}
	case "dart":
		forest = r.forest()
		var weights []float64
		if len(forest["tree_info"].([]float64)) > 0 {
			weights = r.floats(r.length(4))
		}
		learner["gradient_booster"] = map[string]any{
			"name": "dart", "gbtree": map[string]any{"name": "gbtree", "model": forest}, "weight_drop": weights,
		}
	case "gblinear":
		param := structure(r.take(linearBytes))
		if features == 0 {
			features = param.int(0)
		}
		learner["gradient_booster"] = map[string]any{"name": "gblinear", "model": map[string]any{"weights": r.floats(r.length(4))}}
	default:
		r.fail("the booster is not known")
	}
	// Before 1.0 the intercept is a margin, and since what the user gives.
	base := float32(head.float(0))
	if major := head.word(5); major == 0 && classes < 2 {
		v := []float32{base}
		if how := transformOf(objective); how == toProbability || how == toMean {
			how.apply(v, 1)
		}
		base = v[0]
	}
	targets := 1
	if minor := head.word(6); head.word(5) >= 2 || head.word(5) == 1 && minor >= 6 {
		targets = head.int(7)
	}
	learner["learner_model_param"] = map[string]any{
		"base_score": strconv.FormatFloat(float64(base), 'g', -1, 32), "num_class": strconv.Itoa(classes),
		"num_feature": strconv.Itoa(features), "num_target": strconv.Itoa(targets),
	}
	if head.word(3) != 0 {
		attributes := map[string]any{}
		for range r.length(16) {
			key := r.text()
			attributes[key] = r.text()
		}
		learner["attributes"] = attributes
		if forest != nil {
			tellParallel(forest, attributes)
		}
	}
	return map[string]any{"learner": learner}
}

// tellParallel notes how many trees a round has side by side, which the format
// tells since 1.6 only, where training kept both the best round and the number of
// trees up to it.
func tellParallel(forest, attributes map[string]any) {
	param := forest["gbtree_model_param"].(map[string]any)
	rounds, _ := attributes["best_iteration"].(string)
	trees, _ := attributes["best_ntree_limit"].(string)
	best, err1 := strconv.Atoi(rounds)
	limit, err2 := strconv.Atoi(trees)
	if param["num_parallel_tree"] != "1" || err1 != nil || err2 != nil || best < 0 || limit < 1 || best > limit {
		return
	}
	if limit%(best+1) == 0 && limit <= len(forest["tree_info"].([]float64)) {
		param["num_parallel_tree"] = strconv.Itoa(limit / (best + 1))
	}
}

// forest reads what boosters of trees have in common.
func (r *binaryReader) forest() map[string]any {
	param := structure(r.take(forestBytes))
	n := r.count(param.int(0), treeBytes+nodeBytes+statBytes)
	parallel := max(1, param.int(1)) // before 1.6 the number of roots, which is 1
	trees := make([]any, n)
	for i := range trees {
		trees[i] = r.tree()
	}
	info := structure(r.take(4 * n))
	class := make([]float64, n)
	for i := range class {
		class[i] = float64(info.int(i))
	}
	return map[string]any{
		"gbtree_model_param": map[string]any{"num_parallel_tree": strconv.Itoa(min(parallel, max(n, 1)))},
		"tree_info":          class, "trees": list(trees),
	}
}

// list is an empty list in the form that documents have it.
func list(pieces []any) any {
	if len(pieces) == 0 {
		return []float64{}
	}
	return pieces
}

func (r *binaryReader) tree() any {
	param := structure(r.take(treeBytes))
	n := r.count(param.int(1), nodeBytes+statBytes)
	vector := param.int(5)
	if vector > 1 {
		r.fail("leaves are vectors")
	}
	var left, right, parent, feature, value, missing, gain, hess, base []float64
	for range n {
		node := structure(r.take(nodeBytes))
		left, right = append(left, float64(node.int(1))), append(right, float64(node.int(2)))
		up := float64(node.word(0) & math.MaxInt32)
		if node.int(0) == -1 {
			up = noParent
		}
		parent = append(parent, up)
		split := node.word(3)
		feature, missing = append(feature, float64(split&math.MaxInt32)), append(missing, float64(split>>31))
		if node.int(1) == -1 {
			feature[len(feature)-1] = 0
		}
		value = append(value, node.float(4))
	}
	for range n {
		stat := structure(r.take(statBytes))
		gain, hess, base = append(gain, stat.float(0)), append(hess, stat.float(1)), append(base, stat.float(2))
	}
	return map[string]any{
		"left_children": left, "right_children": right, "parents": parent, "split_indices": feature,
		"split_conditions": value, "default_left": missing, "loss_changes": gain, "sum_hessian": hess, "base_weights": base,
		"tree_param": map[string]any{},
	}
}
