// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// family is the name of training jobs in ARNs and in the store.
const family = "training-job"

// The states of a training job.
const (
	InProgress = "InProgress"
	Completed  = "Completed"
	Failed     = "Failed"
	Stopping   = "Stopping"
	Stopped    = "Stopped"
)

// The secondary states that have no primary of the same name.
const (
	starting           = "Starting"
	downloading        = "Downloading"
	training           = "Training"
	uploading          = "Uploading"
	interrupted        = "Interrupted"
	restarting         = "Restarting"
	maxRuntimeExceeded = "MaxRuntimeExceeded"
	maxWaitExceeded    = "MaxWaitTimeExceeded"
)

// life has Stopping → Completed for a job that had done its work when it was
// told to stop.
var life = resource.Life{Start: InProgress, Moves: resource.Moves{
	InProgress: {Completed, Failed, Stopping},
	Stopping:   {Stopped, Completed, Failed},
}}

// private is what is remembered of a job besides what Describe tells.
type private struct {
	Stream  int64     `json:",omitempty"` // Unix seconds that end the names of its log streams, once it has any
	StopAt  time.Time `json:",omitzero"`  // when it was told to stop
	Overdue string    `json:",omitempty"` // it was told because of a time limit: the secondary state it ends with

	// An attempt is a run from Starting on. The first is 0; an interruption and
	// a retry begin another.
	Attempt     int              `json:",omitempty"`
	Retries     int              `json:",omitempty"` // of the attempts, how many were begun by RetryStrategy
	Interrupted time.Time        `json:",omitzero"`  // when this attempt was told to give its machine up
	Bases       map[string]int64 `json:",omitempty"` // by host: how much of its log stream earlier attempts have written
	Ran         time.Duration    `json:",omitempty"` // how long earlier attempts lasted, from Downloading on
	Trained     time.Duration    `json:",omitempty"` // of that, how long containers ran

	Pool string `json:",omitempty"` // the warm pool whose cache it has

	// Curve is what a trial of a tuning job has told of its objective: until the
	// job has ended, in earlier attempts.
	Curve []float64 `json:",omitempty"`
}

// Job is one training job.
type Job = resource.Record[sm.DescribeTrainingJobOutput, private]

func store(db resource.DB) *resource.Store[sm.DescribeTrainingJobOutput, private] {
	return resource.New(db, resource.Family[sm.DescribeTrainingJobOutput, private]{
		Noun: "TrainingJob", Path: family, Life: life,
		NotFound: func(string) error { return fault.Validation("Requested resource not found.") },
		Exists: func(arn string) error {
			return fault.InUse("Training job names must be unique within an AWS account and region, "+
				"and a training job with this name already exists (%s)", arn)
		},
		Refused: func(_, status string) error { return refused(status) },
	})
}

func refused(status string) *fault.Fault {
	return fault.Validation("The request was rejected because the training job is in status %s.", status)
}

func identity(j Job) string { return taskgroup.Identity(j.ARN, j.Created) }

// work is the job's working folder.
func (s *Service) work(id string) string { return s.folders.Path(id) }

// enter notes the secondary state in the document: the one before ends, and
// one with a terminal state ends as it begins.
func enter(j *Job, now time.Time, secondary, message string) {
	at := wire.At(now)
	all := j.Doc.SecondaryStatusTransitions
	if n := len(all); n > 0 {
		all[n-1].EndTime = at
	}
	t := sm.SecondaryStatusTransition{Status: secondary, StartTime: at, StatusMessage: message}
	if life.Settled(j.Status) {
		t.EndTime = at
	}
	j.Doc.SecondaryStatusTransitions = append(all, t)
	j.Doc.SecondaryStatus = secondary
}

// entered is when the present attempt entered a secondary state, zero if it has
// not.
func entered(j Job, secondary string) time.Time {
	all := j.Doc.SecondaryStatusTransitions
	for i := len(all) - 1; i >= 0; i-- {
		switch all[i].Status {
		case secondary:
			return all[i].StartTime.Time
		case starting: // where the attempt begins
			return time.Time{}
		}
	}
	return time.Time{}
}

// messages are what the service shows beside the secondary states.
var messages = map[string]string{
	starting:           "Starting the training job",
	downloading:        "Downloading input data",
	training:           "Training image download completed. Training in progress.",
	uploading:          "Uploading generated training model",
	Stopping:           "Stopping the training job",
	Completed:          "Training job completed",
	Failed:             "Training job failed",
	Stopped:            "Training job stopped",
	interrupted:        "Training job interrupted: the spot capacity was taken away",
	restarting:         "Restarting the training job after an internal error",
	maxRuntimeExceeded: "Training job runtime exceeded MaxRuntimeInSeconds provided",
	maxWaitExceeded:    "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}

// askToStop is what StopTrainingJob writes.
func askToStop(j *Job) {
	now := time.Now()
	j.Private.StopAt = now.UTC()
	enter(j, now, Stopping, messages[Stopping])
}

// mayDelete refuses to delete a job that has not ended, with the one code that
// the model declares for it.
func mayDelete(_ context.Context, j Job) error {
	if !life.Settled(j.Status) {
		return fault.InUse("%s", refused(j.Status).Message)
	}
	if waits(j) {
		return fault.InUse("The request was rejected because the training job %s has a warm pool in status %s.", j.Key.Name, j.Doc.WarmPoolStatus.Status)
	}
	return nil
}

// listing has the filters that training jobs have and other families have not.
var listing = resource.Listing[sm.ListTrainingJobsInput, sm.DescribeTrainingJobOutput, private, sm.TrainingJobSummary]{
	Match: func(in *sm.ListTrainingJobsInput) func(Job) bool {
		if in.WarmPoolStatusEquals == "" && in.TrainingPlanArnEquals == "" {
			return nil
		}
		return func(j Job) bool {
			pool, plan := "", ""
			if j.Doc.WarmPoolStatus != nil {
				pool = j.Doc.WarmPoolStatus.Status
			}
			if j.Doc.ResourceConfig != nil {
				plan = j.Doc.ResourceConfig.TrainingPlanArn
			}
			return (in.WarmPoolStatusEquals == "" || in.WarmPoolStatusEquals == pool) &&
				(in.TrainingPlanArnEquals == "" || in.TrainingPlanArnEquals == plan)
		}
	},
	Summary: func(j Job, sum *sm.TrainingJobSummary) {
		if j.Doc.ResourceConfig != nil {
			sum.TrainingPlanArn = j.Doc.ResourceConfig.TrainingPlanArn
		}
	},
}
