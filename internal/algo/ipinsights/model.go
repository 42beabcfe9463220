// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/npz"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// prefixes are the leading parts of an address, in bits, that have vectors. One
// that is longer than the index of the tables is hashed to it.
var prefixes = [...]int{8, 16, 24, 32}

// The index of the tables has so many bits: those of four times as many networks
// as there are entities, within limits.
const leastIndex, mostIndex = 12, 16

func indexBits(rows int) int {
	return min(max(bits.Len(uint(4*rows-1)), leastIndex), mostIndex)
}

// prefixRow is the row of the table of prefix number p that ip has.
func (m *Model) prefixRow(p int, ip uint32) uint32 {
	x := ip >> (32 - prefixes[p])
	if prefixes[p] > m.index {
		x = uint32(uint64(x) * 0x9E3779B97F4A7C15 >> (64 - m.index)) // Fibonacci hashing
	}
	return x
}

func (m *Model) prefixRows(p int) int { return 1 << min(prefixes[p], m.index) }

// Model is a trained model: vectors of entities, and the network that makes a
// vector of an address.
type Model struct {
	dim    int
	rows   int       // num_entity_vectors
	index  int       // bits of the index of the longer prefixes
	entity []float32 // rows×dim
	prefix [len(prefixes)][]float32
	layers []layer
}

// layer makes of a vector h the vector W·max(h,0) + b.
type layer struct {
	weight []float32 // dim×dim
	bias   []float32
}

// What a Model can do.
var (
	_ algo.Model     = (*Model)(nil)
	_ algo.Responder = (*Model)(nil)
	_ algo.Sizer     = (*Model)(nil)
)

// newModel draws the vectors.
func newModel(rows, dim, layers int, rng *rand.Rand) *Model {
	m := &Model{dim: dim, rows: rows, index: indexBits(rows)}
	draw := func(n int, scale float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((2*rng.Float64() - 1) * scale)
		}
		return v
	}
	m.entity = draw(rows*dim, 0.07)
	for p := range prefixes {
		m.prefix[p] = draw(m.prefixRows(p)*dim, 0.07)
	}
	for range layers {
		m.layers = append(m.layers, layer{draw(dim*dim, math.Sqrt(3/float64(dim))), make([]float32, dim)})
	}
	return m
}

// MemoryBytes implements algo.Sizer.
func (m *Model) MemoryBytes() int64 {
	n := len(m.entity)
	for _, table := range m.prefix {
		n += len(table)
	}
	return int64(4 * (n + len(m.layers)*(m.dim+1)*m.dim))
}

// entityVector is the vector of row i.
func (m *Model) entityVector(i uint32) []float32 {
	return m.entity[int(i)*m.dim : int(i+1)*m.dim]
}

func (m *Model) prefixVector(p int, ip uint32) []float32 {
	r := int(m.prefixRow(p, ip))
	return m.prefix[p][r*m.dim : (r+1)*m.dim]
}

// encode writes the vectors of addresses into the last of states, and those in
// front of each layer into the others: states has one more than there are
// layers, each len(ips)×dim. room has as many values.
func (m *Model) encode(ips []uint32, states [][]float32, room []float32) {
	d := m.dim
	first := states[0][:len(ips)*d]
	clear(first)
	for i, ip := range ips {
		for p := range prefixes {
			vec.Axpy(1, m.prefixVector(p, ip), first[i*d:(i+1)*d])
		}
	}
	for l, layer := range m.layers {
		in, out := room[:len(ips)*d], states[l+1][:len(ips)*d]
		rectify(in, states[l])
		vec.MulT(out, in, layer.weight, len(ips), d, d)
		for i := range ips {
			vec.Axpy(1, layer.bias, out[i*d:(i+1)*d])
		}
	}
}

// rectify writes max(v, 0).
func rectify(out, v []float32) {
	for i := range out {
		out[i] = max(v[i], 0)
	}
}

// Predict cannot be asked: the requests are no rows of numbers.
func (m *Model) Predict(context.Context, *algo.Matrix) (algo.Prediction, error) {
	return algo.Prediction{}, errors.New("IP Insights answers pairs of entities and addresses")
}

// artifact is the one file of the model.
const artifact = "model_algo-1"

// Save writes the model as an archive of NumPy arrays:
//
//	entity     N×D float32  vectors of entities
//	prefix8 … prefix32      vectors of the leading bits of addresses
//	weight     L×D×D, bias L×D float32  the dense layers
func (m *Model) Save(dir string) error {
	file, err := os.Create(filepath.Join(dir, artifact))
	if err != nil {
		return err
	}
	defer file.Close()
	w := npz.NewWriter(file)
	npz.Write(w, "entity", m.entity, m.rows, m.dim)
	for p, table := range m.prefix {
		npz.Write(w, fmt.Sprintf("prefix%d", prefixes[p]), table, len(table)/m.dim, m.dim)
	}
	var weights, biases []float32
	for _, l := range m.layers {
		weights, biases = append(weights, l.weight...), append(biases, l.bias...)
	}
	npz.Write(w, "weight", weights, len(m.layers), m.dim, m.dim)
	npz.Write(w, "bias", biases, len(m.layers), m.dim)
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

// Load reads the model of the folder artifacts.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	b, err := fs.ReadFile(artifacts, artifact)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	m, err := readModel(b)
	if err != nil {
		return nil, algo.ClientErrorf("%s is not an IP Insights model of Sagebrush: %w", artifact, err)
	}
	return m, nil
}

func readModel(b []byte) (*Model, error) {
	a, err := npz.Open(b)
	if err != nil {
		return nil, err
	}
	m := &Model{}
	var shape []int
	if m.entity, shape, err = npz.Read[float32](a, "entity"); err != nil {
		return nil, err
	}
	if len(shape) != 2 || len(m.entity) == 0 {
		return nil, errors.New("entity is not a table")
	}
	m.rows, m.dim = shape[0], shape[1]
	m.index = indexBits(m.rows)
	for p := range m.prefix {
		if m.prefix[p], _, err = npz.Read[float32](a, fmt.Sprintf("prefix%d", prefixes[p])); err != nil {
			return nil, err
		}
		if len(m.prefix[p]) != m.prefixRows(p)*m.dim {
			return nil, fmt.Errorf("prefix%d is not a table of %d rows", prefixes[p], m.prefixRows(p))
		}
	}
	weights, _, err := npz.Read[float32](a, "weight")
	if err != nil {
		return nil, err
	}
	biases, _, err := npz.Read[float32](a, "bias")
	if err != nil {
		return nil, err
	}
	n := len(biases) / m.dim
	if len(biases) != n*m.dim || len(weights) != n*m.dim*m.dim {
		return nil, errors.New("weight and bias do not fit each other")
	}
	for l := range n {
		m.layers = append(m.layers, layer{weights[l*m.dim*m.dim : (l+1)*m.dim*m.dim], biases[l*m.dim : (l+1)*m.dim]})
	}
	return m, nil
}
