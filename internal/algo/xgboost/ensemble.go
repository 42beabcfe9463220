// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Ensemble is several models that predict together, such as those of the folds
// of a cross validation: their mean, or the label that most of them give for
// objectives that predict labels.
type Ensemble struct{ models []*Model }

var (
	_ algo.Model      = (*Ensemble)(nil)
	_ algo.Formatter  = (*Ensemble)(nil)
	_ algo.RowChecker = (*Ensemble)(nil)
	_ algo.Compacter  = (*Ensemble)(nil)
	_ algo.Sizer      = (*Ensemble)(nil)
)

// together makes one of models, which must predict the same kind of thing.
func together(models []*Model) (*Ensemble, error) {
	first := models[0]
	for _, m := range models[1:] {
		if m.objective != first.objective || m.width != first.width || m.features != first.features {
			return nil, algo.ClientErrorf("the models of the folder do not go together: one is of %s with %d features and %d outputs, "+
				"another of %s with %d and %d", first.objective, first.features, first.width, m.objective, m.features, m.width)
		}
	}
	return &Ensemble{models}, nil
}

// Save writes the models into dir as FileName-0, FileName-1 and so on.
func (e *Ensemble) Save(dir string) error {
	for i, m := range e.models {
		if err := m.save(dir, fmt.Sprintf("%s-%d", FileName, i)); err != nil {
			return err
		}
	}
	return nil
}

// Predict gives the models' mean or vote.
func (e *Ensemble) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	all := make([][]float32, len(e.models))
	var width int
	for i, m := range e.models {
		p, err := m.Predict(ctx, rows)
		if err != nil {
			return algo.Prediction{}, err
		}
		all[i], width = p.Values, p.Width
	}
	if t := transformOf(e.models[0].objective); t == toClass || t == toSide {
		return algo.Prediction{Values: vote(all), Width: width}, nil
	}
	sum := all[0]
	for _, values := range all[1:] {
		for i, v := range values {
			sum[i] += v
		}
	}
	for i := range sum {
		sum[i] /= float32(len(all))
	}
	return algo.Prediction{Values: sum, Width: width}, nil
}

// vote gives, place by place, the value that most have; the smallest among equals.
func vote(all [][]float32) []float32 {
	out := make([]float32, len(all[0]))
	for i := range out {
		most := 0
		for _, a := range all {
			n := 0
			for _, b := range all {
				if b[i] == a[i] {
					n++
				}
			}
			if n > most || n == most && a[i] < out[i] {
				most, out[i] = n, a[i]
			}
		}
	}
	return out
}

// Accepts is the media types of answers.
func (e *Ensemble) Accepts() []string { return e.models[0].Accepts() }

// Format writes predictions as one model does.
func (e *Ensemble) Format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	return e.models[0].Format(dst, how, p)
}

// CheckRows refuses what one model would.
func (e *Ensemble) CheckRows(format string, rows *algo.Matrix) error {
	return e.models[0].CheckRows(format, rows)
}

// Compact gives the ensemble without what only saving needs.
func (e *Ensemble) Compact() algo.Model {
	c := &Ensemble{make([]*Model, len(e.models))}
	for i, m := range e.models {
		c.models[i] = m.Compact().(*Model)
	}
	return c
}

// MemoryBytes is about what the models take on the heap.
func (e *Ensemble) MemoryBytes() int64 {
	var sum int64
	for _, m := range e.models {
		sum += m.MemoryBytes()
	}
	return sum
}
