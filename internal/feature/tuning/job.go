// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// family and trialFamily are the names of tuning jobs and of their trials in the
// store; trainingFamily is that of training jobs.
const (
	family         = "hyper-parameter-tuning-job"
	trialFamily    = "hyper-parameter-tuning-trial"
	trainingFamily = "training-job"
)

// The states of a tuning job, and those of a training job that are not among
// them.
const (
	InProgress = "InProgress"
	Completed  = "Completed"
	Failed     = "Failed"
	Stopping   = "Stopping"
	Stopped    = "Stopped"
)

var life = resource.Life{Start: InProgress, Moves: resource.Moves{
	InProgress: {Completed, Failed, Stopping},
	Stopping:   {Stopped},
}}

// Life is the table of a tuning job's states, as docs/design/states.md draws it.
// What it holds must not be changed.
func Life() resource.Life { return life }

// private is what is remembered of a tuning job besides what Describe tells.
type private struct {
	Principal string // who created it: training jobs are made in that name
	Seed      uint64 // of the random numbers: RandomSeed, or drawn by the service
	// MinResource and MaxResource are Hyperband's, given or inferred.
	MinResource, MaxResource int `json:",omitempty"`
	// Ending is why no more trials are begun while some still run.
	Ending string `json:",omitempty"`
}

// Job is one tuning job.
type Job = resource.Record[sm.DescribeHyperParameterTuningJobOutput, private]

func store(db resource.DB) *resource.Store[sm.DescribeHyperParameterTuningJobOutput, private] {
	return resource.New(db, resource.Family[sm.DescribeHyperParameterTuningJobOutput, private]{
		Noun: "HyperParameterTuningJob", Path: family, Life: life,
		NotFound: func(arn string) error {
			return fault.NotFound("Amazon SageMaker can't find a tuning job called %s. Type another name.", nameOf(arn))
		},
		Exists: func(arn string) error {
			return fault.InUse("A hyperparameter tuning job with the name, %s, already exists. Choose a different name.", nameOf(arn))
		},
		Refused: func(arn, status string) error {
			return fault.Validation("The request was rejected because the hyperparameter tuning job %s is already in status %s.", nameOf(arn), status)
		},
	})
}

func nameOf(text string) string {
	a, err := arn.Parse(text)
	if err != nil {
		return text
	}
	return a.Name()
}

// trialDoc is a trial: what ListTrainingJobsForHyperParameterTuningJob tells of
// it, and what the search needs to know. Its name is that of its training job.
type trialDoc struct {
	TrialName        string
	TrialArn         string
	TrialStatus      string // of the training job
	CreationTime     wire.Time
	LastModifiedTime wire.Time

	Seq        int               // from 1
	Definition int               // index of the training job definition
	Values     map[string]string // the hyperparameters that were chosen
	// What is known once the training job has ended.
	Created, Started, Ended wire.Time // of the training job
	Failure                 string    `json:",omitempty"`
	Objective               *float64  `json:",omitempty"`
	Curve                   []float64 `json:",omitempty"` // the objective after each epoch
	// Order is 1 of the trial that ended first.
	Order int `json:",omitempty"`
}

type trial = resource.Record[trialDoc, resource.None]

func trialStore(db resource.DB) *resource.Store[trialDoc, resource.None] {
	return resource.New(db, resource.Plain[trialDoc]{Noun: "Trial", Path: trialFamily, Life: resource.Life{Start: InProgress, Moves: resource.Moves{
		InProgress: {Completed, Failed, Stopping, Stopped},
		Stopping:   {Completed, Failed, Stopped},
	}}})
}

// ended tells whether a trial's training job has ended.
func ended(t trial) bool { return t.Status != InProgress && t.Status != Stopping }

// identity is of one tuning job alone: one that was deleted and made again under
// its name has another.
func identity(j Job) string { return taskgroup.Identity(j.ARN, j.Created) }

// trialName is the name of a trial's training job: {tuning job}-{number}-{eight
// hexadecimal digits}. The digits follow from the identity of the tuning job.
func trialName(j Job, seq int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(identity(j)), uint64(seq)))
	return fmt.Sprintf("%s-%03d-%s", j.Key.Name, seq, hex.EncodeToString(sum[:4]))
}

// seedOf is the seed of a tuning job whose caller gave none.
func seedOf(j Job, now time.Time) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", j.ARN, now.UnixNano()))
	return binary.BigEndian.Uint64(sum[:])
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
