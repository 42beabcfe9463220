// SPDX-License-Identifier: Apache-2.0

// Package ipinsights learns which IPv4 addresses entities such as accounts use,
// and tells how usual an address is for an entity.
//
// Source: "How IP Insights Works" in the SageMaker developer guide. The network
// over addresses, which AWS does not publish, is ours: vectors of the leading 8,
// 16, 24 and 32 bits are added up and go through dense layers.
package ipinsights

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is SageMaker's IP Insights.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// seed is that of all draws: the algorithm has no hyperparameter for it.
const seed = 0x49504951

// maxModel is the largest model, in bytes. Source: the same page.
const maxModel = 8e9

// options is what a training run is asked for.
type options struct {
	epochs, batch, interval int
	random, shuffled        int
	rate, decay             float64
	threads                 int
}

// Train learns the vectors. Of several hosts all get the pairs of all and learn
// the same: the pairs are small beside what they teach.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "IPInsights")
	o := options{
		epochs: in.Params.Int("epochs"), batch: in.Params.Int("mini_batch_size"), interval: in.Params.Int("batch_metrics_publish_interval"),
		random: in.Params.Int("random_negative_sampling_rate"), shuffled: in.Params.Int("shuffled_negative_sampling_rate"),
		rate: in.Params.Float("learning_rate"), decay: in.Params.Float("weight_decay"), threads: in.Threads,
	}
	if n := o.random + o.shuffled; n < 1 || n > 500 {
		return nil, algo.ClientErrorf("random_negative_sampling_rate and shuffled_negative_sampling_rate add up to %d: from 1 to 500 are possible", n)
	}
	rows, dim := in.Params.Int("num_entity_vectors"), in.Params.Int("vector_dim")
	if size := 4 * float64(rows) * float64(dim); size > maxModel {
		return nil, algo.ClientErrorf("num_entity_vectors %d of vector_dim %d make a model of %.1f GB: at most %.0f GB are possible", rows, dim, size/1e9, maxModel/1e9)
	}
	train, err := load(ctx, in, "train")
	if err != nil {
		return nil, err
	}
	valid, err := load(ctx, in, "validation")
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := newModel(rows, dim, in.Params.Int("num_ip_encoder_layers"), rand.New(rand.NewPCG(seed, 0)))
	t := newTrainer(m, o)
	for epoch := range o.epochs {
		began := time.Now()
		seen, err := t.epoch(ctx, report, epoch, train)
		if err != nil {
			return nil, err
		}
		report.Epoch(epoch, "train", accuracy, seen.accuracy())
		report.Epoch(epoch, "train", entropy, seen.entropy())
		report.Throughput(len(train), time.Since(began))
		report.Counts(epoch, len(train), (len(train)+o.batch-1)/o.batch)
		if len(valid) > 0 {
			report.Epoch(epoch, "validation", auc, m.discriminate(valid, rand.New(rand.NewPCG(seed, 1))))
		}
		report.Progress(epoch+1, o.epochs)
	}
	report.End()
	return m, nil
}

// discriminate is the chance that a pair scores higher than the same entity with
// an address that was drawn at random or from another pair.
func (m *Model) discriminate(pairs []pair, rng *rand.Rand) float64 {
	var all []firstparty.Scored
	for chunk := range slices.Chunk(pairs, 4096) {
		odd := slices.Clone(chunk)
		for i := range odd {
			if i%2 == 0 {
				odd[i].ip = rng.Uint32()
			} else {
				odd[i].ip = pairs[rng.IntN(len(pairs))].ip
			}
		}
		for i, part := range [][]pair{chunk, odd} {
			p := m.predict(part)
			for j := range part {
				all = append(all, firstparty.ScoredOf(p.Values[j*p.Width], float32(1-i)))
			}
		}
	}
	return firstparty.AreaUnder(firstparty.Sorted(all))
}

// tally is what was seen of some examples.
type tally struct {
	examples, right int
	loss            float64
}

func (t *tally) add(o tally) {
	t.examples, t.right, t.loss = t.examples+o.examples, t.right+o.right, t.loss+o.loss
}

func (t tally) accuracy() float64 { return float64(t.right) / float64(max(t.examples, 1)) }
func (t tally) entropy() float64  { return t.loss / float64(max(t.examples, 1)) }

// String is for tests that fail.
func (t tally) String() string { return fmt.Sprintf("%d of %d, %v", t.right, t.examples, t.loss) }
