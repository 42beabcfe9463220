// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

var (
	_ algo.Formatter  = (*Model)(nil)
	_ algo.RowChecker = (*Model)(nil)
)

// Accepts is the media types of answers; the default is CSV, unlike that of
// the other built-in algorithms.
func (m *Model) Accepts() []string {
	return []string{"text/csv", "application/json", "application/jsonlines", recordType}
}

// CheckRows refuses dense rows that do not have exactly the model's features,
// and sparse rows that have one beyond them: the trees would read them wrong
// without a word. To a model from a pickle dense rows may lack the last feature.
func (m *Model) CheckRows(format string, rows *algo.Matrix) error {
	// A pickle's model may have counted the label among the features, as the
	// containers of its time did.
	if m.pickled && !rows.Sparse() && rows.Cols == m.NumFeatures()-1 {
		return nil
	}
	return checkFeatures(format, rows, m.NumFeatures())
}

func checkFeatures(format string, rows *algo.Matrix, features int) error {
	switch {
	case rows.Sparse() && rows.Cols > features:
		return algo.ClientErrorf("Feature size of %s inference data %d is larger than feature size of trained model %d.",
			format, rows.Cols, features)
	case !rows.Sparse() && rows.Cols != features:
		return algo.ClientErrorf("Feature size of %s inference data %d is not consistent with feature size of trained model %d.",
			format, rows.Cols, features)
	}
	return nil
}

// Format writes predictions as the XGBoost container does: the bare scores, or
// what SAGEMAKER_INFERENCE_OUTPUT selects of each.
func (m *Model) Format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	if len(how.Output) == 0 && how.Accept == recordType {
		return scoreRecords(dst, p), nil
	}
	if len(how.Output) == 0 {
		return algo.AppendScores(dst, how, p)
	}
	return newSelection(m.Objective(), m.NumClass(), how.Output).format(dst, how, p)
}

// value is one selected item of one row: a number, a whole number, or a list.
type value struct {
	list   []float64
	number float64
	whole  bool // number, or the items of list, print without a point
	isList bool
}

// selection is what SAGEMAKER_INFERENCE_OUTPUT asks for.
type selection struct {
	objective string
	classes   int
	keys      []string // as selected
	order     []string // of members in JSON: the container's own, then invalid ones
	valid     []string
}

// outputKeys is the order in which the container fills a prediction.
var outputKeys = []string{
	"predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores", "predicted_score",
}

// validKeys is the keys that the objective knows, nil when it has none.
func validKeys(objective string) []string {
	switch objective {
	case "binary:logistic", "multi:softprob":
		return outputKeys[:6]
	case "binary:logitraw", "binary:hinge", "multi:softmax":
		return []string{"predicted_label", "labels", "raw_score", "raw_scores"}
	}
	if strings.HasPrefix(objective, "reg:") || objective == "count:poisson" {
		return outputKeys[6:]
	}
	return nil
}

func newSelection(objective string, classes int, keys []string) selection {
	s := selection{objective: objective, classes: classes, keys: keys, valid: validKeys(objective)}
	for _, key := range outputKeys {
		if slices.Contains(keys, key) && slices.Contains(s.valid, key) {
			s.order = append(s.order, key)
		}
	}
	for _, key := range keys {
		if !slices.Contains(s.order, key) {
			s.order = append(s.order, key)
		}
	}
	return s
}

// format appends the selected content of all rows.
func (s selection) format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	if s.valid == nil {
		return dst, fmt.Errorf("objective `%s` unsupported for selectable inference predictions", s.objective)
	}
	width := max(1, p.Width)
	rows := len(p.Values) / width
	row := func(i int) []float32 { return p.Values[i*width : (i+1)*width] }
	switch how.Accept {
	case "text/csv":
		dst = algo.AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
			for i := from; i < to; i++ {
				if i > 0 {
					dst = append(dst, '\n')
				}
				dst = s.csvRow(dst, row(i))
			}
			return dst
		})
		if how.Batch {
			dst = append(dst, '\n')
		}
	case "application/json":
		dst = append(dst, `{"predictions": [`...)
		dst = algo.AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
			for i := from; i < to; i++ {
				if i > 0 {
					dst = append(dst, ", "...)
				}
				dst = s.jsonRow(dst, row(i))
			}
			return dst
		})
		dst = append(dst, "]}"...)
	case "application/jsonlines":
		dst = algo.AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
			for i := from; i < to; i++ {
				dst = append(s.jsonRow(dst, row(i)), '\n')
			}
			return dst
		})
	case recordType:
		dst = algo.AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
			for i := from; i < to; i++ {
				dst = s.record(dst, row(i))
			}
			return dst
		})
	default:
		return dst, fmt.Errorf("cannot encode selected predictions into accept type %q", how.Accept)
	}
	return dst, nil
}

// csvRow keeps the order of the environment and quotes lists.
func (s selection) csvRow(dst []byte, row []float32) []byte {
	for i, key := range s.keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := s.value(key, row)
		if v.isList {
			dst = append(dst, '"')
		}
		dst = v.append(dst, algo.AppendNumber64)
		if v.isList {
			dst = append(dst, '"')
		}
	}
	return dst
}

func (s selection) jsonRow(dst []byte, row []float32) []byte {
	dst = append(dst, '{')
	for i, key := range s.order {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(strconv.AppendQuote(dst, key), ": "...)
		dst = s.value(key, row).append(dst, algo.AppendJSONNumber64)
	}
	return append(dst, '}')
}

// append writes v with number for what is not whole.
func (v value) append(dst []byte, number func([]byte, float64) []byte) []byte {
	one := func(x float64) {
		if v.whole {
			dst = strconv.AppendInt(dst, int64(x), 10)
		} else {
			dst = number(dst, x)
		}
	}
	if !v.isList {
		one(v.number)
		return dst
	}
	dst = append(dst, '[')
	for i, x := range v.list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		one(x)
	}
	return append(dst, ']')
}

// value is the content of key for one row of the prediction. A key that the
// objective does not know is NaN.
func (s selection) value(key string, row []float32) value {
	if !slices.Contains(s.valid, key) {
		return value{number: math.NaN()}
	}
	best := argmax(row)
	first := float64(row[0])
	switch key {
	case "predicted_label":
		return s.label(first, best)
	case "labels":
		n := 2
		if strings.HasPrefix(s.objective, "multi:") {
			n = s.classes
		}
		list := make([]float64, n)
		for i := range list {
			list[i] = float64(i)
		}
		return value{list: list, isList: true, whole: true}
	case "probability", "raw_score":
		return value{number: float64(row[best])} // of the winning class; binary rows have one number
	case "probabilities", "raw_scores":
		if len(row) == 1 {
			return value{list: []float64{1 - first, first}, isList: true}
		}
		list := make([]float64, len(row))
		for i, v := range row {
			list[i] = float64(v)
		}
		return value{list: list, isList: true}
	}
	return value{number: first} // predicted_score
}

// label is predicted_label. The container prints the label of hinge and
// softmax, which predict it themselves, as the float that it is.
func (s selection) label(first float64, best int) value {
	switch s.objective {
	case "binary:hinge", "multi:softmax":
		return value{number: first}
	case "multi:softprob":
		return value{number: float64(best), whole: true}
	}
	threshold := 0.0 // of binary:logitraw
	if s.objective == "binary:logistic" {
		threshold = 0.5
	}
	if first > threshold {
		return value{number: 1, whole: true}
	}
	return value{number: 0, whole: true}
}

// argmax is the index of the first greatest value.
func argmax(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
