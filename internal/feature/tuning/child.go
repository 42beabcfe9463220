// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// make creates a trial's training job. One that is there already is the trial's
// own, made before the server was killed. What the service refuses is the trial's
// failure.
func (s *Service) make(ctx context.Context, m *memory, i int) error {
	t := m.trials[i]
	d := m.defs[t.Doc.Definition]
	_, err := op.Call(ctx, s.Table, sm.CreateTrainingJob, d.trainingJob(t.Key.Name, t.Doc.Values, m.regexes[t.Doc.Definition], m.tags))
	f := fault.Of(err)
	switch {
	case err == nil:
		s.Log.InfoContext(ctx, "trial started", "arn", t.Owner, "name", t.Key.Name)
	case f == nil:
		return fmt.Errorf("begin trial: %w", err)
	case f.Code == "ResourceInUse":
		job, err := s.describe(ctx, t.Key.Name)
		if err != nil {
			return err
		}
		if job == nil || job.TuningJobArn != t.Owner {
			return s.conclude(ctx, m, i, func(d *trialDoc) { d.Failure = "ClientError: " + f.Message }, Failed)
		}
	default:
		return s.conclude(ctx, m, i, func(d *trialDoc) { d.Failure = "ClientError: " + f.Message }, Failed)
	}
	m.made[t.Key.Name] = true
	return nil
}

// describe tells of a training job; nil when there is none.
func (s *Service) describe(ctx context.Context, name string) (*sm.DescribeTrainingJobOutput, error) {
	job, err := op.Call(ctx, s.Table, sm.DescribeTrainingJob, &sm.DescribeTrainingJobInput{TrainingJobName: name})
	if fault.Of(err) != nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at trial: %w", err)
	}
	return job, nil
}

// follow looks at the training job of a running trial. One that is not there was
// not made before the server was killed, unless it has been seen.
func (s *Service) follow(ctx context.Context, j Job, m *memory, i int) error {
	t := m.trials[i]
	job, err := s.describe(ctx, t.Key.Name)
	switch {
	case err != nil:
		return err
	case job == nil && m.made[t.Key.Name]:
		return s.conclude(ctx, m, i, func(d *trialDoc) { d.Failure = "ClientError: The training job was deleted." }, Failed)
	case job == nil && j.Status == Stopping: // it need not be made any more
		return s.conclude(ctx, m, i, func(*trialDoc) {}, Stopped)
	case job == nil:
		return s.make(ctx, m, i)
	case job.TuningJobArn != t.Owner:
		return s.conclude(ctx, m, i, func(d *trialDoc) { d.Failure = "ClientError: Another training job has the name." }, Failed)
	}
	m.made[t.Key.Name] = true
	status := job.TrainingJobStatus
	switch status {
	case Completed, Failed, Stopped:
	case Stopping:
		if t.Status == Stopping {
			return nil
		}
		return s.change(ctx, m, i, func(t *trial) { t.Status = Stopping })
	default:
		return nil
	}
	curve, err := s.curve(ctx, t.Key)
	if err != nil {
		return err
	}
	name := m.defs[t.Doc.Definition].objective.MetricName
	return s.conclude(ctx, m, i, func(d *trialDoc) {
		d.Created, d.Started, d.Ended, d.Failure = job.CreationTime, job.TrainingStartTime, job.TrainingEndTime, job.FailureReason
		d.Curve = curve
		for _, v := range job.FinalMetricDataList {
			if v.MetricName == name && v.Value != nil {
				d.Objective = v.Value
			}
		}
	}, status)
}

// curve is what the training job of a trial has told of its objective.
func (s *Service) curve(ctx context.Context, k resource.Key) ([]float64, error) {
	if s.Curve == nil {
		return nil, nil
	}
	k.Family = trainingFamily
	curve, err := s.Curve(ctx, k)
	if errors.Is(err, resource.ErrNotFound) {
		return nil, nil
	}
	return curve, err
}

// stop tells a trial's training job to stop. One that has ended meanwhile says
// that it has.
func (s *Service) stop(ctx context.Context, m *memory, i int) error {
	t := m.trials[i]
	if t.Status == Stopping {
		return nil
	}
	_, err := op.Call(ctx, s.Table, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: t.Key.Name})
	if err != nil && fault.Of(err) == nil {
		return fmt.Errorf("stop trial: %w", err)
	}
	if err != nil {
		return nil
	}
	return s.change(ctx, m, i, func(t *trial) { t.Status = Stopping })
}

// conclude notes the end of a trial.
func (s *Service) conclude(ctx context.Context, m *memory, i int, fill func(*trialDoc), status string) error {
	order := 0
	for _, t := range m.trials {
		order = max(order, t.Doc.Order)
	}
	return s.change(ctx, m, i, func(t *trial) {
		fill(t.Doc)
		t.Doc.Failure = taskgroup.Cut(t.Doc.Failure)
		t.Doc.Order, t.Status = order+1, status
	})
}

// change writes a trial's record and remembers it.
func (s *Service) change(ctx context.Context, m *memory, i int, change func(*trial)) error {
	t, err := s.trials.Edit(ctx, m.trials[i].Key, func(t *trial) error {
		change(t)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write trial: %w", err)
	}
	m.trials[i] = t
	return nil
}

// tally counts trials by what has become of them.
func tally(trials []trial, status *sm.TrainingJobStatusCounters, objective *sm.ObjectiveStatusCounters) {
	var completed, running, retryable, failed, stopped, succeeded, without int64
	for _, t := range trials {
		switch {
		case !ended(t):
			running++
			continue
		case t.Status == Completed:
			completed++
		case t.Status == Stopped:
			stopped++
		case strings.HasPrefix(t.Doc.Failure, "InternalServerError"):
			retryable++
		default:
			failed++
		}
		if counts(t) {
			succeeded++
		} else {
			without++
		}
	}
	*status = sm.TrainingJobStatusCounters{Completed: &completed, InProgress: &running, RetryableError: &retryable, NonRetryableError: &failed, Stopped: &stopped}
	*objective = sm.ObjectiveStatusCounters{Succeeded: &succeeded, Pending: &running, Failed: &without}
}

// summary is what is told of a trial.
func summary(t trial, defs []definition) sm.HyperParameterTrainingJobSummary {
	d := defs[t.Doc.Definition]
	out := sm.HyperParameterTrainingJobSummary{
		TrainingJobDefinitionName: d.DefinitionName, TrainingJobName: t.Key.Name, TrainingJobArn: trainingARN(t.Key),
		CreationTime: t.Doc.Created, TrainingStartTime: t.Doc.Started, TrainingEndTime: t.Doc.Ended,
		TrainingJobStatus: t.Status, TunedHyperParameters: t.Doc.Values, FailureReason: t.Doc.Failure, ObjectiveStatus: "Pending",
	}
	if out.CreationTime.IsZero() {
		out.CreationTime = wire.At(t.Created)
	}
	switch {
	case counts(t):
		out.ObjectiveStatus = "Succeeded"
	case ended(t):
		out.ObjectiveStatus = "Failed"
	}
	if t.Doc.Objective != nil {
		out.FinalHyperParameterTuningJobObjectiveMetric = &sm.FinalHyperParameterTuningJobObjectiveMetric{
			Type: d.objective.Type, MetricName: d.objective.MetricName, Value: t.Doc.Objective}
	}
	return out
}
