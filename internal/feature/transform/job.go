// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// family is the name of transform jobs in ARNs and in the store.
const family = "transform-job"

// logGroup is the log group of all transform jobs, and the namespace of their
// metrics.
const logGroup = "/aws/sagemaker/TransformJobs"

// The states of a transform job.
const (
	InProgress = "InProgress"
	Completed  = "Completed"
	Failed     = "Failed"
	Stopping   = "Stopping"
	Stopped    = "Stopped"
)

// life has Stopping → Completed and Failed for a job that had done its work when
// it was told to stop.
var life = resource.Life{Start: InProgress, Moves: resource.Moves{
	InProgress: {Completed, Failed, Stopping},
	Stopping:   {Stopped, Completed, Failed},
}}

// Life is the table of a transform job's states, as docs/design/states.md draws
// it. What it holds must not be changed.
func Life() resource.Life { return life }

// private is what is remembered of a job besides what Describe tells.
type private struct {
	Model  serving.Model // as it was when the job was made
	Begun  time.Time     `json:",omitzero"` // when the job was first looked at; the names of its log streams end with it
	StopAt time.Time     `json:",omitzero"` // when it was told to stop
}

// Job is one transform job.
type Job = resource.Record[sm.DescribeTransformJobOutput, private]

func store(db resource.DB) *resource.Store[sm.DescribeTransformJobOutput, private] {
	return resource.New(db, resource.Family[sm.DescribeTransformJobOutput, private]{
		Noun: "TransformJob", Path: family, Life: life,
		NotFound: func(arn string) error {
			return fault.Validation("Could not find requested job with name: %s", arn[strings.LastIndexByte(arn, '/')+1:])
		},
		Exists: func(arn string) error {
			return fault.InUse("Job name must be unique within an AWS account and region, and a job with this name already exists (%s)", arn)
		},
		Refused: func(_, status string) error {
			return fault.Validation("The request was rejected because the transform job is in status %s.", status)
		},
	})
}

func identity(j Job) string { return taskgroup.Identity(j.ARN, j.Created) }

// machine is one instance of a job.
type machine struct {
	Number int    // from 0
	Name   string // i-…, as in the names of log streams
}

// machines are the job's instances.
func machines(j Job) []machine {
	out := make([]machine, max(value(j.Doc.TransformResources.InstanceCount), 1))
	for i := range out {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", identity(j), i))
		out[i] = machine{i, fmt.Sprintf("i-0%x", sum[:8])}
	}
	return out
}

// taskID names the task of one container.
func taskID(id string, m machine, container int) runtime.ID {
	return runtime.ID(fmt.Sprintf("tf-%s-%d-c%d", id, m.Number, container))
}

// members are the tasks of a job. Host names the container's log stream.
func members(j Job) []taskgroup.Member {
	var out []taskgroup.Member
	for _, m := range machines(j) {
		for c := range j.Private.Model.Containers {
			out = append(out, taskgroup.Member{ID: taskID(identity(j), m, c), Host: hostOf(j, m, c)})
		}
	}
	return out
}

// hostOf is the instance's name, in a pipeline with that of the container.
func hostOf(j Job, m machine, container int) string {
	if len(j.Private.Model.Containers) == 1 {
		return m.Name
	}
	return m.Name + "/" + j.Private.Model.Containers[container].Hostname
}

// streamAt is a log stream of an instance; rest is "" or begins with a slash.
func streamAt(j Job, m machine, rest string) telemetry.Stream {
	return telemetry.Stream{Account: j.Key.Account, Region: j.Key.Region, Group: logGroup,
		Name: fmt.Sprintf("%s/%s-%d%s", j.Key.Name, m.Name, j.Private.Begun.Unix(), rest)}
}

// containerStream is the log stream of a container.
func containerStream(j Job, m machine, container int) telemetry.Stream {
	if len(j.Private.Model.Containers) == 1 {
		return streamAt(j, m, "")
	}
	return streamAt(j, m, "/"+j.Private.Model.Containers[container].Hostname)
}

// A working folder is <Dir>/<identity>:
//
//	tasks.json       see taskgroup.Folders
//	plan.json        which instance has which objects; written last, from then on the folder is complete
//	c<n>/            the data of the model's n-th container, for all instances
//	m<n>/c<n>/       what that container of an instance sees as /opt/ml
//	m<n>/out/        outputs that are not whole yet
//	m<n>/done.jsonl  the journal: objects that are done
//	m<n>/result.json written when the instance has done all of its objects
const (
	planName    = "plan.json"
	outName     = "out"
	journalName = "done.jsonl"
	resultName  = "result.json"
)

func (s *Service) machineDir(j Job, m machine) string {
	return filepath.Join(s.folders.Path(identity(j)), fmt.Sprintf("m%d", m.Number))
}

// askToStop is what StopTransformJob writes.
func askToStop(j *Job) { j.Private.StopAt = time.Now().UTC() }

// value is *n, or 0 for a missing number.
func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
