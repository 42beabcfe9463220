// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// patience is how long what should pass is tried again: a store that does not
// answer, a runtime that cannot start tasks. After it the job fails.
const patience = 15 * time.Minute

// reconcile looks at a job and takes one step after the other until there is
// nothing to do but wait.
func (s *Service) reconcile(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	for {
		j, err := s.jobs.Get(ctx, key)
		if errors.Is(err, resource.ErrNotFound) {
			return reconcile.Done, nil
		}
		if err != nil {
			return reconcile.Retry, err
		}
		if life.Settled(j.Status) {
			return reconcile.Done, nil
		}
		look, err := s.look(ctx, j)
		if err != nil {
			return reconcile.Retry, err
		}
		st := decide(j, look, time.Now())
		if st.do == wait {
			return reconcile.Result{After: st.again}, nil
		}
		switch err := s.take(ctx, j, look, st); {
		case errors.Is(err, resource.ErrStale), errors.Is(err, resource.ErrNotFound):
			// Someone stopped or deleted the job meanwhile: look again.
		case err != nil:
			return reconcile.Retry, err
		case st.do == stop:
			return reconcile.Result{}, nil // its end wakes us
		case st.do == conclude:
			return reconcile.Done, nil
		}
		if err := ctx.Err(); err != nil {
			return reconcile.Retry, err
		}
	}
}

// look sees what there is of a job outside its record.
func (s *Service) look(ctx context.Context, j Job) (seen, error) {
	id := identity(j)
	s.mu.Lock()
	s.keys[taskID(id)] = j.Key // before Inspect, so that a change after it wakes us
	s.mu.Unlock()
	var out seen
	var err error
	if out.task, err = s.Runtime.Inspect(ctx, taskID(id)); err != nil {
		return out, fmt.Errorf("inspect task: %w", err)
	}
	switch out.task.Phase {
	case runtime.Missing:
		_, out.staged, err = staged(s.work(id))
	case runtime.Running, runtime.Exited:
		out.shipped = s.ship(ctx, j, out.task).done()
	}
	return out, err
}

// take takes one step.
func (s *Service) take(ctx context.Context, j Job, look seen, st step) error {
	if st.enter != "" {
		return s.enter(ctx, j, look, st)
	}
	switch st.do {
	case stage:
		return s.orFail(ctx, j, downloading, "ClientError: Data download failed: ", s.download(ctx, j))
	case start:
		return s.orFail(ctx, j, downloading, "ClientError: ", s.start(ctx, j))
	case stop:
		if err := s.Runtime.Stop(ctx, taskID(identity(j)), st.grace); err != nil {
			return fmt.Errorf("stop task: %w", err)
		}
		return nil
	case conclude:
		return s.conclude(ctx, j, look)
	}
	return nil
}

// edit changes the record if it is still the one that was looked at.
func (s *Service) edit(ctx context.Context, j Job, change func(*Job)) (Job, error) {
	return s.jobs.Edit(ctx, j.Key, func(now *Job) error {
		if now.Version != j.Version || !now.Created.Equal(j.Created) {
			return resource.ErrStale
		}
		change(now)
		return nil
	})
}

// enter writes that the job has come to a secondary state.
func (s *Service) enter(ctx context.Context, j Job, look seen, st step) error {
	_, err := s.edit(ctx, j, func(j *Job) {
		now := time.Now()
		switch st.enter {
		case downloading:
			j.Doc.TrainingStartTime = wire.At(now) // the service bills from here
		case training:
			j.Private.Stream = stream(*j, look.task)
		case Stopping:
			j.Status, j.Private.StopAt, j.Private.Overdue = Stopping, now.UTC(), st.overdue
		}
		enter(j, now, st.enter, messages[st.enter])
	})
	if err == nil {
		s.Log.DebugContext(ctx, "training job moved", "arn", j.ARN, "status", st.enter)
	}
	return err
}

// download stages the job's data. A job that is told to stop cuts it off.
func (s *Service) download(ctx context.Context, j Job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.staging[j.Key] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.staging, j.Key)
		s.mu.Unlock()
	}()
	// It may have been told to stop before we could be cut off.
	now, err := s.jobs.Get(ctx, j.Key)
	if err != nil {
		return err
	}
	if now.Version != j.Version {
		return resource.ErrStale
	}
	began := time.Now()
	err = s.stage(ctx, j)
	if err != nil && ctx.Err() != nil {
		return resource.ErrStale
	}
	s.meter.staged(time.Since(began), err)
	return err
}

// start starts the job's task.
func (s *Service) start(ctx context.Context, j Job) error {
	id := identity(j)
	mounts, _, err := staged(s.work(id))
	if err != nil {
		return err
	}
	image, err := s.Images.Image(ctx, j.Doc.AlgorithmSpecification.TrainingImage, runtime.Needs{})
	if err != nil {
		return fmt.Errorf("find training image: %w", err)
	}
	t := runtime.Task{ID: taskID(id), Host: host, Command: image.Train, Env: s.environment(j, image), Mounts: mounts}
	// A type without known measures runs without limits.
	if typ, ok := instance.Lookup(j.Doc.ResourceConfig.InstanceType); ok {
		t.MilliCPU, t.MemoryBytes = typ.MilliCPU(), typ.MemoryBytes()
	}
	if err := s.Runtime.Start(ctx, t); err != nil {
		return fmt.Errorf("start task: %w", err)
	}
	s.Log.InfoContext(ctx, "training job started", "arn", j.ARN, "task", t.ID)
	return nil
}

// environment is the container's: the image's, then the server's, then what the
// caller asked for; the job's own names cannot be changed.
func (s *Service) environment(j Job, image runtime.Image) map[string]string {
	env := map[string]string{}
	maps.Copy(env, image.Env)
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = j.Key.Region, j.Key.Region
	if s.Env != nil {
		maps.Copy(env, s.Env(j))
	}
	maps.Copy(env, j.Doc.Environment)
	env["TRAINING_JOB_NAME"], env["TRAINING_JOB_ARN"] = j.Key.Name, j.ARN
	return env
}

// orFail ends the job when err will not pass, or has not for too long since the
// job entered a secondary state.
func (s *Service) orFail(ctx context.Context, j Job, since, head string, err error) error {
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, resource.ErrStale):
		return err
	case lasting(err):
		return s.settle(ctx, j, verdict{Failed, Failed, head + err.Error()}, "")
	case time.Since(entered(j, since)) > patience:
		return s.settle(ctx, j, verdict{Failed, Failed, "InternalServerError: " + err.Error()}, "")
	}
	return err
}

// conclude keeps what the job has left and settles it.
func (s *Service) conclude(ctx context.Context, j Job, look seen) error {
	id := identity(j)
	ml := optml.Dir(s.work(id) + "/" + mlName)
	v := judge(j, look.task, ml.Failure(), capacity(j))
	model := ""
	if look.task.Phase == runtime.Exited {
		since := uploading
		if j.Status == Stopping {
			since = Stopping
		}
		var err error
		if model, err = s.collect(ctx, j, v.failed()); err != nil && !v.failed() {
			return s.orFail(ctx, j, since, "ClientError: Artifact upload failed: ", err)
		}
		// What a failed job has left is not worth hiding why it failed.
		if v.failed() {
			if err != nil {
				s.Log.WarnContext(ctx, "output of a failed training job was not kept", "arn", j.ARN, "err", err)
			}
			model = ""
		}
	}
	return s.settle(ctx, j, v, model)
}

// capacity names the memory of the job's instance.
func capacity(j Job) string {
	name := j.Doc.ResourceConfig.InstanceType
	typ, ok := instance.Lookup(name)
	if !ok {
		return "the instance"
	}
	return fmt.Sprintf("the %g GiB that %s", typ.MemoryGiB, name)
}

// settle is the last write of a job; after it the task and the folder go.
func (s *Service) settle(ctx context.Context, j Job, v verdict, model string) error {
	id := identity(j)
	final := s.final(id)
	j, err := s.edit(ctx, j, func(j *Job) {
		now := time.Now()
		j.Status = v.status
		enter(j, now, v.secondary, messages[v.secondary])
		if v.failed() {
			runes := []rune(v.reason)
			j.Doc.FailureReason = string(runes[:min(len(runes), maxReason)])
		}
		if model != "" {
			j.Doc.ModelArtifacts = &sm.ModelArtifacts{S3ModelArtifacts: model}
		}
		j.Doc.FinalMetricDataList = final
		j.Doc.TrainingEndTime = wire.At(now)
		seconds := int64(0)
		if from := j.Doc.TrainingStartTime; !from.IsZero() {
			// A second begun is a second.
			seconds = max(1, int64((now.Sub(from.Time)+time.Second-1)/time.Second))
		}
		j.Doc.TrainingTimeInSeconds, j.Doc.BillableTimeInSeconds = &seconds, &seconds
	})
	if err != nil {
		return err
	}
	s.meter.ended(v.status)
	s.Log.InfoContext(ctx, "training job ended", "arn", j.ARN, "status", v.status, "reason", v.reason)
	s.forget(id)
	s.cleanUp(ctx, id)
	return nil
}
