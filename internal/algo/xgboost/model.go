// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Model is a boosted ensemble of trees, or of linear models. It does not change and is safe for
// concurrent use.
type Model struct {
	objective string
	group     string            // of the objective's settings in the model file, or ""
	params    map[string]string // those settings
	width     int               // margins per row: the number of classes, or 1
	features  int
	base      []float32 // intercept as in the model file, 1 or width values
	targets   int       // labels per row that the model was trained on; 0 and 1 are one

	booster string    // dartBooster, linearBooster, or "" for gbtree
	weights []float32 // of dart: by tree, what its leaves count
	linear  []float32 // of gblinear: by feature one per margin, then the bias
	rounds  int       // of gblinear: how many it has had

	trees      []tree
	class      []int32 // by tree, below width
	parallel   int     // trees per round and class
	bounds     []int   // first tree of each round, and len(trees)
	attributes map[string]string
	names      []string // of the features, or none
	types      []string
	encoding   any // what the categories of data frames are called, as in the file; nil for nothing

	// What prediction walks, made by prepare.
	forest  forest    // the trees that predict
	margins []float32 // intercept, width values
	compact bool      // the trees are gone, the forest is left
	pickled bool      // read from a pickle
}

var (
	_ algo.Model         = (*Model)(nil)
	_ algo.IntoPredictor = (*Model)(nil)
	_ algo.Compacter     = (*Model)(nil)
	_ algo.Sizer         = (*Model)(nil)
)

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
func (m *Model) NumRounds() int {
	if m.booster == linearBooster {
		return m.rounds
	}
	return len(m.bounds) - 1
}

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
	if m.booster == linearBooster && len(m.linear) != (m.features+1)*m.width {
		return algo.ClientErrorf("the model has %d weights for %d features and %d outputs", len(m.linear), m.features, m.width)
	}
	if m.booster == dartBooster && len(m.weights) != len(m.trees) {
		return algo.ClientErrorf("the model has %d trees and weights for %d", len(m.trees), len(m.weights))
	}
	if len(m.class) != len(m.trees) {
		return algo.ClientErrorf("the model has %d trees and classes for %d", len(m.trees), len(m.class))
	}
	m.margins = make([]float32, m.width)
	for k := range m.margins {
		m.margins[k] = m.baseMargin(k)
	}
	used := len(m.trees)
	if best, ok := m.BestIteration(); ok && best+1 < len(m.bounds) {
		used = m.bounds[best+1]
	}
	nodes := 0
	for i := range m.trees[:used] {
		nodes += len(m.trees[i].left)
	}
	m.forest = forest{width: m.width, nodes: make([]node, 0, nodes+lanes-1)}
	for i := range m.trees {
		if m.class[i] < 0 || int(m.class[i]) >= m.width {
			return algo.ClientErrorf("tree %d of the model is of class %d of %d", i, m.class[i], m.width)
		}
		if i >= used { // checked, but of no use to predictions
			if _, _, _, err := m.trees[i].flatten(nil, nil, m.features); err != nil {
				return err
			}
			continue
		}
		if err := m.forest.grow(&m.trees[i], m.class[i], m.features); err != nil {
			return err
		}
		if m.booster == dartBooster {
			m.forest.weigh(m.weights[i])
		}
	}
	m.forest.fill()
	return nil
}

// Compact gives m without its trees, of which a forest that predicts takes a
// fifth of the memory. Saving it is an error.
func (m *Model) Compact() algo.Model {
	c := *m
	c.trees, c.class, c.names, c.types, c.encoding, c.compact = nil, nil, nil, nil, nil, true
	return &c
}

// MemoryBytes is about what the model takes on the heap.
func (m *Model) MemoryBytes() int64 {
	const header, text, itself = 24, 16, 512 // of a slice, a string and a Model
	bytes := itself + 4*int64(cap(m.base)+cap(m.class)+cap(m.margins)) + 8*int64(cap(m.bounds)) + m.forest.bytes() +
		4*int64(cap(m.weights)+cap(m.linear))
	for i := range m.trees {
		t := &m.trees[i]
		bytes += 9*header + int64(cap(t.missingLeft)) + 4*int64(cap(t.left)+cap(t.right)+cap(t.parent)+cap(t.feature)+
			cap(t.value)+cap(t.gain)+cap(t.hess)+cap(t.base))
		for _, set := range t.cats {
			bytes += header + set.bytes()
		}
	}
	for _, list := range [2][]string{m.names, m.types} {
		for _, s := range list {
			bytes += text + int64(len(s))
		}
	}
	for _, pairs := range [2]map[string]string{m.params, m.attributes} {
		for k, v := range pairs {
			bytes += 4*text + int64(len(k)+len(v)) // a map is up to half empty
		}
	}
	return bytes
}

// errCompact is what writing a compact model gives.
var errCompact = errors.New("the model was made compact, to predict alone, and cannot be written")

// Save writes the model into dir as FileName in UBJSON, the form in which
// XGBoost 2.1 and later write and read a file without an extension.
func (m *Model) Save(dir string) error { return m.save(dir, FileName) }

func (m *Model) save(dir, name string) error {
	if m.compact {
		return fmt.Errorf("save model: %w", errCompact)
	}
	f, err := os.Create(filepath.Join(dir, name))
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
	if m.compact {
		return errCompact
	}
	out := bufio.NewWriter(w)
	m.write(&ubjWriter{w: out})
	return out.Flush()
}

// WriteJSON writes the model as XGBoost's save_model does to a .json file.
func (m *Model) WriteJSON(w io.Writer) error {
	if m.compact {
		return errCompact
	}
	out := bufio.NewWriter(w)
	m.write(&jsonWriter{w: out})
	return out.Flush()
}
