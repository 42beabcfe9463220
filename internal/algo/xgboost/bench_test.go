// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// plainConfig is the defaults for an objective.
func plainConfig(objective string, rounds int) *config {
	return &config{
		objective: objective, classes: 1, rounds: rounds, positiveWeight: 1, poissonStep: 0.7, tweediePower: 1.5,
		regular: regular{
			eta: 0.3, lambda: 1, minChildWeight: 1, maxDepth: 6,
			byTree: 1, byLevel: 1, byNode: 1, subsample: 1, maxBin: 256, parallelTrees: 1,
		},
	}
}

func silent(string, ...any) {}

// higgsLike is n rows of 28 normal features with a label that depends on a few
// of them and their products, which is the shape of the HIGGS data.
func higgsLike(n int) *algo.Matrix {
	const cols = 28
	rng := rand.New(rand.NewPCG(1, 2))
	m := &algo.Matrix{Rows: n, Cols: cols, Values: make([]float32, n*cols), Label: make([]float32, n)}
	for r := range n {
		row := m.Values[r*cols : (r+1)*cols]
		for f := range row {
			row[f] = float32(rng.NormFloat64())
		}
		if row[0]+row[1]*row[2]-row[3]*row[3]+0.5*row[4]+float32(rng.NormFloat64()) > -0.5 {
			m.Label[r] = 1
		}
	}
	return m
}

func BenchmarkTrain(b *testing.B) {
	m := higgsLike(200_000)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("200k rows 28 features 100 rounds depth 6, %d threads", threads), func(b *testing.B) {
			for b.Loop() {
				if _, err := boost(b.Context(), plainConfig("binary:logistic", 100), nil, m, nil, threads, silent); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTrainOnHosts is BenchmarkTrain on hosts of one thread each, all on
// this machine and in one process.
func BenchmarkTrainOnHosts(b *testing.B) {
	m := higgsLike(200_000)
	for _, hosts := range []int{2, 4} {
		b.Run(fmt.Sprintf("200k rows 28 features 100 rounds depth 6, %d hosts", hosts), func(b *testing.B) {
			for b.Loop() {
				for rank, err := range algotest.Together(b, hosts, func(peers *collective.Group) error {
					part := slice(m, peers.Rank()*m.Rows/hosts, (peers.Rank()+1)*m.Rows/hosts)
					_, err := boost(b.Context(), plainConfig("binary:logistic", 100), peers, part, nil, 1, silent)
					return err
				}) {
					if err != nil {
						b.Fatalf("host %d: %v", rank+1, err)
					}
				}
			}
		})
	}
}

// BenchmarkTrainSparse has the shape of text: few of many features per row.
func BenchmarkTrainSparse(b *testing.B) {
	const rows, cols, stored = 50_000, 20_000, 30
	rng := rand.New(rand.NewPCG(5, 6))
	m := &algo.Matrix{Rows: rows, Cols: cols, Start: []int64{0}}
	for range rows {
		seen := map[int32]bool{}
		for len(seen) < stored {
			seen[int32(float64(cols)*rng.Float64()*rng.Float64()*rng.Float64())] = true
		}
		label := float32(0)
		for _, f := range slices.Sorted(maps.Keys(seen)) {
			m.Index, m.Values = append(m.Index, f), append(m.Values, float32(rng.IntN(9)))
			if f < 40 {
				label += m.Values[len(m.Values)-1]
			}
		}
		m.Label = append(m.Label, label)
		m.Start = append(m.Start, int64(len(m.Index)))
	}
	for b.Loop() {
		if _, err := boost(b.Context(), plainConfig("reg:squarederror", 20), nil, m, nil, 2, silent); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPredict is one row, a thousand and many, of 28 features in 100 trees.
func BenchmarkPredict(b *testing.B) {
	m := higgsLike(20_000)
	for _, depth := range []int{6, 8} {
		c := plainConfig("binary:logistic", 100)
		c.maxDepth = depth
		model, err := boost(b.Context(), c, nil, m, nil, runtime.GOMAXPROCS(0), silent)
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range []int{1, 1000, 20_000} {
			part := &algo.Matrix{Rows: rows, Cols: m.Cols, Values: m.Values[:rows*m.Cols]}
			b.Run(fmt.Sprintf("depth %d, %d rows", depth, rows), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := model.Predict(context.Background(), part); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
