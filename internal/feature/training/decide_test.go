// SPDX-License-Identifier: Apache-2.0

package training

import (
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
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
		{"a new job downloads", job(InProgress, starting), seen{task: missing}, 0, step{enter: downloading}},
		{"a downloading job is staged", job(InProgress, starting, downloading), seen{task: missing}, 0, step{do: stage}},
		{"a staged job starts", job(InProgress, starting, downloading), seen{task: missing, staged: true}, 0, step{do: start}},
		{"a pending task is waited for", job(InProgress, starting, downloading), seen{task: pending}, 0, step{do: wait, again: pendingPoll}},
		{"a task that runs is training", job(InProgress, starting, downloading), seen{task: running}, 0, step{enter: training}},
		{"training lasts up to its limit", job(InProgress, downloading, training), seen{task: running}, 10 * time.Minute, step{do: wait, again: 50 * time.Minute}},
		{"a late job is stopping", job(InProgress, downloading, training), seen{task: running}, time.Hour, step{enter: Stopping, overdue: true}},
		{"a task that ended unseen was training", job(InProgress, starting, downloading), seen{task: exited(0)}, 0, step{enter: training}},
		{"the log comes before the model", job(InProgress, downloading, training), seen{task: exited(0)}, 0, step{do: wait}},
		{"a task that ended is uploaded", job(InProgress, downloading, training), seen{task: exited(0), shipped: true}, 0, step{enter: uploading}},
		{"a task that failed too", job(InProgress, downloading, training), seen{task: exited(1), shipped: true}, 0, step{enter: uploading}},
		{"an uploading job concludes", job(InProgress, training, uploading), seen{task: exited(0), shipped: true}, 0, step{do: conclude}},
		{"after a restart the log is read again first", job(InProgress, training, uploading), seen{task: exited(0)}, 0, step{do: wait}},
		{"a task that is gone concludes", job(InProgress, downloading, training), seen{task: missing}, 0, step{do: conclude}},
		{"a stop before anything began concludes", job(Stopping, starting, Stopping), seen{task: missing}, 0, step{do: conclude}},
		{"a stop while data is staged concludes", job(Stopping, downloading, Stopping), seen{task: missing, staged: true}, 0, step{do: conclude}},
		{"a stop reaches a pending task", job(Stopping, downloading, Stopping), seen{task: pending}, 90 * time.Second, step{do: stop, grace: grace}},
		{"a stop reaches a running task", job(Stopping, training, Stopping), seen{task: running}, 90 * time.Second, step{do: stop, grace: grace}},
		{"a repeated stop does not give more time", job(Stopping, training, Stopping), seen{task: running}, 100 * time.Second, step{do: stop, grace: 110 * time.Second}},
		{"a stop whose time is over kills", job(Stopping, training, Stopping), seen{task: running}, time.Hour, step{do: stop}},
		{"a stopped task's log is shipped", job(Stopping, training, Stopping), seen{task: exited(143)}, 0, step{do: wait}},
		{"a stopped task concludes without Uploading", job(Stopping, training, Stopping), seen{task: exited(143), shipped: true}, 0, step{do: conclude}},
		{"a task stopped before we saw it run concludes", job(Stopping, downloading, Stopping), seen{task: exited(143), shipped: true}, 0, step{do: conclude}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decide(tt.job, tt.seen, epoch.Add(tt.now)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	late := exited(0)
	late.Ended = epoch.Add(2 * time.Minute)
	overdue := job(Stopping, training, Stopping)
	overdue.Private.Overdue = true
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
			if got := judge(tt.job, tt.task, tt.failure, capacity(tt.job)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if n := len([]rune(judge(tt.job, tt.task, tt.failure, capacity(tt.job)).reason)); n > maxReason {
				t.Errorf("the reason has %d characters", n)
			}
		})
	}
}
