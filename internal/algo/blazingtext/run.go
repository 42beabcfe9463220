// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// classifier trains mode supervised.
func (r *run) classifier(ctx context.Context) (algo.Model, error) {
	text, err := r.read("train")
	if err != nil {
		return nil, err
	}
	d, places, err := r.dictionary(text.words)
	if err != nil {
		return nil, err
	}
	train, err := documentsOf(text, places, d, r.config, r.crew)
	if err != nil {
		return nil, inChannel("train", err)
	}
	var valid *documents
	if r.in.Channels["validation"] != nil {
		if valid, err = r.validation(d); err != nil {
			return nil, err
		}
		r.in.Print("Loaded validation data.")
	} else if r.earlyStopping {
		return nil, algo.ClientErrorf("Hyperparameter early_stopping: the channel validation is needed, and is missing")
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	l := newClassifier(r.config, d, train, r.crew)
	if valid != nil {
		l.in.find(valid.rows)
	}
	stopped, err := r.epochsOf(ctx, l, d, valid)
	if err != nil {
		return nil, err
	}
	if !stopped {
		r.in.Print("#train_accuracy: %.4f", l.accuracy(train))
		r.in.Print("Number of train examples: %d", train.n())
		if valid != nil {
			r.in.Print("#validation_accuracy: %.4f", l.accuracy(valid))
			r.in.Print("Number of validation examples: %d", valid.n())
		}
	}
	return newModel(r.header(d), d, l.in, l.in.n(), l.out), nil
}

// epochsOf trains l. stopped tells that ctx ended it in the middle.
func (r *run) epochsOf(ctx context.Context, l *classifier, d *dictionary, valid *documents) (stopped bool, err error) {
	r.begin(float64(d.tokens) * float64(r.epochs))
	var kept struct {
		in, out  []float32
		accuracy float64
		epoch    int
	}
	done := 0.0
	for epoch := range r.epochs {
		err := l.learn(ctx, func(share float64, rate float32) {
			done = share
			r.progress(share, rate)
		})
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			stopped = true
			break
		} else if err != nil {
			return false, err
		}
		done = float64(epoch+1) / float64(r.epochs)
		if !r.earlyStopping {
			continue
		}
		accuracy := l.accuracy(valid)
		r.in.Print("-------------- End of epoch: %d", epoch+1)
		r.in.Print("Using %d threads for prediction!", r.in.Threads)
		r.in.Print("Validation accuracy: %.6g", accuracy)
		if kept.in == nil || accuracy > kept.accuracy {
			r.in.Print("Validation accuracy improved! Storing best weights...")
			kept.in, kept.out = append(kept.in[:0], l.in.v...), append(kept.out[:0], l.out.v...)
			kept.accuracy, kept.epoch = accuracy, epoch+1
			continue
		}
		r.in.Print("Validation accuracy has not improved for last %d epochs.", epoch+1-kept.epoch)
		if epoch+1 >= r.minEpochs && epoch+1-kept.epoch >= r.patience {
			r.in.Print("Reached patience. Terminating training.")
			break
		}
	}
	r.end(done)
	if kept.in != nil && !stopped {
		l.in.v, l.out.v = kept.in, kept.out
		r.in.Print("Best epoch: %d", kept.epoch)
		r.in.Print("Best validation accuracy: %.6g", kept.accuracy)
	}
	return stopped, nil
}

// validation reads the channel validation with the words of d.
func (r *run) validation(d *dictionary) (*documents, error) {
	text, err := r.read("validation")
	r.in.Print("Loading validation data from %s", r.in.Channels["validation"].Dir)
	if err != nil {
		return nil, err
	}
	places := make([]int32, len(text.words.entries))
	for i, e := range text.words.entries {
		places[i] = d.find(e.word, e.hash)
	}
	valid, err := documentsOf(text, places, d, r.config, r.crew)
	if err != nil {
		return nil, inChannel("validation", err)
	}
	return valid, nil
}

func inChannel(name string, err error) error {
	if algo.IsClientError(err) {
		return algo.ClientErrorf("%s channel: %w", name, err)
	}
	return err
}

// vectors trains the other modes.
func (r *run) vectors(ctx context.Context) (algo.Model, error) {
	peers := r.in.Peers
	own, err := r.read("train")
	if err != nil {
		return nil, err
	}
	all := own.words
	var at []int32 // of own words in those of all hosts
	if peers.Size() > 1 && r.in.Channels["train"].Sharded {
		if all, at, err = together(ctx, peers, own.words); err != nil {
			return nil, err
		}
	}
	d, places, err := r.dictionary(all)
	if err != nil {
		return nil, err
	}
	if at != nil {
		for i, word := range at {
			at[i] = places[word]
		}
		places = at
	}
	text := wordsOf(own, places, d)
	if peers.Size() > 1 && !r.in.Channels["train"].Sharded { // all have all of it
		n := len(text)
		text = text[peers.Rank()*n/peers.Size() : (peers.Rank()+1)*n/peers.Size()]
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	debug.FreeOSMemory() // what reading took, before the matrices take the most
	e := newEmbedder(r.config, d, text, r.crew)
	e.host = peers.Rank()
	if err := r.learn(ctx, e); err != nil {
		return nil, err
	}
	m := newModel(r.header(d), d, e.in, e.in.n(), e.out)
	if r.evaluation {
		if err := r.evaluate(m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// wordsOf makes a text the words of d, and lineEnd. places is where its words are
// in d, -1 for none. It leaves nothing of text.ids.
func wordsOf(text *wording, places []int32, d *dictionary) []int32 {
	n := 0
	for _, ids := range text.ids {
		n += len(ids)
	}
	out := make([]int32, 0, n)
	for i, ids := range text.ids {
		for _, id := range ids {
			switch {
			case id == lineEnd:
				if len(out) > 0 && out[len(out)-1] != lineEnd {
					out = append(out, lineEnd)
				}
			case places[id] >= 0 && places[id] < int32(d.nwords):
				out = append(out, places[id])
			}
		}
		text.ids[i] = nil
	}
	return out
}

// learn trains e, with the other hosts where there are some. It goes on with what
// there is when ctx ends and there are none.
func (r *run) learn(ctx context.Context, e *embedder) error {
	peers := r.in.Peers
	r.begin(float64(e.dict.tokens) * float64(r.epochs))
	share := []float64{float64(len(e.text))}
	if err := peers.SumFloats(ctx, share); err != nil {
		return err
	}
	weight := float64(len(e.text)) / max(share[0], 1)
	steps := 1
	if peers.Size() > 1 {
		steps = meansPerEpoch
	}
	done := 0.0
	for range r.epochs {
		for step := range steps {
			err := e.learn(ctx, step*len(e.text)/steps, (step+1)*len(e.text)/steps, func(share float64, rate float32) {
				done = share
				r.progress(share, rate)
			})
			if err != nil && peers.Size() < 2 && errors.Is(err, ctx.Err()) {
				r.end(done)
				return nil
			} else if err != nil {
				return err
			}
			if peers.Size() < 2 {
				continue
			}
			if err := average(ctx, peers, e.in.matrix, weight); err != nil {
				return err
			}
			if err := average(ctx, peers, e.out, weight); err != nil {
				return err
			}
		}
		e.epoch++
	}
	r.end(1)
	return nil
}

// evaluate measures mean_rho, on the word pairs of the channel evaluation where
// there is one.
func (r *run) evaluate(m *Model) error {
	texts := ownPairs()
	if ch := r.in.Channels["evaluation"]; ch != nil {
		read, release, err := data.OpenText(ch, 0)
		if err != nil {
			return err
		}
		defer release()
		texts = read
	}
	rho, scores, ok, err := m.evaluate(texts)
	if err != nil {
		return err
	}
	if !ok {
		r.in.Print("Evaluation is skipped: fewer than two of the word pairs are of words that the text has.")
		return nil
	}
	if m.evaluation, err = document(rho, scores); err != nil {
		return err
	}
	if r.in.Peers.Rank() == 0 {
		r.in.Print("Evaluating word embeddings....")
		r.in.Print("Vectors read from: /opt/ml/model/vectors.txt ")
		for line := range bytes.Lines(m.evaluation) {
			r.in.Print("%s", bytes.TrimRight(line, "\n"))
		}
		r.in.Print("#mean_rho: %s", algo.AppendNumber64(nil, rho))
	}
	return nil
}
