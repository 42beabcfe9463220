// SPDX-License-Identifier: Apache-2.0

// Package blazingtext is SageMaker's BlazingText: word vectors after Word2Vec,
// and text classification after fastText, whose files its models are.
//
// Sources: Gupta and Khare, "BlazingText: Scaling and Accelerating Word2Vec using
// Multiple GPUs", 2017; the papers at embedder and classifier. The behaviour
// followed is that of fastText 0.9.2.
package blazingtext

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// Algorithm is SageMaker's BlazingText.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train learns word vectors or a classifier from the channel train. The same text
// gives the same model, byte for byte, with any number of threads. When ctx is
// cancelled it gives the model so far, once there is one; of several hosts ctx's
// error.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	c, err := configFrom(in.Params)
	if err != nil {
		return nil, err
	}
	if len(in.Hosts) > 1 && in.Peers.Size() < 2 {
		return nil, fmt.Errorf("train on %d hosts: they are not connected", len(in.Hosts))
	}
	if len(in.Hosts) > 1 && c.mode != batchSkipgram {
		return nil, algo.ClientErrorf("mode %s trains on one instance; of several, use batch_skipgram", c.mode)
	}
	in.Print("Arguments: train")
	if len(in.Hosts) > 1 {
		in.Print("Running distributed CPU BlazingText training using %s on %d hosts.", c.mode, len(in.Hosts))
	} else {
		in.Print("Running single machine CPU BlazingText training using %s mode.", c.mode)
	}
	in.Print("Number of CPU sockets found in instance is  1")
	r := &run{config: c, in: in, crew: vec.NewCrew(in.Threads)}
	defer r.crew.Close()
	if c.mode == supervised {
		return r.classifier(ctx)
	}
	return r.vectors(ctx)
}

// run is one training.
type run struct {
	config
	in   algo.Input
	crew *vec.Crew

	began, told time.Time // of learning, and of the last line of progress
	toldShare   float64
	words       float64 // of all epochs
}

// read counts the words of a channel. Of several hosts one may have no text.
func (r *run) read(name string) (*wording, error) {
	ch := r.in.Channels[name]
	texts, release, err := readText(ch)
	if r.in.Peers.Size() > 1 && errors.Is(err, data.ErrNoRows) {
		return &wording{words: newCounter()}, nil
	}
	if err != nil {
		return nil, err
	}
	defer release()
	for _, t := range texts {
		r.in.Print("Processing %s . File size: %d MB", path.Join(ch.Dir, t.Name), len(t.Bytes)>>20)
	}
	text, err := countAll(cut(texts, r.mode == supervised), r.crew)
	if err != nil {
		return nil, fmt.Errorf("%s channel: %w", name, err)
	}
	return text, nil
}

// dictionary is that of the words counted, which it tells of.
func (r *run) dictionary(all *counter) (d *dictionary, place []int32, err error) {
	d, place = all.dictionary(r.minCount)
	r.in.Print("Read %dM words", d.tokens/1e6)
	r.in.Print("Number of words:  %d", d.nwords)
	if r.mode == supervised {
		r.in.Print("Number of labels: %d", d.labels())
	}
	if d.nwords == 0 || d.nwords == 1 && d.words[0] == endOfLine {
		return nil, nil, algo.ClientErrorf("train channel: none of %d different words occurs min_count, %d times, in %d tokens of text",
			len(all.entries)-d.labels(), r.minCount, d.tokens)
	}
	return d, place, nil
}

// progress prints how far learning is, every tenth of it or ten seconds.
func (r *run) progress(done float64, rate float32) {
	now := time.Now()
	if done > 0 && done-r.toldShare < 0.1 && now.Sub(r.told) < 10*time.Second {
		return
	}
	r.told, r.toldShare = now, done
	r.in.Print("##### Alpha: %.4f  Progress: %.2f%%  Million Words/sec: %.2f #####", rate, 100*done,
		done*r.words/1e6/max(now.Sub(r.began).Seconds(), 1e-3))
}

func (r *run) begin(words float64) {
	r.began = time.Now()
	r.told, r.words = r.began, words
}

func (r *run) end(done float64) {
	took := max(time.Since(r.began).Seconds(), 1e-3)
	r.in.Print("##### Alpha: %.4f  Progress: %.2f%%  Million Words/sec: %.2f #####", r.rate*(1-done), 100*done, done*r.words/1e6/took)
	r.in.Print("Training finished!")
	r.in.Print("Average throughput in Million words/sec: %.2f", done*r.words/1e6/took)
	r.in.Print("Total training time in seconds: %.2f", took)
}

func (r *run) header(d *dictionary) header {
	h := header{
		Dim: int32(r.dim), Window: int32(r.window), Epoch: int32(r.epochs), MinCount: int32(r.minCount), Negatives: int32(r.negatives),
		WordNgrams: int32(r.ngrams), Loss: lossNegative, Model: modelSkipgram, Buckets: int32(r.buckets),
		MinChar: int32(r.minChar), MaxChar: int32(r.maxChar), RateUpdate: 100, Threshold: r.threshold,
	}
	switch r.mode {
	case cbow:
		h.Model = modelCBOW
	case supervised:
		h.Loss, h.Model = lossSoftmax, modelSupervised
	}
	return h
}

// names is the files of an artifact in the order in which they are tried.
func names(artifacts fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(artifacts, ".")
	if err != nil {
		return nil, fmt.Errorf("list the model folder: %w", err)
	}
	order := []string{"model.bin", "vectors.bin", ".bin", ".ftz", "vectors.txt", ".vec"}
	var found []string
	for _, suffix := range order {
		for _, e := range entries {
			name := e.Name()
			if !e.IsDir() && name[0] != '.' && strings.HasSuffix(name, suffix) && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found, nil
}

// Load reads the model in the folder artifacts: model.bin, vectors.bin, any other
// .bin or .ftz of fastText, vectors.txt or another .vec; the first of them that
// there is.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	found, err := names(artifacts)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, algo.ClientErrorf("the model folder holds no model.bin, vectors.bin, .bin, .ftz, vectors.txt or .vec")
	}
	f, err := artifacts.Open(found[0])
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	read := func() (*Model, error) { return readModel(f, info.Size()) }
	if strings.HasSuffix(found[0], ".txt") || strings.HasSuffix(found[0], ".vec") {
		read = func() (*Model, error) { return readVectors(f) }
	}
	m, err := read()
	if err != nil {
		return nil, algo.ClientErrorf("%s: %w", found[0], err)
	}
	if b, err := fs.ReadFile(artifacts, "eval.json"); err == nil {
		m.evaluation = b
	}
	return m, nil
}
