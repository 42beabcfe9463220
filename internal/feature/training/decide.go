// SPDX-License-Identifier: Apache-2.0

package training

import (
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// grace is how long a container may take to end after SIGTERM; AWS gives 120 s.
const grace = 120 * time.Second

// pendingPoll is how soon a task that is about to run is looked at again.
const pendingPoll = 50 * time.Millisecond

// seen is what there is of a job outside its record.
type seen struct {
	task    runtime.State
	staged  bool // its working folder is ready
	shipped bool // its whole log is in the stream
}

// act is something to do outside the record.
type act string

const (
	wait     act = "wait" // for an event, or for again
	stage    act = "stage"
	start    act = "start"
	stop     act = "stop"
	conclude act = "conclude" // collect what is to be kept and settle the job
)

// step is the one thing to do next: enter a secondary state, or act.
type step struct {
	enter   string
	overdue bool // enter Stopping because of the time limit
	do      act
	again   time.Duration // look again after that long at the latest; 0 for no limit
	grace   time.Duration // of stop
}

// decide is the whole policy of a training job: what was asked and what is
// seen, in; the one thing to do next, out. It touches nothing.
func decide(j Job, s seen, now time.Time) step {
	stopping := j.Status == Stopping
	at := j.Doc.SecondaryStatus
	ran := !entered(j, training).IsZero()
	switch s.task.Phase {
	case runtime.Missing:
		switch {
		case stopping || ran: // nothing was begun, or someone removed what was
			return step{do: conclude}
		case at == starting:
			return step{enter: downloading}
		case !s.staged:
			return step{do: stage}
		}
		return step{do: start}
	case runtime.Pending:
		if stopping {
			return step{do: stop, grace: left(j.Private.StopAt, grace, now)}
		}
		return step{do: wait, again: pendingPoll} // its event wakes the loop, and may be missed
	case runtime.Running:
		switch {
		case stopping:
			return step{do: stop, grace: left(j.Private.StopAt, grace, now)}
		case !ran:
			return step{enter: training}
		case now.Sub(s.task.Started) >= limit(j):
			return step{enter: Stopping, overdue: true}
		}
		return step{do: wait, again: left(s.task.Started, limit(j), now)}
	}
	switch { // Exited
	case !stopping && !ran: // it was too quick for us to see it run
		return step{enter: training}
	case !s.shipped:
		return step{do: wait}
	case !stopping && at != uploading:
		return step{enter: uploading}
	}
	return step{do: conclude}
}

// left is what is left at now of a time that began at from.
func left(from time.Time, d time.Duration, now time.Time) time.Duration {
	return max(0, d-now.Sub(from))
}

// limit is the time that the container may run.
func limit(j Job) time.Duration {
	if c := j.Doc.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		return time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	return defaultMaxRuntime
}

// verdict is how a job ends.
type verdict struct {
	status, secondary string
	reason            string // of Failed
}

func (v verdict) failed() bool { return v.status == Failed }

// judge says how a job ends whose task has ended or was never begun. failure
// is the text of /opt/ml/output/failure; instance names its type and memory.
func judge(j Job, task runtime.State, failure, instance string) verdict {
	// What ended by itself before it was told to stop has its own result.
	byItself := task.Phase == runtime.Exited && !task.Ended.IsZero() && task.Ended.Before(j.Private.StopAt)
	if j.Status == Stopping && (!byItself || task.Started.IsZero()) {
		if j.Private.Overdue {
			return verdict{status: Stopped, secondary: maxRuntimeExceeded}
		}
		return verdict{status: Stopped, secondary: Stopped}
	}
	if task.Phase == runtime.Exited && task.ExitCode == 0 && task.Reason == "" {
		return verdict{status: Completed, secondary: Completed}
	}
	return verdict{status: Failed, secondary: Failed, reason: failureReason(task, failure, instance)}
}

// failureReason is the service's account of a task that failed.
func failureReason(task runtime.State, failure, instance string) string {
	switch {
	case task.Phase == runtime.Missing:
		return "InternalServerError: The training container was removed while it ran."
	case task.Reason == reasonOOM:
		return withCode("AlgorithmError: Please use an instance type with more memory, or reduce the size of training data "+
			"processed on an instance. The training needed more memory than "+instance+" has", task.ExitCode)
	case failure != "":
		for _, head := range []string{"AlgorithmError:", "ClientError:", "InternalServerError:"} {
			if strings.HasPrefix(failure, head) {
				return withCode(failure, task.ExitCode)
			}
		}
		return withCode("AlgorithmError: "+failure, task.ExitCode)
	case task.Reason != "" && task.Started.IsZero(): // it could not even begin
		return withCode("AlgorithmError: The training container could not be started: "+task.Reason, task.ExitCode)
	case task.Reason != "": // the machine's fault, not the container's
		return "InternalServerError: The training container was lost: " + task.Reason
	}
	return withCode("AlgorithmError: ", task.ExitCode)
}

// reasonOOM is what a runtime says of a task that exceeded its memory.
const reasonOOM = "OOMKilled"

// withCode adds the exit code. FailureReason holds 1,024 characters in the
// service; the code must not be what is cut.
func withCode(text string, code int) string {
	tail := fmt.Sprintf(", exit code: %d", code)
	runes := []rune(text)
	return string(runes[:min(len(runes), maxReason-len(tail))]) + tail
}

// maxReason is the length of FailureReason in the service's model.
const maxReason = 1024
