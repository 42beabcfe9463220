// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// seen is what there is of a job outside its record.
type seen struct {
	taskgroup.Seen
	staged  bool // its working folder is ready
	shipped bool // its whole log is in the streams
}

// act is something to do.
type act string

const (
	wait     act = "wait" // for an event, or for again
	begin    act = "begin"
	stage    act = "stage"
	start    act = "start"
	note     act = "note" // write down that the containers run
	stop     act = "stop"
	conclude act = "conclude" // collect what is to be kept and settle the job
)

// step is the one thing to do next.
type step struct {
	do    act
	again time.Duration // look again after that long at the latest; 0 for no limit
	grace time.Duration // of stop
}

// decide is the whole policy of a processing job: what was asked and what is
// seen, in; the one thing to do next, out. It touches nothing.
func decide(j Job, s seen, now time.Time) step {
	stopping := j.Status == Stopping
	ran := !j.Doc.ProcessingStartTime.IsZero()
	switch s.Phase {
	case runtime.Missing:
		switch {
		case stopping || ran: // nothing was begun, or someone removed what was
			return step{do: conclude}
		case j.Private.Begun.IsZero():
			return step{do: begin}
		case !s.staged:
			return step{do: stage}
		}
		return step{do: start}
	case runtime.Pending:
		switch {
		case stopping:
			return step{do: stop, grace: taskgroup.Left(j.Private.StopAt, taskgroup.Grace, now)}
		case s.Broken, s.Partial && ran:
			return step{do: stop, grace: taskgroup.BrokenGrace}
		case s.Partial: // cut off between two starts
			return step{do: start}
		}
		return step{do: wait, again: taskgroup.PendingPoll} // its event wakes the loop, and may be missed
	case runtime.Running:
		switch {
		case stopping:
			return step{do: stop, grace: taskgroup.Left(j.Private.StopAt, taskgroup.Grace, now)}
		case !ran:
			return step{do: note}
		case s.Broken || s.Partial:
			return step{do: stop, grace: taskgroup.BrokenGrace}
		case now.Sub(s.Started) >= limit(j):
			// The service has no state of its own for this: the job fails, for
			// Stopped is what the user asks for.
			return step{do: stop, grace: taskgroup.Grace}
		}
		return step{do: wait, again: taskgroup.Left(s.Started, limit(j), now)}
	}
	switch { // Exited
	case !stopping && !ran && s.Partial && s.Failed == nil: // quicker than its neighbours were begun
		return step{do: start}
	case !stopping && !ran: // it was too quick for us to see it run
		return step{do: note}
	case !s.shipped:
		return step{do: wait}
	}
	return step{do: conclude}
}

// limit is the time that the containers may run.
func limit(j Job) time.Duration {
	if c := j.Doc.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		return time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	return defaultMaxRuntime * time.Second
}

// verdict is how a job ends.
type verdict struct {
	status string
	reason string // of Failed
}

// judge says how a job ends whose tasks have ended or were never begun.
func judge(j Job, s seen) verdict {
	// What ended by itself before it was told to stop has its own result.
	before := s.Phase == runtime.Exited && !s.Ended.IsZero() && s.Ended.Before(j.Private.StopAt)
	if j.Status == Stopping && (!before || s.Started.IsZero()) {
		return verdict{status: Stopped}
	}
	if s.Phase == runtime.Exited && s.Failed == nil && !s.Partial {
		return verdict{status: Completed}
	}
	if s.Phase == runtime.Exited && !s.Started.IsZero() && s.Ended.Sub(s.Started) >= limit(j) {
		return verdict{Failed, taskgroup.WithCode("ClientError: The processing job ran longer than the MaxRuntimeInSeconds provided", s.ExitCode)}
	}
	return verdict{Failed, taskgroup.Reason(s.Seen, "processing", "", len(hosts(j)), taskgroup.Room(cluster(j).InstanceType), value(cluster(j).VolumeSizeInGB))}
}
