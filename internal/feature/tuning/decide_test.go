// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"reflect"
	"testing"
	"time"

	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// job is a job of so many trials, two at a time, that was begun a minute ago.
func job(status string, change ...func(*sm.HyperParameterTuningJobConfig)) Job {
	c := &sm.HyperParameterTuningJobConfig{Strategy: "Random", HyperParameterTuningJobObjective: &sm.HyperParameterTuningJobObjective{Type: "Maximize", MetricName: "m"},
		ResourceLimits:              &sm.ResourceLimits{MaxNumberOfTrainingJobs: new(int64(6)), MaxParallelTrainingJobs: new(int64(2))},
		TuningJobCompletionCriteria: &sm.TuningJobCompletionCriteria{}}
	for _, f := range change {
		f(c)
	}
	return Job{Status: status, Created: now.Add(-time.Minute), Doc: &sm.DescribeHyperParameterTuningJobOutput{HyperParameterTuningJobConfig: c,
		TrainingJobDefinition: &sm.HyperParameterTrainingJobDefinition{}}}
}

// list makes trials: a number is one that completed with it, the rest are states.
func list(all ...any) []trial {
	var out []trial
	order := 0
	for _, a := range all {
		t := trial{Doc: &trialDoc{}}
		switch a := a.(type) {
		case float64:
			t.Status, t.Doc.Objective = Completed, &a
		case string:
			t.Status = a
		}
		if ended(t) {
			order++
			t.Doc.Order = order
		}
		out = append(out, t)
	}
	return out
}

func TestDecide(t *testing.T) {
	const run = InProgress
	limits := func(f func(*sm.ResourceLimits)) func(*sm.HyperParameterTuningJobConfig) {
		return func(c *sm.HyperParameterTuningJobConfig) { f(c.ResourceLimits) }
	}
	seconds := func(n int64) func(*sm.HyperParameterTuningJobConfig) {
		return limits(func(l *sm.ResourceLimits) { l.MaxRuntimeInSeconds = &n })
	}
	target := func(v float64) func(*sm.HyperParameterTuningJobConfig) {
		return func(c *sm.HyperParameterTuningJobConfig) {
			c.TuningJobCompletionCriteria.TargetObjectiveMetricValue = &v
		}
	}
	stale := func(n int64) func(*sm.HyperParameterTuningJobConfig) {
		return func(c *sm.HyperParameterTuningJobConfig) {
			c.TuningJobCompletionCriteria.BestObjectiveNotImproving = &sm.BestObjectiveNotImproving{MaxNumberOfTrainingJobsNotImproving: &n}
		}
	}
	convergence := func(c *sm.HyperParameterTuningJobConfig) {
		c.TuningJobCompletionCriteria.ConvergenceDetected = &sm.ConvergenceDetected{CompleteOnConvergence: "Enabled"}
	}
	failedAll := "All training jobs failed. Please take a look at the training jobs failures to get more details."
	for _, c := range []struct {
		name string
		j    Job
		s    seen
		want step
	}{
		{"a new job begins as many trials as may run", job(run), seen{}, step{begin: 2, again: childPoll}},
		{"it fills the room of those that ended", job(run), seen{trials: list(0.1, 0.2, run)}, step{begin: 1, again: childPoll}},
		{"it begins no more than it may", job(run), seen{trials: list(0.1, 0.2, 0.3, 0.4, 0.5)}, step{begin: 1, again: childPoll}},
		{"it waits while all run", job(run), seen{trials: list(run, run)}, step{again: childPoll}},
		{"it looks often where trials may be stopped early", job(run), seen{trials: list(run, run), watching: true, stop: []int{1}}, step{stop: []int{1}, again: curvePoll}},
		{"and before it has begun any", job(run), seen{watching: true}, step{begin: 2, again: curvePoll}},
		{"the last ones are waited for", job(run), seen{trials: list(1., 1., 1., 1., run, run)}, step{ending: allBegun, again: childPoll}},
		{"and may be stopped early", job(run), seen{trials: list(1., 1., 1., 1., run, run), watching: true, stop: []int{5}}, step{ending: allBegun, stop: []int{5}, again: curvePoll}},
		{"it is completed when all have ended", job(run), seen{trials: list(1., 1., 1., 1., 1., Failed)}, step{ending: allBegun, settle: Completed}},
		{"a grid ends when it is through", job(run), seen{trials: list(1., run), exhausted: true}, step{ending: exhausted, again: childPoll}},
		{"it looks again when its time will be over", job(run, seconds(63)), seen{trials: list(run, run)}, step{again: 3 * time.Second}},
		{"what runs when its time is over is stopped", job(run, seconds(60)), seen{trials: list(0.1, run, run)}, step{ending: outOfTime, stop: []int{1, 2}, again: childPoll}},
		{"and the last ones too", job(run, seconds(60)), seen{trials: list(1., 1., 1., 1., 1., run)}, step{ending: outOfTime, stop: []int{5}, again: childPoll}},
		{"then it is completed", job(run, seconds(60)), seen{trials: list(0.1, Stopped)}, step{ending: outOfTime, settle: Completed}},
		{"what reaches the target ends it", job(run, target(0.5)), seen{trials: list(0.1, 0.5, run)}, step{ending: reached, stop: []int{2}, again: childPoll}},
		{"what does not reach it does not", job(run, target(0.5)), seen{trials: list(0.1, 0.49, run)}, step{begin: 1, again: childPoll}},
		{"three without improvement end it", job(run, stale(3)), seen{trials: list(0.5, 0.1, Failed, 0.5)}, step{ending: notImproving, settle: Completed}},
		{"what improves by a hundredth or less does not count", job(run, stale(3)), seen{trials: list(0.5, 0.501, 0.505, 0.506)}, step{ending: notImproving, settle: Completed}},
		{"what improves by more does", job(run, stale(3)), seen{trials: list(0.5, 0.501, 0.507, 0.506)}, step{begin: 2, again: childPoll}},
		{"two do not", job(run, stale(3)), seen{trials: list(0.5, 0.1, 0.2)}, step{begin: 2, again: childPoll}},
		{"a search that has converged ends", job(run, convergence), seen{trials: list(0.5, run), converged: true}, step{ending: converged, stop: []int{1}, again: childPoll}},
		{"unless it is not to", job(run), seen{trials: list(0.5, run), converged: true}, step{begin: 1, again: childPoll}},
		{"five failures are enough", job(run), seen{trials: list(Failed, Failed, Failed, Failed, Failed)}, step{ending: hopeless, settle: Failed, reason: failedAll}},
		{"if all have failed it has", job(run, limits(func(l *sm.ResourceLimits) { l.MaxNumberOfTrainingJobs = new(int64(2)) })), seen{trials: list(Failed, Failed)},
			step{ending: allBegun, settle: Failed, reason: failedAll}},
		{"without an objective it has failed too", job(run, limits(func(l *sm.ResourceLimits) { l.MaxNumberOfTrainingJobs = new(int64(2)) })), seen{trials: list(Completed, Failed)},
			step{ending: allBegun, settle: Failed, reason: "No objective metrics found after running 2 training jobs. Please ensure that the custom algorithm is emitting " +
				"the objective metric as defined by the regular expression provided."}},
		{"a job that is to stop stops its trials", job(Stopping), seen{trials: list(0.1, run, Stopping)}, step{stop: []int{1, 2}, again: childPoll}},
		{"and is stopped when they have ended", job(Stopping), seen{trials: list(0.1, Stopped)}, step{settle: Stopped}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decide(c.j, c.s, now); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestTally counts what has become of trials. A retryable failure is one of the
// service, as its words begin.
func TestTally(t *testing.T) {
	trials := list(0.5, Failed, Failed, Stopped, InProgress, Stopping, Completed)
	trials[1].Doc.Failure = "InternalServerError: The training container was lost: lost"
	trials[2].Doc.Failure, trials[2].Doc.Objective = "AlgorithmError: , exit code: 1", new(0.1)
	trials[3].Doc.Objective = new(0.2)
	status, objective := sm.TrainingJobStatusCounters{}, sm.ObjectiveStatusCounters{}
	tally(trials, &status, &objective)
	n := func(n int64) *int64 { return &n }
	want := sm.TrainingJobStatusCounters{Completed: n(2), InProgress: n(2), RetryableError: n(1), NonRetryableError: n(1), Stopped: n(1)}
	if !reflect.DeepEqual(status, want) {
		t.Errorf("training jobs: %+v", status)
	}
	if want := (sm.ObjectiveStatusCounters{Succeeded: n(2), Pending: n(2), Failed: n(3)}); !reflect.DeepEqual(objective, want) {
		t.Errorf("objectives: %+v", objective)
	}
}

func TestTrialNames(t *testing.T) {
	j := Job{ARN: "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune", Created: now}
	j.Key.Name = "tune"
	again := j
	again.Created = now.Add(time.Second)
	names := map[string]bool{trialName(j, 1): true, trialName(j, 2): true, trialName(again, 1): true}
	if len(names) != 3 {
		t.Errorf("names are not of one trial alone: %v", names)
	}
	if again := trialName(j, 7); again != trialName(j, 7) || len(again) != len("tune-007-12345678") {
		t.Errorf("%q", trialName(j, 7))
	}
}
