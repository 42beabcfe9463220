// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
)

// Model is topics and their weights.
type Model struct {
	firstparty.Layout
	words int
	alpha []float32 // k
	beta  []float32 // k × words
	t     *topics
}

// What a Model can do.
var (
	_ algo.Model      = (*Model)(nil)
	_ algo.Formatter  = (*Model)(nil)
	_ algo.RowChecker = (*Model)(nil)
	_ algo.Sizer      = (*Model)(nil)
)

func newModel(alpha []float64, beta []float32, words int) *Model {
	m := &Model{words: words, beta: beta}
	for _, a := range alpha {
		m.alpha = append(m.alpha, float32(a))
	}
	return m.ready()
}

// ready makes what inference needs of alpha and beta.
func (m *Model) ready() *Model {
	k := len(m.alpha)
	m.t = &topics{width: widthOf(k)}
	for _, a := range m.alpha {
		m.t.alpha = append(m.t.alpha, float64(a))
	}
	m.t.byWord = make([]float32, m.words*m.t.width)
	for j := range k {
		for w := range m.words {
			m.t.byWord[w*m.t.width+j] = m.beta[j*m.words+w]
		}
	}
	m.Layout = firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{{Name: "topic_mixture", Width: k, List: true}}}
	return m
}

// file is the artifact, as the AWS container calls it.
const file = "model_algo-1"

// Save writes model_algo-1: a list of two MXNet arrays, alpha (k) and beta
// (k × words).
func (m *Model) Save(dir string) error {
	b := ndarray.Append(nil,
		ndarray.Array{Shape: []int{len(m.alpha)}, Values: m.alpha},
		ndarray.Array{Shape: []int{len(m.alpha), m.words}, Values: m.beta})
	return os.WriteFile(filepath.Join(dir, file), b, 0o644)
}

// Load reads what Save or AWS's LDA wrote.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, file)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return decode(b)
}

func decode(b []byte) (*Model, error) {
	arrays, err := ndarray.Read(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(arrays) != 2 {
		return nil, fmt.Errorf("read %s: %d arrays, not alpha and beta", file, len(arrays))
	}
	alpha, beta := arrays[0], arrays[1]
	if len(beta.Shape) != 2 || beta.Shape[0] < 1 || beta.Shape[1] < 1 || len(alpha.Values) != beta.Shape[0] {
		return nil, fmt.Errorf("read %s: alpha of %v and beta of %v do not make a model", file, alpha.Shape, beta.Shape)
	}
	for _, a := range alpha.Values {
		if !(a > 0) || math.IsInf(float64(a), 0) {
			return nil, fmt.Errorf("read %s: a weight of a topic is %v", file, a)
		}
	}
	m := &Model{words: beta.Shape[1], alpha: alpha.Values, beta: beta.Values}
	return m.ready(), nil
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 { return int64(4 * (len(m.beta) + len(m.t.byWord))) }

// CheckRows refuses rows of another width, and counts that are none.
func (m *Model) CheckRows(_ string, rows *algo.Matrix) error {
	if !rows.Fits(m.words) {
		return algo.ClientErrorf("a row has %d features, the model has feature_dim %d", rows.Cols, m.words)
	}
	if err := checkCounts(rows); err != nil {
		return algo.ClientErrorf("%w", err)
	}
	return nil
}

// Predict gives the mixture of topics of each document.
func (m *Model) Predict(ctx context.Context, rows *algo.Matrix) (algo.Prediction, error) {
	if err := m.CheckRows("", rows); err != nil {
		return algo.Prediction{}, err
	}
	c := newCorpus(rows, false)
	k := len(m.alpha)
	p := algo.Prediction{Values: make([]float32, rows.Rows*k), Width: k}
	threads := runtime.GOMAXPROCS(0)
	mixers := make([]*mixer, threads)
	each(threads, c.docs, func(worker, from, to int) {
		if mixers[worker] == nil {
			mixers[worker] = m.t.mixer()
		}
		x := mixers[worker]
		for d := from; d < to && ctx.Err() == nil; d++ {
			a, b := c.start[d], c.start[d+1]
			x.start(float64(c.length[d]))
			x.mix(c.word[a:b], c.count[a:b])
			x.mixture(p.Values[d*k : (d+1)*k])
		}
	})
	return p, ctx.Err()
}

// pwll is the mean log likelihood of a word of rows under the mixtures that are
// inferred from them: Σ c·ln Σ θⱼβⱼ over Σ c. Words that no topic has are left
// out.
func (m *Model) pwll(ctx context.Context, rows *algo.Matrix) (float64, error) {
	p, err := m.Predict(ctx, rows)
	if err != nil {
		return 0, err
	}
	c := newCorpus(rows, false)
	sum, words := 0.0, 0.0
	k := len(m.alpha)
	for d := range c.docs {
		for at := c.start[d]; at < c.start[d+1]; at++ {
			likely := 0.0
			row := m.t.byWord[int(c.word[at])*m.t.width:]
			for j, theta := range p.Values[d*k : (d+1)*k] {
				likely += float64(theta) * float64(row[j])
			}
			if likely > 0 {
				sum += float64(c.count[at]) * math.Log(likely)
				words += float64(c.count[at])
			}
		}
	}
	if words == 0 {
		return 0, algo.ClientErrorf("test channel: %w", errNoWords)
	}
	return sum / words, nil
}

var errNoWords = errors.New("the documents hold no words that the topics have")
