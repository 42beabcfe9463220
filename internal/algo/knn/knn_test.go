// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// table is n rows of d numbers around a point for each of classes, and their
// classes.
func table(n, d, classes int, seed uint64) (v, labels []float32) {
	rng := rand.New(rand.NewPCG(seed, 1))
	at := make([]float32, classes*d)
	for i := range at {
		at[i] = float32(rng.NormFloat64() * 2)
	}
	for range n {
		c := rng.IntN(classes)
		labels = append(labels, float32(c))
		for j := range d {
			v = append(v, at[c*d+j]+float32(rng.NormFloat64()))
		}
	}
	return v, labels
}

func csv(v, labels []float32) string {
	d := len(v) / len(labels)
	var b strings.Builder
	for i, y := range labels {
		fmt.Fprint(&b, y)
		for _, x := range v[i*d : (i+1)*d] {
			fmt.Fprintf(&b, ",%v", x)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestConforms(t *testing.T) {
	const d = 6
	v, labels := table(700, d, 4, 1)
	rows := &algo.Matrix{Rows: 50, Cols: d, Values: v[:50*d]}
	train, test := algotest.CSV(csv(v[:600*d], labels[:600])), algotest.CSV(csv(v[600*d:], labels[600:]))
	var cases []algotest.Case
	for name, params := range map[string]map[string]string{
		"flat":                        {"predictor_type": classifier},
		"flat of a sample, regressor": {"predictor_type": regressor, "sample_size": "300", "index_metric": inner},
		"cosine, sign":                {"predictor_type": regressor, "index_metric": cosine, "dimension_reduction_type": sign, "dimension_reduction_target": "3"},
		"IVF, fjlt":                   {"predictor_type": classifier, "index_type": ivfFlat, "dimension_reduction_type": fjlt, "dimension_reduction_target": "4"},
		"IVF by inner product":        {"predictor_type": classifier, "index_type": ivfFlat, "index_metric": inner, "faiss_index_ivf_nlists": "200", "_faiss_index_nprobe": "1"},
		"PQ, padded":                  {"predictor_type": classifier, "index_type": ivfPQ, "faiss_index_pq_m": "4", "faiss_index_ivf_nlists": "8"},
	} {
		params["k"], params["feature_dim"] = "7", "6"
		if params["sample_size"] == "" {
			params["sample_size"] = "1000"
		}
		cases = append(cases, algotest.Case{
			Name: name, Params: params, Channels: map[string]algotest.Channel{"train": train, "test": test}, Rows: rows,
		})
	}
	algotest.Run(t, New(), cases)
}
