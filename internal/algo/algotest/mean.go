// SPDX-License-Identifier: Apache-2.0

package algotest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// Mean is the smallest real algorithm: it predicts factor times the mean label
// that it saw. The frame is tested with it.
type Mean struct{}

var _ algo.Algorithm = Mean{}

// Spec asks for rounds, and takes factor, which may also be called scale.
func (Mean) Spec() algo.Spec {
	return algo.Spec{
		Name: "mean",
		Params: []algo.Param{
			{Name: "rounds", Kind: algo.Int, Required: true, Min: new(1.0)},
			{Name: "factor", Alias: []string{"scale"}, Kind: algo.Float, Default: "1", Min: new(0.0), Max: new(10.0), OpenMin: true},
			{Name: "mode", Kind: algo.Enum, Default: "mean", Values: []string{"mean", "panic"}},
			{Name: "_tuning_objective_metric", Kind: algo.String},
		},
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, ContentTypes: []string{"text/libsvm", "text/csv"}},
			{Name: "validation", ContentTypes: []string{"text/libsvm", "text/csv"}},
		},
	}
}

// Train prints one line per round.
func (Mean) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	if in.Params.String("mode") == "panic" {
		panic("asked to")
	}
	m := &MeanModel{}
	for _, name := range []string{"validation", "train"} {
		ch := in.Channels[name]
		if ch == nil {
			continue
		}
		rows, err := data.Load(ch, data.Options{Threads: in.Threads})
		if err != nil {
			return nil, err
		}
		sum := 0.0
		for _, label := range rows.Label {
			sum += float64(label)
		}
		m.Mean, m.Cols = float32(sum/float64(rows.Rows)*in.Params.Float("factor")), rows.Cols
	}
	for round := range in.Params.Int("rounds") {
		if ctx.Err() != nil && round == 0 {
			return nil, ctx.Err()
		} else if ctx.Err() != nil {
			break
		}
		in.Print("[%d]\ttrain-mean:%g", round, m.Mean)
	}
	return m, nil
}

// Load reads mean.json.
func (Mean) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, "mean.json")
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	m := new(MeanModel)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// MeanModel is what Mean learns.
type MeanModel struct {
	Mean float32
	Cols int
}

// Save writes mean.json.
func (m *MeanModel) Save(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "mean.json"), b, 0o644)
}

// Predict gives the mean for each row.
func (m *MeanModel) Predict(_ context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	if rows.Cols != m.Cols && !rows.Sparse() {
		return algo.Prediction{}, algo.ClientErrorf("%d features, but the model has %d", rows.Cols, m.Cols)
	}
	p := algo.Prediction{Values: make([]float32, rows.Rows), Width: 1}
	for i := range p.Values {
		p.Values[i] = m.Mean
	}
	return p, nil
}
