// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// FileName is the name of the model artifact: a zip of the files below.
const FileName = "model_algo-1"

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
	params := ndarray.Append(nil,
		ndarray.Array{Name: "arg:" + weightName, Shape: []int{m.classes, m.features}, Values: m.weights},
		ndarray.Array{Name: "arg:" + biasName, Shape: []int{m.classes}, Values: m.bias})
	head, err := json.Marshal(manifest{1, []string{moreFile, symbolFile, paramsFile}})
	if err != nil {
		return err
	}
	rest, err := json.Marshal(about)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range []struct {
		name string
		b    []byte
	}{{manifestFile, head}, {moreFile, rest}, {symbolFile, m.symbol()}, {paramsFile, params}} {
		// Without a time, so that the same model is the same bytes.
		out, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store, Modified: time.Time{}})
		if err != nil {
			return err
		}
		if _, err := out.Write(f.b); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, FileName), b.Bytes(), 0o644)
}

// symbol is the network as MXNet 1.x saves it: a fully connected layer, then what
// makes scores of it.
func (m *Model) symbol() []byte {
	type node struct {
		Op     string            `json:"op"`
		Name   string            `json:"name"`
		Attrs  map[string]string `json:"attrs,omitempty"`
		Inputs [][3]int          `json:"inputs"`
	}
	none := [][3]int{}
	nodes := []node{
		{Op: "null", Name: "data", Inputs: none}, {Op: "null", Name: weightName, Inputs: none}, {Op: "null", Name: biasName, Inputs: none},
		{"FullyConnected", "fc0", map[string]string{"num_hidden": fmt.Sprint(m.classes)}, [][3]int{{0, 0, 0}, {1, 0, 0}, {2, 0, 0}}},
	}
	switch {
	case m.kind == multiclass:
		nodes = append(nodes, node{"softmax", "score", map[string]string{"axis": "1"}, [][3]int{{3, 0, 0}}})
	case m.loss == "logistic":
		nodes = append(nodes, node{"sigmoid", "score", nil, [][3]int{{3, 0, 0}}})
	}
	ends := make([]int, len(nodes)+1)
	for i := range ends {
		ends[i] = i
	}
	b, err := json.MarshalIndent(map[string]any{
		"nodes": nodes, "arg_nodes": []int{0, 1, 2}, "node_row_ptr": ends, "heads": [][3]int{{len(nodes) - 1, 0, 0}},
		"attrs": map[string][]any{"mxnet_version": {"int", 10300}},
	}, "", "  ")
	if err != nil { // maps of strings and numbers
		panic(err)
	}
	return b
}

// Load reads model_algo-1, as Save or the container wrote it.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, algo.ClientErrorf("the model folder holds no file %s", FileName)
	} else if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	m, err := ReadModel(b)
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", FileName, err)
	}
	return m, nil
}

// maxFile is the largest file of the zip that is read.
const maxFile = 4 << 30

// ReadModel reads the content of model_algo-1. Without the files that tell it,
// what the model is follows from the network, and the threshold is 0.5, or 0
// where scores are no probabilities.
func ReadModel(b []byte) (*Model, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("not a zip file: %w", err)
	}
	var about more
	var symbol []byte
	var arrays map[string]ndarray.Array
	for _, f := range z.File {
		content, err := open(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		switch {
		case f.Name == moreFile:
			err = json.Unmarshal(content, &about)
		case strings.HasSuffix(f.Name, "symbol.json"):
			symbol = content
		case strings.HasSuffix(f.Name, ".params"):
			arrays, err = ndarray.Named(content)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return assemble(about, string(symbol), arrays)
}

func open(f *zip.File) ([]byte, error) {
	if f.UncompressedSize64 > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", int64(maxFile))
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(io.LimitReader(r, maxFile))
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
