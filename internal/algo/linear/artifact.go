// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/mxnet"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// The files of the artifact and the arrays in it.
const (
	manifestFile = "manifest.json"
	moreFile     = "additional-params.json"
	symbolFile   = "mx-mod-symbol.json"
	paramsFile   = "mx-mod-0000.params"
	weightName   = "fc0_weight"
	biasName     = "fc0_bias"
)

// manifest names the files of the zip.
type manifest struct {
	Version int      `json:"version"`
	Files   []string `json:"files"`
}

// more is what MXNet's files do not tell. Its names are ours: AWS does not
// publish those of its containers.
type more struct {
	PredictorType string   `json:"predictor_type,omitempty"`
	Loss          string   `json:"loss,omitempty"`
	Threshold     *float64 `json:"threshold,omitempty"`
}

// Save writes model_algo-1, which Python's zipfile and MXNet read.
func (m *Model) Save(dir string) error {
	about := more{PredictorType: m.kind.String(), Loss: m.loss}
	if m.kind == binary {
		about.Threshold = &m.threshold
	}
	head, err := json.Marshal(manifest{1, []string{moreFile, symbolFile, paramsFile}})
	if err != nil {
		return err
	}
	rest, err := json.Marshal(about)
	if err != nil {
		return err
	}
	params := ndarray.Append(nil,
		ndarray.Array{Name: "arg:" + weightName, Shape: []int{m.classes, m.features}, Values: m.weights},
		ndarray.Array{Name: "arg:" + biasName, Shape: []int{m.classes}, Values: m.bias})
	return mxnet.Save(dir, mxnet.File{Name: manifestFile, Content: head}, mxnet.File{Name: moreFile, Content: rest},
		mxnet.File{Name: symbolFile, Content: m.symbol()}, mxnet.File{Name: paramsFile, Content: params})
}

// symbol is the network: a fully connected layer, then what makes scores of it.
func (m *Model) symbol() []byte {
	nodes := []mxnet.Node{
		{Name: "data"}, {Name: weightName}, {Name: biasName},
		{Op: "FullyConnected", Name: "fc0", Attrs: map[string]string{"num_hidden": strconv.Itoa(m.classes)}, Inputs: []string{"data", weightName, biasName}},
	}
	switch {
	case m.kind == multiclass:
		nodes = append(nodes, mxnet.Node{Op: "softmax", Name: "score", Attrs: map[string]string{"axis": "1"}, Inputs: []string{"fc0"}})
	case m.loss == "logistic":
		nodes = append(nodes, mxnet.Node{Op: "sigmoid", Name: "score", Inputs: []string{"fc0"}})
	}
	return mxnet.Symbol(nodes...)
}

// Load reads model_algo-1, as Save or the container wrote it. Without the files
// that tell it, what the model is follows from the network, and the threshold is
// 0.5, or 0 where scores are no probabilities.
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
	var about more
	symbol, arrays, err := mxnet.Parts(files, moreFile, &about)
	if err != nil {
		return nil, err
	}
	return assemble(about, symbol, arrays)
}

// assemble makes a model of what the zip holds.
func assemble(about more, symbol string, arrays map[string]ndarray.Array) (*Model, error) {
	weights, ok := arrays["arg:"+weightName]
	if !ok {
		return nil, fmt.Errorf("holds no array %s", weightName)
	}
	if len(weights.Shape) != 2 || weights.Shape[0] < 1 || weights.Shape[1] < 1 {
		return nil, fmt.Errorf("%s has the shape %v, not outputs by features", weightName, weights.Shape)
	}
	m := &Model{classes: weights.Shape[0], features: weights.Shape[1], weights: weights.Values, loss: about.Loss}
	m.bias = make([]float32, m.classes)
	if bias, ok := arrays["arg:"+biasName]; ok {
		if len(bias.Values) != m.classes {
			return nil, fmt.Errorf("%s has %d values for %d outputs", biasName, len(bias.Values), m.classes)
		}
		m.bias = bias.Values
	}
	kind, known := kinds[about.PredictorType]
	switch {
	case known:
		m.kind = kind
	case m.classes > 1:
		m.kind = multiclass
	case strings.Contains(symbol, "sigmoid") || strings.Contains(symbol, "Logistic"):
		m.kind = binary
	default:
		m.kind = regressor
	}
	if (m.kind == multiclass) != (m.classes > 1) {
		return nil, fmt.Errorf("is a %s of %d outputs", m.kind, m.classes)
	}
	if m.loss == "" {
		m.loss = lossesOf[m.kind][0]
	}
	switch {
	case m.kind != binary:
	case about.Threshold != nil && !math.IsNaN(*about.Threshold):
		m.threshold = *about.Threshold
	case m.loss == "logistic":
		m.threshold = 0.5
	}
	m.prepare()
	return m, nil
}
