// SPDX-License-Identifier: Apache-2.0

package training

import (
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// seen is what there is of a job outside its record.
type seen struct {
	taskgroup.Seen
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
	again    act = "begin again" // keep the checkpoints and begin another attempt
	conclude act = "conclude"    // collect what is to be kept and settle the job
)

// step is the one thing to do next: enter a secondary state, or act.
type step struct {
	enter   string
	overdue string // enter Stopping because of a time limit: how the job will end
	do      act
	again   time.Duration // look again after that long at the latest; 0 for no limit
	grace   time.Duration // of stop
}

// decide is the whole policy of a training job: what was asked and what is
// seen, in; the one thing to do next, out. It touches nothing.
func decide(j Job, s seen, rules Spot, now time.Time) step {
	stopping := j.Status == Stopping
	at := j.Doc.SecondaryStatus
	ran := !entered(j, training).IsZero()
	if !stopping && waitOver(j, now) && s.Phase != runtime.Exited {
		return step{enter: Stopping, overdue: maxWaitExceeded}
	}
	switch s.Phase {
	case runtime.Missing:
		switch {
		case stopping:
			return step{do: conclude}
		case at == interrupted || at == restarting:
			if rest := rules.pause(j, now); rest > 0 {
				return step{do: wait, again: rest}
			}
			return step{enter: starting}
		case ran && mayRetry(j): // someone removed what was begun
			return step{do: again}
		case ran:
			return step{do: conclude}
		case at == starting:
			return step{enter: downloading}
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
			return step{enter: training}
		case s.Broken || s.Partial:
			return step{do: stop, grace: taskgroup.BrokenGrace}
		case !j.Private.Interrupted.IsZero():
			return step{do: stop, grace: taskgroup.Left(j.Private.Interrupted, taskgroup.Grace, now)}
		case now.Sub(s.Started)+j.Private.Trained >= limit(j):
			return step{enter: Stopping, overdue: maxRuntimeExceeded}
		}
		rest := taskgroup.Left(s.Started, limit(j)-j.Private.Trained, now)
		if due, ok := rules.due(j, s.Started); ok {
			if !now.Before(due) {
				return step{enter: interrupted}
			}
			rest = min(rest, due.Sub(now))
		}
		if end, ok := waitEnd(j); ok {
			rest = min(rest, end.Sub(now))
		}
		return step{do: wait, again: rest}
	}
	switch { // Exited
	case s.Serving: // what fed the hosts ends now, and says whether they had all
		return step{do: stop, grace: taskgroup.BrokenGrace}
	case !stopping && !ran && s.Partial && s.Failed == nil: // quicker than its neighbours were begun
		return step{do: start}
	case !stopping && !ran: // it was too quick for us to see it run
		return step{enter: training}
	case !s.shipped:
		return step{do: wait}
	case !stopping && anew(j, s):
		return step{do: again}
	case !stopping && at != uploading:
		return step{enter: uploading}
	}
	return step{do: conclude}
}

// anew says that a job whose tasks have ended is to begin another attempt: it
// was interrupted, or failed by no fault of its own and may be retried.
func anew(j Job, s seen) bool {
	if !j.Private.Interrupted.IsZero() {
		return !s.endedBefore(j.Private.Interrupted)
	}
	lost := s.Failed != nil && taskgroup.Lost(s.State) || s.Failed == nil && s.Partial
	return lost && mayRetry(j)
}

// mayRetry tells whether RetryStrategy allows the job another attempt.
func mayRetry(j Job) bool {
	r := j.Doc.RetryStrategy
	return r != nil && int64(j.Private.Retries) < value(r.MaximumRetryAttempts)
}

// endedBefore says that the tasks had done their work at a time: what was asked
// of them after it did not end them.
func (s seen) endedBefore(t time.Time) bool {
	return s.Phase == runtime.Exited && !s.Ended.IsZero() && s.Ended.Before(t)
}

// waitEnd is when a job under managed spot training has waited and run for as
// long as it may.
func waitEnd(j Job) (time.Time, bool) {
	c := j.Doc.StoppingCondition
	if c == nil || c.MaxWaitTimeInSeconds == nil || !isTrue(j.Doc.EnableManagedSpotTraining) {
		return time.Time{}, false
	}
	return j.Created.Add(time.Duration(*c.MaxWaitTimeInSeconds) * time.Second), true
}

func waitOver(j Job, now time.Time) bool {
	end, ok := waitEnd(j)
	return ok && !now.Before(end)
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

// judge says how a job ends whose tasks have ended or were never begun. failure
// is the text of /opt/ml/output/failure of the host that failed; instance names
// its type and memory.
func judge(j Job, s seen, failure, instance string) verdict {
	// What ended by itself before it was told to stop has its own result.
	if j.Status == Stopping && (!s.endedBefore(j.Private.StopAt) || s.Started.IsZero()) {
		if j.Private.Overdue != "" {
			return verdict{status: Stopped, secondary: j.Private.Overdue}
		}
		return verdict{status: Stopped, secondary: Stopped}
	}
	if s.Phase == runtime.Exited && s.Failed == nil && !s.Partial {
		return verdict{status: Completed, secondary: Completed}
	}
	return verdict{status: Failed, secondary: Failed, reason: taskgroup.Reason(s.Seen, "training", failure, len(machines(j)), instance, volume(j))}
}

// volume is the disk that the job asked for, in GB.
func volume(j Job) int64 {
	if j.Doc.ResourceConfig == nil {
		return 0
	}
	return value(j.Doc.ResourceConfig.VolumeSizeInGB)
}
