// SPDX-License-Identifier: Apache-2.0

// Package xgboost is gradient-boosted trees after XGBoost: training by
// histograms, prediction, and the model format of XGBoost itself, so that its
// models are served here and ours by it.
//
// Source: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD
// 2016. The behaviour followed is that of XGBoost 3.2 in SageMaker's container.
package xgboost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// Algorithm is SageMaker's XGBoost in algorithm mode.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train learns from the channel train and shows the metrics on it and on
// validation each round. The same seed gives the same model, byte for byte,
// with any number of threads. When ctx is cancelled it gives the model so far
// if save_model_on_termination is true, and ctx's error otherwise.
//
// Of several hosts each learns from its own part of the data; all get the model
// that one host with all of it would get, as boost tells.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	in.Print("Running XGBoost Sagemaker in algorithm mode")
	c, err := configFrom(in.Params)
	if err != nil {
		return nil, err
	}
	if c.gpu {
		in.Log.Warn("tree_method gpu_hist: Sagebrush trains on the CPU; trees are grown as by hist")
	}
	if c.dask {
		if err := fitsDask(in); err != nil {
			return nil, err
		}
		in.Log.Warn("use_dask_gpu_training: Sagebrush trains on the CPU, by itself")
	}
	c.memory = spill.New()
	defer c.memory.Close()
	several := in.Peers.Size() > 1
	if len(in.Hosts) > 1 && !several {
		return nil, fmt.Errorf("train on %d hosts: they are not connected", len(in.Hosts))
	}
	fits, err := labelsOf(c)
	if err != nil {
		return nil, err
	}
	train, valid, err := loadChannels(in, c, fits, several)
	if err != nil {
		return nil, err
	}
	in.Print("Determined 0 GPU(s) available on the instance.")
	if several {
		in.Print("Distributed node training with %d hosts: ['%s']", len(in.Hosts), strings.Join(in.Hosts, "', '"))
		if !in.Channels["train"].Sharded && !c.dask && in.Peers.Rank() == 0 {
			in.Log.Warn("The train channel is replicated: each host learns from all of its rows, which count as often as there are hosts. " +
				"Use S3DataDistributionType ShardedByS3Key to divide them")
		}
	} else {
		in.Print("Single node training.")
	}
	in.Print("Train matrix has %d rows and %d columns", train.Rows, train.Cols)
	if valid != nil {
		in.Print("Validation matrix has %d rows", valid.Rows)
	}
	var from *Model
	if ch := in.Channels["model"]; ch != nil {
		if from, err = givenModel(ch); err != nil {
			return nil, err
		}
		in.Log.Info(fmt.Sprintf("Training goes on with a model of %d rounds", from.NumRounds()))
	}
	if c.folds > 0 {
		switch {
		case several:
			return nil, algo.ClientErrorf("_kfold does not support distributed training: use one instance")
		case from != nil:
			return nil, algo.ClientErrorf("_kfold begins anew: leave the model channel or _kfold out")
		}
		if valid != nil {
			in.Log.Info("Read both train and validation data into one DMatrix")
		}
		all, err := joined(train, valid)
		if err != nil {
			return nil, err
		}
		return crossValidate(ctx, in, c, all)
	}
	m, err := trainOn(ctx, in, c, from, train, valid)
	if err != nil {
		return nil, err
	}
	if in.Peers.Rank() == 0 {
		if err := m.saveImportance(in.Output); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// trainOn trains on matrices, from the last checkpoint on where there is one, and
// keeps checkpoints where the job does. from is nil or a model to go on with.
func trainOn(ctx context.Context, in algo.Input, c *config, from *Model, train, valid *algo.Matrix) (*Model, error) {
	if c.update {
		return boostFrom(ctx, c, in.Peers, from, train, valid, in.Threads, in.Print)
	}
	whole := c.rounds
	if from != nil {
		whole += from.NumRounds()
	}
	last, rounds, err := resume(ctx, in, in.Checkpoints)
	if err != nil {
		return nil, err
	}
	run := *c
	if last != nil {
		from, run.rounds = last, max(0, whole-rounds)
	}
	if dir := in.Checkpoints; dir != "" {
		run.keep = func(m *Model, round int) error {
			if round == whole-1 {
				return keepCheckpoint(dir, m, round, 0) // the platform now takes what is there
			}
			return keepCheckpoint(dir, m, round, algo.CheckpointLasts)
		}
	}
	return boostFrom(ctx, &run, in.Peers, from, train, valid, in.Threads, in.Print)
}

// labelsOf gives what refuses labels that do not suit the objective, or a metric
// that is shown: boost checks them too, but no longer knows where they stand.
func labelsOf(c *config) (func(y float32) error, error) {
	o, err := newObjective(c)
	if err != nil {
		return nil, err
	}
	metrics, err := metricsOf(c, o)
	if err != nil {
		return nil, err
	}
	return func(y float32) error {
		if !o.allows(y) {
			return algo.ClientErrorf("%s", o.demand)
		}
		for i := range metrics {
			if m := &metrics[i]; m.fits != nil && !m.fits(y) {
				return algo.ClientErrorf("Metric '%s': %s", m.name, m.demand)
			}
		}
		return nil
	}, nil
}

// ensembleVar says, unless it is other than "true", that the models of a folder
// predict together.
const ensembleVar = "SAGEMAKER_INFERENCE_ENSEMBLE"

// Load reads the models in the folder artifacts. Several make an Ensemble, unless
// the environment says otherwise by SAGEMAKER_INFERENCE_ENSEMBLE; then the first
// one, by name, is taken. Names that begin with a dot are passed over, and so are
// files that are no models and are not called as the artifact is.
func (Algorithm) Load(artifacts fs.FS) (algo.Model, error) {
	entries, err := fs.ReadDir(artifacts, ".")
	if err != nil {
		return nil, fmt.Errorf("list the model folder: %w", err)
	}
	all, set := os.LookupEnv(ensembleVar)
	one := set && all != "true"
	var models []*Model
	var failed []error
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		b, err := fs.ReadFile(artifacts, name)
		if err != nil {
			return nil, fmt.Errorf("read the model: %w", err)
		}
		m, err := ReadModel(b)
		switch {
		case err == nil:
			models = append(models, m)
		case strings.HasPrefix(name, FileName):
			return nil, fmt.Errorf("%s: %w", name, err)
		default:
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
		if one && len(models) > 0 {
			break
		}
	}
	switch {
	case len(models) > 1:
		return together(models)
	case len(models) == 1:
		return models[0], nil
	case len(failed) == 0:
		return nil, algo.ClientErrorf("the model folder holds no model file")
	}
	return nil, errors.Join(failed...)
}
