// SPDX-License-Identifier: Apache-2.0

package training

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var (
	epoch   = time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	missing = runtime.State{Phase: runtime.Missing}
	pending = runtime.State{Phase: runtime.Pending}
	running = runtime.State{Phase: runtime.Running, Started: epoch}
)

func exited(code int) runtime.State {
	return runtime.State{Phase: runtime.Exited, ExitCode: code, Started: epoch, Ended: epoch.Add(time.Minute)}
}

func isStaged(s *seen)  { s.staged = true }
func isShipped(s *seen) { s.shipped = true }

// of is what is seen of a job whose hosts' tasks, the first of which is given
// first, are in these states.
func of(first runtime.State, more ...any) seen {
	states := map[runtime.ID]runtime.State{"t1": first}
	all := []taskgroup.Member{{ID: "t1", Host: "algo-1"}}
	var out seen
	var set []func(*seen)
	for _, m := range more {
		switch m := m.(type) {
		case runtime.State:
			id := runtime.ID(fmt.Sprint("t", len(all)+1))
			states[id] = m
			all = append(all, taskgroup.Member{ID: id, Host: fmt.Sprint("algo-", len(all)+1)})
		case func(*seen):
			set = append(set, m)
		}
	}
	out.Seen = taskgroup.Sum(all, states)
	for _, f := range set {
		f(&out)
	}
	return out
}

// job is one that has come through the secondary states, the last of which it
// is in. It may run for an hour, and was told to stop, if so, at 90 s.
func job(status string, secondaries ...string) Job {
	j := Job{Status: status, Doc: &sm.DescribeTrainingJobOutput{
		StoppingCondition: &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(3600))},
		ResourceConfig:    &sm.ResourceConfig{InstanceType: "ml.m5.large"},
	}}
	for _, s := range secondaries {
		enter(&j, epoch, s, messages[s])
	}
	if status == Stopping {
		j.Private.StopAt = epoch.Add(90 * time.Second)
	}
	return j
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name string
		job  Job
		seen seen
		now  time.Duration // since the task began
		want step
	}{
		{"a new job downloads", job(InProgress, starting), of(missing), 0, step{enter: downloading}},
		{"a downloading job is staged", job(InProgress, starting, downloading), of(missing), 0, step{do: stage}},
		{"a staged job starts", job(InProgress, starting, downloading), of(missing, isStaged), 0, step{do: start}},
		{"a pending task is waited for", job(InProgress, starting, downloading), of(pending), 0, step{do: wait, again: taskgroup.PendingPoll}},
		{"a task that runs is training", job(InProgress, starting, downloading), of(running), 0, step{enter: training}},
		{"training lasts up to its limit", job(InProgress, downloading, training), of(running), 10 * time.Minute, step{do: wait, again: 50 * time.Minute}},
		{"a late job is stopping", job(InProgress, downloading, training), of(running), time.Hour, step{enter: Stopping, overdue: maxRuntimeExceeded}},
		{"a task that ended unseen was training", job(InProgress, starting, downloading), of(exited(0)), 0, step{enter: training}},
		{"the log comes before the model", job(InProgress, downloading, training), of(exited(0)), 0, step{do: wait}},
		{"a task that ended is uploaded", job(InProgress, downloading, training), of(exited(0), isShipped), 0, step{enter: uploading}},
		{"a task that failed too", job(InProgress, downloading, training), of(exited(1), isShipped), 0, step{enter: uploading}},
		{"an uploading job concludes", job(InProgress, training, uploading), of(exited(0), isShipped), 0, step{do: conclude}},
		{"after a restart the log is read again first", job(InProgress, training, uploading), of(exited(0)), 0, step{do: wait}},
		{"a task that is gone concludes", job(InProgress, downloading, training), of(missing), 0, step{do: conclude}},
		{"a stop before anything began concludes", job(Stopping, starting, Stopping), of(missing), 0, step{do: conclude}},
		{"a stop while data is staged concludes", job(Stopping, downloading, Stopping), of(missing, isStaged), 0, step{do: conclude}},
		{"a stop reaches a pending task", job(Stopping, downloading, Stopping), of(pending), 90 * time.Second, step{do: stop, grace: taskgroup.Grace}},
		{"a stop reaches a running task", job(Stopping, training, Stopping), of(running), 90 * time.Second, step{do: stop, grace: taskgroup.Grace}},
		{"a repeated stop does not give more time", job(Stopping, training, Stopping), of(running), 100 * time.Second, step{do: stop, grace: 110 * time.Second}},
		{"a stop whose time is over kills", job(Stopping, training, Stopping), of(running), time.Hour, step{do: stop}},
		{"a stopped task's log is shipped", job(Stopping, training, Stopping), of(exited(143)), 0, step{do: wait}},
		{"a stopped task concludes without Uploading", job(Stopping, training, Stopping), of(exited(143), isShipped), 0, step{do: conclude}},
		{"a host that was not begun is begun", job(InProgress, starting, downloading), of(running, missing, isStaged), 0, step{do: start}},
		{"also when the first has ended already", job(InProgress, starting, downloading), of(exited(0), missing, isStaged), 0, step{do: start}},
		{"hosts train when all run", job(InProgress, starting, downloading), of(running, pending), 0, step{do: wait, again: taskgroup.PendingPoll}},
		{"one host that failed ends the others", job(InProgress, downloading, training), of(running, exited(1)), time.Minute, step{do: stop, grace: taskgroup.BrokenGrace}},
		{"one host that is done waits for the others", job(InProgress, downloading, training), of(running, exited(0)), time.Minute, step{do: wait, again: 59 * time.Minute}},
		{"a host that is gone ends the others", job(InProgress, downloading, training), of(running, missing), time.Minute, step{do: stop, grace: taskgroup.BrokenGrace}},
		{"spot capacity that is taken stops the task", spot(interruptedAt(90 * time.Second)), of(running), 100 * time.Second, step{do: stop, grace: 110 * time.Second}},
		{"and then the job begins again", spot(interruptedAt(90 * time.Second)), of(ended(143, 95*time.Second), isShipped), 100 * time.Second, step{do: again}},
		{"even if the script made it an exit 0", spot(interruptedAt(90 * time.Second)), of(ended(0, 95*time.Second), isShipped), 100 * time.Second, step{do: again}},
		{"unless it was done before", spot(interruptedAt(90 * time.Second)), of(ended(0, 80*time.Second), isShipped), 100 * time.Second, step{enter: uploading}},
		{"an interrupted job starts anew", spot(nil, interrupted), of(missing), 0, step{enter: starting}},
		{"which downloads", spot(nil, interrupted, starting), of(missing), 0, step{enter: downloading}},
		{"a new attempt has not run yet", spot(nil, interrupted, starting, downloading), of(running), 0, step{enter: training}},
		{"time of earlier attempts counts", spot(func(j *Job) { j.Private.Trained = 50 * time.Minute }), of(running), 10 * time.Minute, step{enter: Stopping, overdue: maxRuntimeExceeded}},
		{"a job that waited too long stops", spot(nil, interrupted), of(missing), 2 * time.Hour, step{enter: Stopping, overdue: maxWaitExceeded}},
		{"a lost task is tried again", retried(1, 0), of(gone("lost"), isShipped), 0, step{do: again}},
		{"as often as was asked for", retried(1, 1), of(gone("lost"), isShipped), 0, step{enter: uploading}},
		{"and one that was removed", retried(1, 0), of(missing), 0, step{do: again}},
		{"as often too", retried(1, 1), of(missing), 0, step{do: conclude}},
		{"and one of several hosts that was removed", retried(1, 0), of(exited(0), missing, isShipped), 0, step{do: again}},
		{"a container's own failure is not", retried(1, 0), of(exited(1), isShipped), 0, step{enter: uploading}},
		{"nor one for want of memory", retried(1, 0), of(gone(runtime.ReasonOOM), isShipped), 0, step{enter: uploading}},
		{"a task stopped before we saw it run concludes", job(Stopping, downloading, Stopping), of(exited(143), isShipped), 0, step{do: conclude}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decide(tt.job, tt.seen, Spot{}, epoch.Add(tt.now)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// spot is a job in Training under managed spot training, that may wait two hours.
func spot(change func(*Job), more ...string) Job {
	j := job(InProgress, append([]string{starting, downloading, training}, more...)...)
	j.Created = epoch
	j.Doc.EnableManagedSpotTraining = new(true)
	j.Doc.StoppingCondition.MaxWaitTimeInSeconds = new(int64(7200))
	if change != nil {
		change(&j)
	}
	return j
}

func interruptedAt(d time.Duration) func(*Job) {
	return func(j *Job) { j.Private.Interrupted = epoch.Add(d) }
}

func ended(code int, after time.Duration) runtime.State {
	return runtime.State{Phase: runtime.Exited, ExitCode: code, Started: epoch, Ended: epoch.Add(after)}
}

func gone(reason string) runtime.State {
	s := exited(137)
	s.Reason = reason
	return s
}

// retried is a job that may be retried so often and was.
func retried(may, was int) Job {
	j := job(InProgress, starting, downloading, training)
	j.Doc.RetryStrategy = &sm.RetryStrategy{MaximumRetryAttempts: new(int64(may))}
	j.Private.Retries = was
	return j
}

func TestJudge(t *testing.T) {
	late := exited(0)
	late.Ended = epoch.Add(2 * time.Minute)
	overdue := job(Stopping, training, Stopping)
	overdue.Private.Overdue = maxRuntimeExceeded
	reason := func(s runtime.State, r string) runtime.State {
		s.Reason = r
		return s
	}
	unstarted := runtime.State{Phase: runtime.Exited, ExitCode: 127, Reason: "exec: no such file", Ended: epoch}
	failed := func(reason string) verdict { return verdict{Failed, Failed, reason} }
	inProgress, stopping := job(InProgress, training), job(Stopping, training, Stopping)
	tests := []struct {
		name    string
		job     Job
		task    runtime.State
		failure string
		want    verdict
	}{
		{"exit 0 is Completed", inProgress, exited(0), "", verdict{Completed, Completed, ""}},
		{"a failure file does not matter then", inProgress, exited(0), "oops", verdict{Completed, Completed, ""}},
		{"another exit is Failed", inProgress, exited(2), "", failed("AlgorithmError: , exit code: 2")},
		{"with the container's words", inProgress, exited(1), "bad column", failed("AlgorithmError: bad column, exit code: 1")},
		{"with the container's head", inProgress, exited(1), "ClientError: NaN label", failed("ClientError: NaN label, exit code: 1")},
		{"and no head twice", inProgress, exited(1), "AlgorithmError: x", failed("AlgorithmError: x, exit code: 1")},
		{"a long reason keeps the code", inProgress, exited(1), strings.Repeat("é", 1024),
			failed("AlgorithmError: " + strings.Repeat("é", 1024-len("AlgorithmError: , exit code: 1")) + ", exit code: 1")},
		{"too much memory names the instance", inProgress, reason(exited(137), "OOMKilled"), "", failed("AlgorithmError: Please use an instance type with more memory, " +
			"or reduce the size of training data processed on an instance. The training needed more memory than the 8 GiB that ml.m5.large has, exit code: 137")},
		{"a command that is none", inProgress, unstarted, "", failed("AlgorithmError: The training container could not be started: exec: no such file, exit code: 127")},
		{"a machine that restarted", inProgress, reason(exited(137), "lost"), "", failed("InternalServerError: The training container was lost: lost")},
		{"a task that was removed", inProgress, missing, "", failed("InternalServerError: The training container was removed while it ran.")},
		{"a stop before the start is Stopped", job(Stopping, starting, Stopping), missing, "", verdict{Stopped, Stopped, ""}},
		{"an exit while stopping is Stopped", stopping, reason(late, ""), "", verdict{Stopped, Stopped, ""}},
		{"a kill while stopping too", stopping, runtime.State{Phase: runtime.Exited, ExitCode: 137, Started: epoch, Ended: epoch.Add(time.Hour)}, "", verdict{Stopped, Stopped, ""}},
		{"a late job has its own secondary state", overdue, late, "", verdict{Stopped, maxRuntimeExceeded, ""}},
		{"done before it was told to stop is Completed", stopping, exited(0), "", verdict{Completed, Completed, ""}},
		{"failed before it was told to stop is Failed", stopping, exited(3), "", failed("AlgorithmError: , exit code: 3")},
		{"stopped before its task could begin is Stopped", stopping, unstarted, "", verdict{Stopped, Stopped, ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(tt.job, of(tt.task), tt.failure, capacity(tt.job, "algo-1")); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if n := len([]rune(judge(tt.job, of(tt.task), tt.failure, capacity(tt.job, "algo-1")).reason)); n > 1024 {
				t.Errorf("the reason has %d characters", n)
			}
		})
	}
}
