// SPDX-License-Identifier: Apache-2.0

// Package builtin is the list of built-in algorithms: by name, and by the image
// URIs under which SageMaker's SDKs ask for them.
package builtin

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/blazingtext"
	"github.com/sagebrush-ml/sagebrush/internal/algo/fm"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ipinsights"
	"github.com/sagebrush-ml/sagebrush/internal/algo/kmeans"
	"github.com/sagebrush-ml/sagebrush/internal/algo/knn"
	"github.com/sagebrush-ml/sagebrush/internal/algo/lda"
	"github.com/sagebrush-ml/sagebrush/internal/algo/linear"
	"github.com/sagebrush-ml/sagebrush/internal/algo/pca"
	"github.com/sagebrush-ml/sagebrush/internal/algo/rcf"
	"github.com/sagebrush-ml/sagebrush/internal/algo/xgboost"
)

// algorithms is what is built, by the name that the Spec has.
var algorithms = map[string]func() algo.Algorithm{
	"blazingtext":            func() algo.Algorithm { return blazingtext.New() },
	"factorization-machines": func() algo.Algorithm { return fm.New() },
	"ipinsights":             func() algo.Algorithm { return ipinsights.New() },
	"kmeans":                 func() algo.Algorithm { return kmeans.New() },
	"knn":                    func() algo.Algorithm { return knn.New() },
	"lda":                    func() algo.Algorithm { return lda.New() },
	"linear-learner":         func() algo.Algorithm { return linear.New() },
	"pca":                    func() algo.Algorithm { return pca.New() },
	"randomcutforest":        func() algo.Algorithm { return rcf.New() },
	"xgboost":                func() algo.Algorithm { return xgboost.New() },
}

// Lookup gives the algorithm that is called name.
func Lookup(name string) (algo.Algorithm, bool) {
	make, ok := algorithms[name]
	if !ok {
		return nil, false
	}
	return make(), true
}

// Names is the names that Lookup knows, sorted.
func Names() []string {
	names := make([]string, 0, len(algorithms))
	for name := range algorithms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
