// SPDX-License-Identifier: Apache-2.0

package jumpstart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// The entry points of the programs.
const (
	trains = "transfer_learning.py"
	serves = "inference.py"
)

//go:embed scripts
var scripts embed.FS

// sources is the archive of a model's programs: the entry point, what both
// entry points share, what they need, and model.json, by which they know which
// model they are.
func sources(m Model, entry string) ([]byte, error) {
	files := map[string][]byte{
		"requirements.txt": []byte(strings.Join(m.Requirements, "\n") + "\n"),
	}
	from := map[string]string{entry: path.Join("scripts", m.Library, entry), "tabular.py": "scripts/tabular.py"}
	if entry == trains {
		for _, name := range m.Modules {
			from[name] = path.Join("scripts", m.Library, name)
		}
	}
	for name, at := range from {
		text, err := scripts.ReadFile(at)
		if err != nil {
			return nil, fmt.Errorf("sources of %s: %w", m.ID, err)
		}
		files[name] = text
	}
	var err error
	if files["model.json"], err = about(m); err != nil {
		return nil, err
	}
	return pack(files)
}

// artifact is what the channel "model" holds. These models are not trained
// beforehand, so it is no more than model.json.
func artifact(m Model) ([]byte, error) {
	text, err := about(m)
	if err != nil {
		return nil, err
	}
	return pack(map[string][]byte{"model.json": text})
}

// param is a hyperparameter as the programs check it.
type param struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"` // int, float, choice, text
	Default string   `json:"default"`
	Values  []string `json:"values,omitempty"`
	Auto    bool     `json:"auto,omitempty"` // "auto", however it is spelled, is a value too
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	OpenMin bool     `json:"open_min,omitempty"`
	OpenMax bool     `json:"open_max,omitempty"`
	Range   string   `json:"range"` // in words, for errors
}

// about is model.json: the model, and all that is checked of a job.
func about(m Model) ([]byte, error) {
	params := make([]param, 0, len(m.Params))
	for _, p := range m.Params {
		kind := map[algo.ParamKind]string{algo.Int: "int", algo.Float: "float", algo.Enum: "choice", algo.String: "text"}[p.Kind]
		if kind == "" {
			return nil, fmt.Errorf("hyperparameter %s of %s: kind %d is not built", p.Name, m.ID, p.Kind)
		}
		params = append(params, param{Name: p.Name, Kind: kind, Default: p.Default, Values: p.Values, Auto: p.Auto,
			Min: p.Min, Max: p.Max, OpenMin: p.OpenMin, OpenMax: p.OpenMax, Range: p.Range()})
	}
	return document(struct {
		ID              string  `json:"model_id"`
		Version         string  `json:"version"`
		Task            string  `json:"task"`
		Hyperparameters []param `json:"hyperparameters"`
	}{m.ID, m.Version, m.Task, params})
}

// pack is a .tar.gz of files by name, the same bytes for the same files.
func pack(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b) // without a name or a time
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
