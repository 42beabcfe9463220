// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// The modes.
const (
	batchSkipgram = "batch_skipgram"
	skipgram      = "skipgram"
	cbow          = "cbow"
	supervised    = "supervised"
)

// config is the hyperparameters.
type config struct {
	mode                                string
	batchSize, buckets, epochs          int
	minChar, maxChar, minCount, ngrams  int
	negatives, dim, window              int
	patience, minEpochs                 int
	rate, threshold                     float64
	evaluation, subwords, earlyStopping bool
}

// Spec gives the hyperparameters of SageMaker's BlazingText, its channels and
// its metrics. The channel evaluation is ours: word pairs for train:mean_rho.
func (Algorithm) Spec() algo.Spec {
	text := []string{"text/plain", "application/jsonlines"}
	return algo.Spec{
		Name:   "blazingtext",
		Params: slices.Concat(params(), firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: text},
			{Name: "validation", Pipe: true, ContentTypes: text},
			{Name: "evaluation", ContentTypes: []string{"text/plain"}},
		},
		Metrics: []algo.Metric{
			{Name: "train:mean_rho", Regex: `#mean_rho: ([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)`, Maximize: true},
			{Name: "validation:accuracy", Regex: `#validation_accuracy: ([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)`, Maximize: true},
			{Name: "train:accuracy", Regex: `#train_accuracy: ([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)`, Maximize: true},
		},
		Distributed: true,
	}
}

func params() []algo.Param {
	most := new(math.Exp2(31) - 1) // fastText's files hold them in 32 bits
	count := func(name, def, doc string) algo.Param { return algo.IntParam(name, def, new(1.0), most, doc) }
	return []algo.Param{
		algo.EnumParam("mode", "", "what is learned: word vectors, or a text classifier (supervised)",
			batchSkipgram, skipgram, cbow, supervised).Needed().TunedChoice(),
		count("batch_size", "11", "input words per batch, of batch_skipgram").Tuned(8, 32),
		count("buckets", "2000000", "rows that character and word n-grams are hashed to").Tuned(1e6, 1e7),
		count("epochs", "5", "passes through the data").Tuned(5, 15),
		algo.BoolParam("evaluation", "true", "measure mean_rho of word vectors on word pairs"),
		algo.FloatParam("learning_rate", "0.05", new(0.0), nil, "step size at the start; it falls to 0").Above().Tuned(0.005, 0.01),
		count("min_char", "3", "least length of character n-grams"),
		count("max_char", "6", "greatest length of character n-grams"),
		algo.IntParam("min_count", "5", new(0.0), most, "occurrences below which a word is left out").Tuned(0, 100),
		count("negative_samples", "5", "words drawn against each true one").Tuned(5, 25),
		algo.FloatParam("sampling_threshold", "0.0001", new(0.0), new(1e-3), "share of the text above which a word is thinned out").Above().Tuned(0.0001, 0.001),
		algo.BoolParam("subwords", "false", "word vectors are means of those of character n-grams, too"),
		count("vector_dim", "100", "values of a vector").Tuned(32, 300),
		count("window_size", "5", "most words between a word and one of its context").Tuned(1, 10),
		algo.BoolParam("early_stopping", "false", "supervised: stop when the accuracy on validation no longer rises"),
		count("patience", "4", "supervised: epochs without a rise after which to stop"),
		count("min_epochs", "5", "supervised: epochs before early stopping may stop"),
		count("word_ngrams", "2", "supervised: most words of a word n-gram").Tuned(1, 3),
	}
}

// configFrom reads the hyperparameters. Those of another mode have no effect.
func configFrom(p algo.Params) (config, error) {
	c := config{
		mode: p.String("mode"), batchSize: p.Int("batch_size"), buckets: p.Int("buckets"), epochs: p.Int("epochs"),
		minChar: p.Int("min_char"), maxChar: p.Int("max_char"), minCount: p.Int("min_count"), ngrams: p.Int("word_ngrams"),
		negatives: p.Int("negative_samples"), dim: p.Int("vector_dim"), window: p.Int("window_size"),
		patience: p.Int("patience"), minEpochs: p.Int("min_epochs"),
		rate: p.Float("learning_rate"), threshold: p.Float("sampling_threshold"),
		evaluation: p.Bool("evaluation"), subwords: p.Bool("subwords"), earlyStopping: p.Bool("early_stopping"),
	}
	if c.mode == supervised || !c.subwords {
		c.minChar, c.maxChar = 0, 0
	}
	if c.mode != supervised {
		c.ngrams = 1
	}
	if c.minChar > c.maxChar {
		return c, algo.ClientErrorf("Hyperparameter min_char: %d is above max_char, %d", c.minChar, c.maxChar)
	}
	if c.maxChar == 0 && c.ngrams <= 1 {
		c.buckets = 0 // nothing is hashed
	}
	return c, nil
}
