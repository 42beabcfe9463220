// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"context"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// family is the name of processing jobs in ARNs and in the store.
const family = "processing-job"

// logGroup is the log group of all processing jobs, and the namespace of their
// metrics.
const logGroup = "/aws/sagemaker/ProcessingJobs"

// The states of a processing job.
const (
	InProgress = "InProgress"
	Completed  = "Completed"
	Failed     = "Failed"
	Stopping   = "Stopping"
	Stopped    = "Stopped"
)

// life has Stopping → Completed for a job that had done its work when it was
// told to stop.
var life = resource.Life{Start: InProgress, Moves: resource.Moves{
	InProgress: {Completed, Failed, Stopping},
	Stopping:   {Stopped, Completed, Failed},
}}

// Life is the table of a processing job's states, as docs/design/states.md
// draws it. What it holds must not be changed.
func Life() resource.Life { return life }

// private is what is remembered of a job besides what Describe tells.
type private struct {
	Begun  time.Time `json:",omitzero"` // when its data began to be staged; the names of its log streams end with it
	StopAt time.Time `json:",omitzero"` // when it was told to stop
}

// Job is one processing job.
type Job = resource.Record[sm.DescribeProcessingJobOutput, private]

func store(db resource.DB) *resource.Store[sm.DescribeProcessingJobOutput, private] {
	return resource.New(db, resource.Family[sm.DescribeProcessingJobOutput, private]{
		Noun: "ProcessingJob", Path: family, Life: life,
		NotFound: func(arn string) error {
			return fault.Validation("Could not find requested job with name: %s", arn[lastSlash(arn)+1:])
		},
		Exists: func(arn string) error {
			return fault.InUse("Job name must be unique within an AWS account and region, and a job with this name already exists (%s)", arn)
		},
		Refused: func(_, status string) error { return refused(status) },
	})
}

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}

func refused(status string) *fault.Fault {
	return fault.Validation("The request was rejected because the processing job is in status %s.", status)
}

func identity(j Job) string { return taskgroup.Identity(j.ARN, j.Created) }

// cluster is what the job asked for of machines.
func cluster(j Job) sm.ProcessingClusterConfig {
	if r := j.Doc.ProcessingResources; r != nil && r.ClusterConfig != nil {
		return *r.ClusterConfig
	}
	return sm.ProcessingClusterConfig{}
}

// hosts are the names of the job's hosts.
func hosts(j Job) []string { return taskgroup.Hosts(int(max(value(cluster(j).InstanceCount), 1))) }

func taskID(id, host string) runtime.ID { return runtime.ID("proc-" + id + "-" + host) }

func members(j Job) []taskgroup.Member {
	var out []taskgroup.Member
	for _, host := range hosts(j) {
		out = append(out, taskgroup.Member{ID: taskID(identity(j), host), Host: host})
	}
	return out
}

// streamOf is the log stream of a host.
func streamOf(j Job, host string) telemetry.Stream {
	return telemetry.Stream{Account: j.Key.Account, Region: j.Key.Region, Group: logGroup,
		Name: fmt.Sprintf("%s/%s-%d", j.Key.Name, host, j.Private.Begun.Unix())}
}

// askToStop is what StopProcessingJob writes.
func askToStop(j *Job) { j.Private.StopAt = time.Now().UTC() }

// mayDelete refuses to delete a job that has not ended, with the one code that
// the model declares for it.
func mayDelete(_ context.Context, j Job) error {
	if !life.Settled(j.Status) {
		return fault.InUse("%s", refused(j.Status).Message)
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// value is *n, or 0 for a missing number.
func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
