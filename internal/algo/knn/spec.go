// SPDX-License-Identifier: Apache-2.0

package knn

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

var (
	accuracy = firstparty.Score("accuracy")
	mse      = firstparty.Loss("mse")
)

// Values of hyperparameters.
const (
	classifier, regressor = "classifier", "regressor"
	sign, fjlt            = "sign", "fjlt"
	flat, ivfFlat, ivfPQ  = "faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"
	l2, inner, cosine     = "L2", "INNER_PRODUCT", "COSINE"
)

// Spec has the hyperparameters of SageMaker's k-NN. Sources: "k-NN
// Hyperparameters" and "Tune a k-NN Model" in the SageMaker developer guide.
func (Algorithm) Spec() algo.Spec {
	types := []string{"application/x-recordio-protobuf", "text/csv", "text/csv;label_size=1"}
	return algo.Spec{
		Name: "knn",
		Params: append([]algo.Param{
			algo.IntParam("feature_dim", "auto", new(1.0), nil, "number of features of a row; auto: as the rows have").OrAuto(),
			algo.IntParam("k", "", new(1.0), nil, "number of neighbours").Needed().Tuned(1, 1024),
			algo.EnumParam("predictor_type", "", "what the neighbours' labels are put together to: the commonest or the mean", classifier, regressor).Needed(),
			algo.IntParam("sample_size", "", new(1.0), nil, "rows that the index is made of, over all hosts").Needed().Tuned(256, 20000000),
			algo.EnumParam("dimension_reduction_type", "", "how features are made fewer", sign, fjlt),
			algo.IntParam("dimension_reduction_target", "", new(1.0), nil, "to how many, below feature_dim"),
			algo.EnumParam("index_type", flat, "kind of index", flat, ivfFlat, ivfPQ),
			algo.EnumParam("index_metric", l2, "what near means; of faiss.IVFPQ L2 alone", l2, inner, cosine),
			algo.IntParam("faiss_index_ivf_nlists", "auto", new(1.0), nil, "lists of faiss.IVFFlat and faiss.IVFPQ; auto: the square root of the rows").OrAuto(),
			algo.EnumParam("faiss_index_pq_m", "", "parts of a vector, of faiss.IVFPQ; vectors are padded with zeros to a multiple",
				"1", "2", "3", "4", "8", "12", "16", "20", "24", "28", "32", "40", "48", "56", "64", "96"),
			algo.IntParam("_faiss_index_nprobe", "5", new(1.0), nil, "lists that are looked at"),
			algo.IntParam("mini_batch_size", "5000", new(1.0), nil, "no effect: rows are read at once"),
		}, firstparty.Hidden()...),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: types},
			{Name: "test", Pipe: true, ContentTypes: types},
		},
		Metrics: append([]algo.Metric{
			firstparty.Final("test", accuracy, ""), firstparty.Final("test", mse, ""),
		}, firstparty.Common()...),
		Distributed: true,
	}
}

// config is checked hyperparameters.
type config struct {
	features   int // 0 for auto
	k, sample  int
	regression bool
	reduction  string // "" for none
	target     int
	index      string
	metric     string
	lists      int // 0 for auto
	probes     int
	parts      int
}

func configOf(p algo.Params) (c config, err error) {
	c = config{
		k: p.Int("k"), sample: p.Int("sample_size"), regression: p.String("predictor_type") == regressor,
		reduction: p.String("dimension_reduction_type"), target: p.Int("dimension_reduction_target"),
		index: p.String("index_type"), metric: p.String("index_metric"), probes: p.Int("_faiss_index_nprobe"), parts: p.Int("faiss_index_pq_m"),
	}
	if !p.Auto("feature_dim") {
		c.features = p.Int("feature_dim")
	}
	if !p.Auto("faiss_index_ivf_nlists") {
		c.lists = p.Int("faiss_index_ivf_nlists")
	}
	switch {
	case c.k > c.sample:
		err = algo.ClientErrorf("Hyperparameter k: %d is above sample_size, which is %d", c.k, c.sample)
	case c.reduction != "" && c.target == 0:
		err = algo.ClientErrorf("Missing required hyperparameter: dimension_reduction_target, as dimension_reduction_type is %s", c.reduction)
	case c.reduction == "" && c.target > 0:
		err = algo.ClientErrorf("Missing required hyperparameter: dimension_reduction_type, as dimension_reduction_target is %d", c.target)
	case c.features > 0:
		err = c.checkTarget(c.features)
	}
	switch {
	case err != nil:
	case c.index == ivfPQ && c.parts == 0:
		err = algo.ClientErrorf("Missing required hyperparameter: faiss_index_pq_m, as index_type is %s", ivfPQ)
	case c.index == ivfPQ && c.metric != l2:
		err = algo.ClientErrorf("Hyperparameter index_metric: %s is not built for index_type %s in the service either; use L2", c.metric, ivfPQ)
	}
	return c, err
}

func (c config) checkTarget(features int) error {
	if c.target >= features {
		return algo.ClientErrorf("Hyperparameter dimension_reduction_target: %d is not below feature_dim, which is %d", c.target, features)
	}
	return nil
}

// mostNumbers bounds the numbers of an index, and of a projection.
const mostNumbers = 1 << 33

// checkSize refuses what does not fit into the memory of any machine.
func (c config) checkSize(rows int) error {
	d := c.features
	if c.reduction != "" {
		d = c.target
	}
	switch {
	case rows > mostNumbers/d:
		return algo.ClientErrorf("Hyperparameter sample_size: %d rows of %d features do not fit into memory; fewer rows, or a dimension_reduction_type, do", rows, d)
	case c.reduction == sign && c.target > mostNumbers/8/c.features:
		return algo.ClientErrorf("Hyperparameter dimension_reduction_type: a matrix of %d by %d does not fit into memory; fjlt needs none", c.target, c.features)
	}
	return nil
}
