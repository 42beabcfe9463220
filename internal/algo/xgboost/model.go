// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Model is a boosted ensemble of trees. It does not change and is safe for
// concurrent use.
type Model struct {
	objective string
	group     string            // of the objective's settings in the model file, or ""
	params    map[string]string // those settings
	width     int               // margins per row: the number of classes, or 1
	features  int
	base      []float32 // intercept as in the model file, 1 or width values

	trees      []tree
	class      []int32 // by tree, below width
	parallel   int     // trees per round and class
	bounds     []int   // first tree of each round, and len(trees)
	attributes map[string]string
	names      []string // of the features, or none
	types      []string

	// What prediction walks, made by prepare.
	nodes   []node
	roots   []int32   // of the trees that predict
	margins []float32 // intercept, width values
	touched int       // 1 + the largest feature that a tree splits
}

var _ algo.Model = (*Model)(nil)

// FileName is the name of the model artifact.
const FileName = "xgboost-model"

// Objective gives the objective's name, such as "binary:logistic".
func (m *Model) Objective() string { return m.objective }

// NumClass gives the number of classes of multi:* objectives and 0 for others,
// as XGBoost's num_class.
func (m *Model) NumClass() int {
	if t := transformOf(m.objective); t == toClass || t == toProbabilities {
		return m.width
	}
	return 0
}

// NumFeatures gives the number of features of the training data.
func (m *Model) NumFeatures() int { return m.features }

// NumRounds gives the number of boosting rounds that the model holds.
func (m *Model) NumRounds() int { return len(m.bounds) - 1 }

// BestIteration gives the round that was best on the validation data, counted
// from 0, when training kept track of it.
func (m *Model) BestIteration() (int, bool) {
	best, err := strconv.Atoi(m.attributes["best_iteration"])
	return best, err == nil && best >= 0
}

// prepare checks m and readies it for prediction. With a best iteration only
// the trees up to it predict, as in SageMaker's container.
func (m *Model) prepare() error {
	if m.features < 0 || m.width < 1 {
		return algo.ClientErrorf("the model has %d features and %d classes", m.features, m.width)
	}
	if len(m.base) != 1 && len(m.base) != m.width {
		return algo.ClientErrorf("the model has %d intercepts for %d classes", len(m.base), m.width)
	}
	if len(m.class) != len(m.trees) {
		return algo.ClientErrorf("the model has %d trees and classes for %d", len(m.trees), len(m.class))
	}
	m.margins = make([]float32, m.width)
	for k := range m.margins {
		m.margins[k] = marginOf(m.objective, m.base[min(k, len(m.base)-1)])
	}
	used := len(m.trees)
	if best, ok := m.BestIteration(); ok && best+1 < len(m.bounds) {
		used = m.bounds[best+1]
	}
	for i := range m.trees {
		if m.class[i] < 0 || int(m.class[i]) >= m.width {
			return algo.ClientErrorf("tree %d of the model is of class %d of %d", i, m.class[i], m.width)
		}
		from := len(m.nodes)
		nodes, err := m.trees[i].flatten(m.nodes, m.features)
		if err != nil {
			return err
		}
		if i >= used {
			continue // checked, but of no use to predictions
		}
		m.nodes, m.roots = nodes, append(m.roots, int32(from))
	}
	for _, n := range m.nodes {
		if n.left >= 0 {
			m.touched = max(m.touched, int(n.feature&^missingLeftBit)+1)
		}
	}
	return nil
}

// Save writes the model into dir as FileName in UBJSON, the form in which
// XGBoost 2.1 and later write and read a file without an extension.
func (m *Model) Save(dir string) error {
	f, err := os.Create(filepath.Join(dir, FileName))
	if err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	if err := m.WriteUBJ(f); err != nil {
		f.Close()
		return fmt.Errorf("save model: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}

// WriteUBJ writes the model as XGBoost's save_model does to a .ubj file.
func (m *Model) WriteUBJ(w io.Writer) error {
	out := bufio.NewWriter(w)
	m.write(&ubjWriter{w: out})
	return out.Flush()
}

// WriteJSON writes the model as XGBoost's save_model does to a .json file.
func (m *Model) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	m.write(&jsonWriter{w: out})
	return out.Flush()
}
