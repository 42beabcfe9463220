// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// blobs is n rows of d numbers around k points.
func blobs(n, d, k int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	at := make([]float32, k*d)
	for i := range at {
		at[i] = float32(rng.NormFloat64() * 10)
	}
	v := make([]float32, n*d)
	for i := range n {
		c := rng.IntN(k)
		for j := range d {
			v[i*d+j] = at[c*d+j] + float32(rng.NormFloat64())
		}
	}
	return v
}

func csv(v []float32, d int) string {
	var b strings.Builder
	for i, x := range v {
		if i%d > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, x)
		if i%d == d-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func unlabelled(text string) algotest.Channel {
	return algotest.Channel{ContentType: "text/csv;label_size=0", Files: map[string]string{"data.csv": text}}
}

func TestConforms(t *testing.T) {
	const d = 4
	v := blobs(600, d, 5, 1)
	rows := &algo.Matrix{Rows: 50, Cols: d, Values: v[:50*d]}
	algotest.Run(t, New(), []algotest.Case{
		{
			Name:     "one batch and a test channel",
			Params:   map[string]string{"k": "5", "feature_dim": "4"},
			Channels: map[string]algotest.Channel{"train": unlabelled(csv(v[:500*d], d)), "test": unlabelled(csv(v[500*d:], d))},
			Rows:     rows,
			Long:     map[string]string{"epochs": "1000000"},
		},
		{
			Name: "small batches and k-means++",
			Params: map[string]string{"k": "3", "feature_dim": "4", "mini_batch_size": "50", "epochs": "2", "init_method": "kmeans++",
				"extra_center_factor": "4", "half_life_time_size": "100", "local_lloyd_init_method": "random", "local_lloyd_num_trials": "3"},
			Channels: map[string]algotest.Channel{"train": unlabelled(csv(v, d))},
			Rows:     rows,
		},
	})
}
