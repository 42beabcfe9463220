// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// seen is what there is of a job outside its record.
type seen struct {
	taskgroup.Seen
	planned  bool   // its working folder is ready
	lost     bool   // a container has ended
	finished bool   // all instances have done their objects
	failure  string // of them: why the job fails; "" when all was good
	shipped  bool   // the whole log is in the streams
}

// act is something to do.
type act string

const (
	wait     act = "wait" // for an event, or for again
	begin    act = "begin"
	plan     act = "plan"
	start    act = "start"
	note     act = "note" // write down that the containers run
	work     act = "work" // see to it that the agents work, and wait for them
	stop     act = "stop"
	conclude act = "conclude" // settle the job
)

// step is the one thing to do next.
type step struct {
	do    act
	again time.Duration // look again after that long at the latest; 0 for no limit
	grace time.Duration // of stop
}

// servingGrace is how long a serving container may take to end after SIGTERM.
// Source: "How Containers Serve Requests".
const servingGrace = 30 * time.Second

// decide is the whole policy of a transform job: what was asked and what is
// seen, in; the one thing to do next, out. It touches nothing. A job has no time
// limit.
func decide(j Job, s seen, now time.Time) step {
	stopping := j.Status == Stopping
	ran := !j.Doc.TransformStartTime.IsZero()
	switch s.Phase {
	case runtime.Missing:
		switch {
		case stopping || ran: // nothing was begun, or someone removed what was
			return step{do: conclude}
		case j.Private.Begun.IsZero():
			return step{do: begin}
		case !s.planned:
			return step{do: plan}
		}
		return step{do: start}
	case runtime.Pending:
		switch {
		case stopping:
			return step{do: stop, grace: taskgroup.Left(j.Private.StopAt, servingGrace, now)}
		case s.lost, s.Partial && ran:
			return step{do: stop, grace: taskgroup.BrokenGrace}
		case s.Partial: // cut off between two starts
			return step{do: start}
		}
		return step{do: wait, again: taskgroup.PendingPoll} // its event wakes the loop, and may be missed
	case runtime.Running:
		switch {
		case s.finished:
			return step{do: stop, grace: servingGrace}
		case stopping:
			return step{do: stop, grace: taskgroup.Left(j.Private.StopAt, servingGrace, now)}
		case s.lost || s.Partial:
			return step{do: stop, grace: taskgroup.BrokenGrace}
		case !ran:
			return step{do: note}
		}
		return step{do: work}
	}
	switch { // Exited
	case !stopping && !ran: // it was too quick for us to see it run
		return step{do: note}
	case !s.shipped:
		return step{do: wait}
	}
	return step{do: conclude}
}

// verdict is how a job ends.
type verdict struct {
	status string
	reason string // of Failed
}

// judge says how a job ends whose tasks have ended or were never begun.
func judge(j Job, s seen) verdict {
	switch {
	case s.finished && s.failure != "":
		return verdict{Failed, s.failure}
	case s.finished:
		return verdict{status: Completed}
	case j.Status == Stopping:
		return verdict{status: Stopped}
	case s.Phase == runtime.Exited && s.Failed == nil:
		return verdict{Failed, taskgroup.WithCode("AlgorithmError: The transform container ended before all objects were transformed", s.ExitCode)}
	}
	return verdict{Failed, taskgroup.Reason(s.Seen, "transform", "", len(machines(j)), taskgroup.Room(j.Doc.TransformResources.InstanceType), 0)}
}

// why is a job's reason for what befell an object.
func (k kind) why() string { return fmt.Sprintf("%s: See job logs for more information", k) }
