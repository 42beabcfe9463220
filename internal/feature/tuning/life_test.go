// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestRunsItsTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run(t.Context())
		began := time.Now()
		if err := l.create(request("tune", 12)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := l.describe("tune"); *d.TrainingJobStatusCounters.InProgress != 2 || *d.ObjectiveStatusCounters.Pending != 2 {
			t.Errorf("%+v", d.TrainingJobStatusCounters)
		}
		time.Sleep(6*time.Minute + time.Second)
		d := l.describe("tune")
		if d.HyperParameterTuningJobStatus != Completed || *d.TrainingJobStatusCounters.Completed != 12 {
			t.Fatalf("%s, %d trials", d.HyperParameterTuningJobStatus, *d.TrainingJobStatusCounters.Completed)
		}
		if took := d.HyperParameterTuningEndTime.Sub(began); took != 6*time.Minute {
			t.Errorf("two by two they took %s", took)
		}
		if v := *d.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric.Value; v > 1e-3 {
			t.Errorf("best is %g", v)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

func TestRunTimeEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run(t.Context())
		if err := l.create(request("tune", 100, func(in *sm.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ResourceLimits.MaxRuntimeInSeconds = new(int64(150))
		})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(151 * time.Second)
		d := l.describe("tune")
		if d.HyperParameterTuningJobStatus != Completed || *d.TrainingJobStatusCounters.Completed != 4 || *d.TrainingJobStatusCounters.Stopped != 2 {
			t.Errorf("%s %+v", d.HyperParameterTuningJobStatus, d.TrainingJobStatusCounters)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

func TestDeletedTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run(t.Context())
		if err := l.create(request("tune", 2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		name := l.summaries("tune")[0].TrainingJobName
		err := l.options.DB.Write(l.ctx, func(tx resource.Tx) error {
			return tx.Delete(l.ctx, l.trainer.key(l.ctx, name))
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		d := l.describe("tune")
		if d.HyperParameterTuningJobStatus != Completed || *d.TrainingJobStatusCounters.NonRetryableError != 1 || *d.TrainingJobStatusCounters.Completed != 1 {
			t.Errorf("%s %+v", d.HyperParameterTuningJobStatus, d.TrainingJobStatusCounters)
		}
		if reason := l.summaries("tune")[0].FailureReason; !strings.Contains(reason, "was deleted") {
			t.Errorf("reason %q", reason)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

// TestAnotherJobHasTheName makes a training job of the user's that has the name
// of a trial: it is not taken for one.
func TestAnotherJobHasTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run(t.Context())
		in := request("tune", 1)
		k := l.jobs.Key(l.ctx, "tune")
		taken := trialName(Job{Key: k, ARN: l.jobs.ARN(k), Created: time.Now().UTC().Truncate(time.Millisecond)}, 1)
		other := definitionsOf(&sm.DescribeHyperParameterTuningJobOutput{TrainingJobDefinition: in.TrainingJobDefinition, HyperParameterTuningJobConfig: in.HyperParameterTuningJobConfig})[0]
		if _, err := op.Call(l.ctx, l.table, sm.CreateTrainingJob, other.trainingJob(taken, map[string]string{"x": "0.5"}, "", nil)); err != nil {
			t.Fatal(err)
		}
		if err := l.create(in); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		d := l.describe("tune")
		if d.HyperParameterTuningJobStatus != Failed || *d.TrainingJobStatusCounters.NonRetryableError != 1 {
			t.Errorf("%s %+v %s", d.HyperParameterTuningJobStatus, d.TrainingJobStatusCounters, d.FailureReason)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

// mortal is a store that dies at one of its writes: before it takes place, or
// after it and before its writer learns of it.
type mortal struct {
	resource.DB
	at    int
	after bool
	die   context.CancelFunc

	mu     sync.Mutex
	writes int
	dead   bool
}

var errDead = errors.New("the server is dead")

func (m *mortal) Write(ctx context.Context, fn func(resource.Tx) error) error {
	m.mu.Lock()
	m.writes++
	if m.dead {
		m.mu.Unlock()
		return errDead
	}
	m.dead = m.writes == m.at
	now := m.dead
	m.mu.Unlock()
	if !now {
		return m.DB.Write(ctx, fn)
	}
	defer m.die()
	if m.after {
		return errors.Join(m.DB.Write(ctx, fn), errDead)
	}
	return errDead
}

// TestRestartAnywhere kills the service at each of its writes in turn, its
// training jobs' own among them, and starts it anew: the trials are the same.
func TestRestartAnywhere(t *testing.T) {
	var calm []sm.HyperParameterTrainingJobSummary
	crashes := 0
	for at := 0; ; at++ {
		for _, after := range []bool{false, true} {
			name, reached := fmt.Sprintf("write %d, after %v", at, after), false
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				plain := l.options.DB
				ctx, die := context.WithCancel(t.Context())
				m := &mortal{DB: plain, after: after, die: die}
				l.options.DB, l.trainer.db = m, m
				l.run(ctx)
				if err := l.create(request("tune", 5)); err != nil {
					t.Fatal(err)
				}
				m.mu.Lock()
				if at > 0 {
					m.at = m.writes + at
				}
				m.mu.Unlock()
				time.Sleep(5 * time.Minute)
				m.mu.Lock()
				reached = m.dead
				m.mu.Unlock()
				if reached {
					l.stop()
					l.options.DB, l.trainer.db = plain, plain
					// Training jobs whose end was lost with the server end now.
					l.run(t.Context())
					l.trainer.resume(l.ctx)
					time.Sleep(10 * time.Minute)
				}
				die()
				d := l.describe("tune")
				got := l.summaries("tune")
				if d.HyperParameterTuningJobStatus != Completed || len(got) != 5 || *d.TrainingJobStatusCounters.Completed != 5 {
					t.Errorf("%s: %s, %d trials, %d completed", name, d.HyperParameterTuningJobStatus, len(got), *d.TrainingJobStatusCounters.Completed)
				}
				var names []string
				for _, s := range got {
					names = append(names, s.TrainingJobName)
				}
				if made := l.trainer.children(); !slices.Equal(made, names) && !after {
					t.Errorf("%s: the trials %q have the training jobs %q", name, names, made)
				}
				if calm == nil {
					calm = got
				}
				for i := range got {
					if i < 2 && got[i].TunedHyperParameters["x"] != calm[i].TunedHyperParameters["x"] {
						t.Errorf("%s: trial %d is %v, without a crash it is %v", name, i+1, got[i].TunedHyperParameters, calm[i].TunedHyperParameters)
					}
				}
				l.stop()
				l.trainer.group.Wait()
			})
			if t.Failed() {
				return
			}
			if reached {
				crashes++
			}
		}
		if at > 0 && crashes < 2*at {
			break
		}
	}
	if crashes < 20 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestConcurrentJobs asks for one tuning job more than an account may have.
func TestConcurrentJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run(t.Context())
		for i := range maxConcurrent {
			if err := l.create(request(fmt.Sprintf("tune%d", i), 1)); err != nil {
				t.Fatal(err)
			}
		}
		err := l.create(request("more", 1))
		if f := fault.Of(err); f == nil || f.Code != "ResourceLimitExceeded" || !strings.Contains(f.Message, "is 100 Jobs, with current utilization of 100 Jobs") {
			t.Errorf("%v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := l.create(request("more", 1)); err != nil {
			t.Error(err)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

// TestConvergenceIsTold lets a search converge that does not end by it.
func TestConvergenceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.trainer.objective = func(map[string]string) (string, *float64) { return Completed, new(1.0) }
		l.run(t.Context())
		if err := l.create(request("tune", 30)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		d := l.describe("tune")
		if *d.TrainingJobStatusCounters.Completed != 30 || d.TuningJobCompletionDetails.ConvergenceDetectedTime.IsZero() ||
			!d.TuningJobCompletionDetails.ConvergenceDetectedTime.Before(d.HyperParameterTuningEndTime.Time) {
			t.Errorf("%+v %+v", d.TrainingJobStatusCounters, d.TuningJobCompletionDetails)
		}
		l.stop()
		l.trainer.group.Wait()
	})
}

// TestWarmStartIsNotRecursive looks at the third of three tuning jobs, each the
// parent of the next: the first, which was the best, is no parent of the third.
func TestWarmStartIsNotRecursive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		worse := 0.0
		l.trainer.objective = func(map[string]string) (string, *float64) { return Completed, new(worse) }
		l.run(t.Context())
		for i, want := range []string{"", "tune0", "tune1"} {
			worse = float64(i)
			err := l.create(request(fmt.Sprintf("tune%d", i), 2, func(in *sm.CreateHyperParameterTuningJobInput) {
				if i > 0 {
					in.WarmStartConfig = &sm.HyperParameterTuningJobWarmStartConfig{WarmStartType: identical,
						ParentHyperParameterTuningJobs: []sm.ParentHyperParameterTuningJob{{HyperParameterTuningJobName: fmt.Sprintf("tune%d", i-1)}}}
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			d := l.describe(fmt.Sprintf("tune%d", i))
			if best := d.OverallBestTrainingJob; i > 0 && (best == nil || best.TuningJobName != want) {
				t.Errorf("the best of %s and its parent is %+v", d.HyperParameterTuningJobName, best)
			}
		}
		l.stop()
		l.trainer.group.Wait()
	})
}
