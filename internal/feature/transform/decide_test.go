// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const fresh, begun, ran, told = 1, 2, 3, 4
	job := func(how int) Job {
		j := Job{Status: InProgress, Doc: &sm.DescribeTransformJobOutput{}}
		if how >= begun {
			j.Private.Begun = now
		}
		if how >= ran {
			j.Doc.TransformStartTime = wire.At(now)
		}
		if how == told {
			j.Status, j.Private.StopAt = Stopping, now.Add(-10*time.Second)
		}
		return j
	}
	look := func(p runtime.Phase, change ...func(*seen)) seen {
		s := seen{Seen: taskgroup.Seen{State: runtime.State{Phase: p}}}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	planned := func(s *seen) { s.planned = true }
	lost := func(s *seen) { s.lost = true }
	partial := func(s *seen) { s.Partial = true }
	finished := func(s *seen) { s.finished = true }
	shipped := func(s *seen) { s.shipped = true }
	for _, c := range []struct {
		name string
		job  Job
		seen seen
		want step
	}{
		{"a new job", job(fresh), look(runtime.Missing), step{do: begin}},
		{"it is planned", job(begun), look(runtime.Missing), step{do: plan}},
		{"and started", job(begun), look(runtime.Missing, planned), step{do: start}},
		{"stopped before it was", job(told), look(runtime.Missing, planned), step{do: conclude}},
		{"someone removed its tasks", job(ran), look(runtime.Missing, planned), step{do: conclude}},
		{"cut off between two starts", job(begun), look(runtime.Pending, partial), step{do: start}},
		{"one of its tasks was removed", job(ran), look(runtime.Pending, partial), step{do: stop, grace: taskgroup.BrokenGrace}},
		{"tasks are coming", job(begun), look(runtime.Pending), step{do: wait, again: taskgroup.PendingPoll}},
		{"one ended at once", job(begun), look(runtime.Pending, lost), step{do: stop, grace: taskgroup.BrokenGrace}},
		{"stopped while they come", job(told), look(runtime.Pending), step{do: stop, grace: 20 * time.Second}},
		{"they run", job(begun), look(runtime.Running), step{do: note}},
		{"and work", job(ran), look(runtime.Running), step{do: work}},
		{"one is lost", job(ran), look(runtime.Running, lost), step{do: stop, grace: taskgroup.BrokenGrace}},
		{"stopped at work", job(told), look(runtime.Running), step{do: stop, grace: 20 * time.Second}},
		{"all is done", job(ran), look(runtime.Running, finished), step{do: stop, grace: servingGrace}},
		{"all is done, and one has ended", job(ran), look(runtime.Running, finished, lost), step{do: stop, grace: servingGrace}},
		{"too quick to be seen", job(begun), look(runtime.Exited), step{do: note}},
		{"the log is on its way", job(ran), look(runtime.Exited), step{do: wait}},
		{"the log is whole", job(ran), look(runtime.Exited, shipped), step{do: conclude}},
		{"stopped, ended", job(told), look(runtime.Exited, shipped), step{do: conclude}},
	} {
		if got := decide(c.job, c.seen, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	job := func(status string) Job {
		return Job{Status: status, Doc: &sm.DescribeTransformJobOutput{TransformResources: &sm.TransformResources{InstanceType: "ml.m5.large", InstanceCount: new(int64(1))}}}
	}
	exited := func(code int, reason string) taskgroup.Seen {
		members := []taskgroup.Member{{ID: "a", Host: "i-1"}}
		return taskgroup.Sum(members, map[runtime.ID]runtime.State{"a": {Phase: runtime.Exited, ExitCode: code, Reason: reason, Started: time.Unix(1, 0), Ended: time.Unix(2, 0)}})
	}
	for _, c := range []struct {
		name string
		job  Job
		seen seen
		want verdict
	}{
		{"all was good", job(InProgress), seen{Seen: exited(143, ""), finished: true}, verdict{status: Completed}},
		{"some was not", job(InProgress), seen{Seen: exited(143, ""), finished: true, failure: clientError.why()}, verdict{Failed, "ClientError: See job logs for more information"}},
		{"told to stop when all was done", job(Stopping), seen{Seen: exited(143, ""), finished: true}, verdict{status: Completed}},
		{"told to stop before", job(Stopping), seen{Seen: exited(143, "")}, verdict{status: Stopped}},
		{"never begun", job(Stopping), seen{Seen: taskgroup.Seen{State: runtime.State{Phase: runtime.Missing}}}, verdict{status: Stopped}},
		{"the container failed", job(InProgress), seen{Seen: exited(7, "")}, verdict{Failed, "AlgorithmError: , exit code: 7"}},
		{"the container went away", job(InProgress), seen{Seen: exited(0, "")}, verdict{Failed, "AlgorithmError: The transform container ended before all objects were transformed, exit code: 0"}},
		{"it needed too much memory", job(InProgress), seen{Seen: exited(137, runtime.ReasonOOM)}, verdict{Failed, "AlgorithmError: Please use an instance type with more memory, or reduce the size of transform data processed on an instance. " +
			"The transform needed more memory than the 8 GiB that ml.m5.large has, exit code: 137"}},
	} {
		if got := judge(c.job, c.seen); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
