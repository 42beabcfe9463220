// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// ReadModel reads a model file of XGBoost 0.90 to 3.x, told by its content: JSON,
// UBJSON, the binary format of old releases, or a pickled Booster, of which
// nothing is run. Errors are client errors: what the file lacks, or what it has
// that is not built.
func ReadModel(b []byte) (*Model, error) {
	m, err := readModel(b)
	if err != nil {
		// The binary format has no head: its first bytes are a number, and may
		// look like those of the others.
		document, other := readBinary(b)
		if other != nil {
			return nil, err
		}
		if m, err = decodeModel(document); err != nil {
			return nil, err
		}
	}
	if err := m.prepare(); err != nil {
		return nil, err
	}
	return m, nil
}

// configOffset heads what Booster.__getstate__ of 1.0 to 1.2 gives: a model and,
// behind it, at the offset that follows the head, its configuration.
const configOffset = "CONFIG-offset:"

func readModel(b []byte) (*Model, error) {
	var document any
	var err error
	pickled := false
	if len(b) > 1 && (b[0] == 0x80 || isTextPickle(b)) {
		pickled = true
		if b, err = readPickle(b); err != nil {
			return nil, err
		}
	}
	if rest, ok := cutHead(b, configOffset); ok && len(rest) > 8 {
		b = rest[8:] // the configuration behind the model is passed over
	}
	switch head := bytes.TrimLeft(b, " \t\r\n"); {
	case len(head) < 2:
		return nil, algo.ClientErrorf("model file is empty")
	case head[0] != '{':
		document, err = readBinary(b)
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
	m.pickled = pickled
	return m, nil
}

// isTextPickle tells a pickle of protocol 0 or 1 of an object that copyreg makes.
func isTextPickle(b []byte) bool {
	return bytes.HasPrefix(b, []byte("ccopy_reg\n")) || bytes.HasPrefix(b, []byte("ccopyreg\n"))
}

func decodeModel(document any) (*Model, error) {
	var err error
	root := cursor{document, "model", &err}
	if root.has("Model") { // what pickles hold, beside its configuration
		root = root.get("Model")
	}
	learner := root.get("learner")
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
	if err == nil {
		m.decodeBooster(learner.get("gradient_booster"))
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
	m.targets = max(1, number("num_target", 1<<20))
	m.width = max(m.targets, number("num_class", 1<<20))
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
