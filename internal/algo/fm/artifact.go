// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/mxnet"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// The files of the artifact and the arrays in it.
const (
	metaFile   = "meta.json"
	symbolFile = "symbol.json"
	paramsFile = "params"
	biasName   = "w0_weight"
	linearName = "w1_weight"
	pairsName  = "v"
)

// meta is what MXNet's files do not tell. Its names are ours: AWS does not
// publish those of its container.
type meta struct {
	PredictorType string `json:"predictor_type,omitempty"`
	FeatureDim    int    `json:"feature_dim,omitempty"`
	NumFactors    int    `json:"num_factors,omitempty"`
}

func (m *Model) predictorType() string {
	if m.binary {
		return "binary_classifier"
	}
	return "regressor"
}

// Save writes model_algo-1, which Python's zipfile and MXNet read.
func (m *Model) Save(dir string) error {
	about, err := json.Marshal(meta{m.predictorType(), len(m.linear), m.factors})
	if err != nil {
		return err
	}
	params := ndarray.Append(nil,
		ndarray.Array{Name: "arg:" + biasName, Shape: []int{1}, Values: []float32{m.bias}},
		ndarray.Array{Name: "arg:" + linearName, Shape: []int{len(m.linear), 1}, Values: m.linear},
		ndarray.Array{Name: "arg:" + pairsName, Shape: []int{len(m.linear), m.factors}, Values: m.pairs})
	return mxnet.Save(dir, mxnet.File{Name: metaFile, Content: about}, mxnet.File{Name: symbolFile, Content: m.symbol()},
		mxnet.File{Name: paramsFile, Content: params})
}

// symbol is the network; its result is called out, and its labels out_label.
func (m *Model) symbol() []byte {
	end := "LinearRegressionOutput"
	if m.binary {
		end = "LogisticRegressionOutput"
	}
	argument := func(name, shape string) mxnet.Node { // dot does not infer it
		return mxnet.Node{Name: name, Attrs: map[string]string{"__shape__": shape}}
	}
	return mxnet.Symbol(
		mxnet.Node{Name: "data"}, argument(biasName, "(1,)"), argument(linearName, fmt.Sprintf("(%d, 1)", len(m.linear))),
		argument(pairsName, fmt.Sprintf("(%d, %d)", len(m.linear), m.factors)), mxnet.Node{Name: "out_label"},
		mxnet.Node{Op: "dot", Name: "linear", Inputs: []string{"data", linearName}},
		mxnet.Node{Op: "broadcast_add", Name: "linear_bias", Inputs: []string{"linear", biasName}},
		mxnet.Node{Op: "dot", Name: "sums", Inputs: []string{"data", pairsName}},
		mxnet.Node{Op: "square", Name: "sums_squared", Inputs: []string{"sums"}},
		mxnet.Node{Op: "square", Name: "data_squared", Inputs: []string{"data"}},
		mxnet.Node{Op: "square", Name: "v_squared", Inputs: []string{pairsName}},
		mxnet.Node{Op: "dot", Name: "squares", Inputs: []string{"data_squared", "v_squared"}},
		mxnet.Node{Op: "elemwise_sub", Name: "differences", Inputs: []string{"sums_squared", "squares"}},
		mxnet.Node{Op: "sum", Name: "twice_pairs", Attrs: map[string]string{"axis": "1", "keepdims": "1"}, Inputs: []string{"differences"}},
		mxnet.Node{Op: "_mul_scalar", Name: "pairs", Attrs: map[string]string{"scalar": "0.5"}, Inputs: []string{"twice_pairs"}},
		mxnet.Node{Op: "elemwise_add", Name: "score", Inputs: []string{"linear_bias", "pairs"}},
		mxnet.Node{Op: end, Name: "out", Inputs: []string{"score", "out_label"}},
	)
}

// Load reads model_algo-1, as Save or the container wrote it. Without the file
// that tells it, what the model is follows from the network.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	files, err := mxnet.Load(artifacts)
	if err != nil {
		return nil, err
	}
	m, err := modelOf(files)
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", mxnet.FileName, err)
	}
	return m, nil
}

// modelOf makes a model of the files of a zip.
func modelOf(files []mxnet.File) (*Model, error) {
	var about meta
	symbol, arrays, err := mxnet.Parts(files, metaFile, &about)
	if err != nil {
		return nil, err
	}
	return assemble(about, symbol, arrays)
}

// assemble makes a model of what the zip holds. A missing bias or linear part is
// one that was not learned.
func assemble(about meta, symbol string, arrays map[string]ndarray.Array) (*Model, error) {
	get := func(name string) ndarray.Array {
		if a, ok := arrays["arg:"+name]; ok {
			return a
		}
		return arrays[name]
	}
	v := get(pairsName)
	if len(v.Shape) != 2 || slices.Min(v.Shape) < 1 {
		return nil, fmt.Errorf("the array %s is missing, or its shape %v is not features by factors", pairsName, v.Shape)
	}
	m := &Model{factors: v.Shape[1], pairs: v.Values, linear: make([]float32, v.Shape[0])}
	if w := get(linearName); len(w.Values) > 0 {
		if len(w.Values) != len(m.linear) {
			return nil, fmt.Errorf("the array %s has %d values for %d features", linearName, len(w.Values), len(m.linear))
		}
		m.linear = w.Values
	}
	if b := get(biasName); len(b.Values) > 0 {
		m.bias = b.Values[0]
	}
	switch about.PredictorType {
	case "binary_classifier":
		m.binary = true
	case "":
		m.binary = strings.Contains(symbol, "Logistic") || strings.Contains(symbol, "sigmoid")
	case "regressor":
	default:
		return nil, fmt.Errorf("%s: predictor_type %q is none", metaFile, about.PredictorType)
	}
	m.prepare()
	return m, nil
}
