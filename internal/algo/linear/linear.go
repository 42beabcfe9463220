// SPDX-License-Identifier: Apache-2.0

// Package linear is SageMaker's Linear Learner: linear and logistic regression,
// and classification into several classes, by stochastic gradient descent. It
// learns many models side by side, with different learning rates and penalties,
// and keeps the best.
//
// Source: "How linear learner works" in the SageMaker developer guide. What the
// page leaves open is told where it is decided.
package linear

import (
	"context"
	"errors"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Algorithm is the Linear Learner.
type Algorithm struct{}

var _ algo.Algorithm = Algorithm{}

// New gives the algorithm.
func New() algo.Algorithm { return Algorithm{} }

// Train learns from the channel train and measures on validation and test. The
// same data gives the same model, byte for byte, with any number of threads.
// When ctx is cancelled it gives the best model so far, once there is one.
//
// Of several hosts each works on its own part of each mini-batch; the sums of
// gradients are those of one host with all data up to rounding.
func (Algorithm) Train(ctx context.Context, in algo.Input) (algo.Model, error) {
	report := firstparty.Begin(in, "Linear Learner")
	c, err := configFrom(in.Params)
	if err != nil {
		return nil, err
	}
	if len(in.Hosts) > 1 && in.Peers.Size() != len(in.Hosts) {
		return nil, fmt.Errorf("train on %d hosts: they are not connected", len(in.Hosts))
	}
	w := newWork(ctx, in, c, report)
	defer w.crew.Close()
	if err := w.loadAll(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil && in.Peers.Size() == 1 {
		return nil, ctx.Err()
	}
	if err := w.normalize(); err != nil {
		return nil, err
	}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	if err := w.learn(); err != nil {
		return nil, err
	}
	return w.finish()
}

// errDiverged is of a job none of whose models has a finite loss.
var errDiverged = errors.New("training diverged: the loss of no model is a finite number. Lower learning_rate, or set normalize_data to true")
