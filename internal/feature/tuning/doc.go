// SPDX-License-Identifier: Apache-2.0

// Package tuning runs hyperparameter tuning jobs. A tuning job starts training
// jobs, its trials, waits for what they report of the objective metric, and
// chooses the hyperparameters of the next ones by it.
//
// A trial is planned, then begun: its hyperparameters are stored before the
// training job is created, and the training job's name follows from the tuning
// job's identity and the trial's number. So a server that is killed in between
// creates the same training job again and finds that it is there. What strategies
// there are, and how they choose, is package tune's.
//
// Training jobs are made, looked at and stopped by op.Call, as a user would, in
// the name of who created the tuning job. That a training job is a trial is said
// beside the call (op.WithOwner); its record has the tuning job for an owner, by
// which its end wakes the tuning job.
//
// Source: API_CreateHyperParameterTuningJob and the developer guide's chapter on
// automatic model tuning.
package tuning
