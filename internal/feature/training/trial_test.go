// SPDX-License-Identifier: Apache-2.0

package training

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// TestTrial makes a job on behalf of a tuning job: it shows that job, and tells
// all values of its objective; a job of the user's own does neither.
func TestTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		const tuner = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune"
		make := func(name string, owned bool) {
			in := request(name, map[string]string{"FAKE_LOG": "loss=3\nother\nloss=2\nloss=2.5\n", "FAKE_RUN_FOR": "5s"})
			in.HyperParameters = map[string]string{"_tuning_objective_metric": "loss"}
			in.AlgorithmSpecification.MetricDefinitions = []sm.MetricDefinition{{Name: "loss", Regex: `loss=([0-9.]+)`}}
			ctx := l.ctx
			if owned {
				ctx = op.WithOwner(ctx, tuner)
			}
			if _, err := op.Call(ctx, l.table, sm.CreateTrainingJob, in); err != nil {
				t.Fatal(err)
			}
		}
		make("trial", true)
		make("own", false)
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, want := range map[string][]float64{"trial": {3, 2, 2.5}, "own": nil} {
			d, err := op.Call(l.ctx, l.table, sm.DescribeTrainingJob, &sm.DescribeTrainingJobInput{TrainingJobName: name})
			if err != nil {
				t.Fatal(err)
			}
			if got := d.TuningJobArn == tuner; d.TrainingJobStatus != Completed || got != (want != nil) {
				t.Errorf("%s: %s %s, tuning job %q", name, d.TrainingJobStatus, d.FailureReason, d.TuningJobArn)
			}
			curve, err := l.Curve(l.ctx, l.jobs.Key(l.ctx, name))
			if err != nil || !slices.Equal(curve, want) {
				t.Errorf("%s: curve %v, %v; want %v", name, curve, err, want)
			}
		}
		l.stop()
	})
}
