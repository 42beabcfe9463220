// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func (s *Service) reconcile(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	return taskgroup.Drive(ctx, s.jobs, key, s.step)
}

// step looks at a job and does what is next.
func (s *Service) step(ctx context.Context, j Job) (after reconcile.Result, rest bool, err error) {
	look, err := s.look(ctx, j)
	if err != nil {
		return reconcile.Retry, false, err
	}
	st := decide(j, look, s.Spot, time.Now())
	if st.do == wait {
		return reconcile.Result{After: st.again}, true, nil
	}
	err = s.take(ctx, j, look, st)
	switch st.do {
	case stop:
		return reconcile.Result{After: st.grace + time.Second}, true, err // its end wakes us, and may be missed
	case conclude:
		return reconcile.Done, true, err
	}
	return reconcile.Result{}, false, err
}

// look sees what there is of a job outside its record.
func (s *Service) look(ctx context.Context, j Job) (seen, error) {
	id := identity(j)
	all := members(j, j.Private.Attempt)
	s.owners.Note(j.Key, all)
	var out seen
	var err error
	if out.Seen, err = taskgroup.Look(ctx, s.Runtime, all); err != nil {
		return out, err
	}
	switch out.Phase {
	case runtime.Missing:
		_, out.staged, err = staged(s.work(id), j.Private.Attempt)
	case runtime.Running, runtime.Exited:
		out.shipped = s.accompany(ctx, j, out)
	}
	return out, err
}

// take takes one step.
func (s *Service) take(ctx context.Context, j Job, look seen, st step) error {
	if st.enter != "" {
		return s.enter(ctx, j, st)
	}
	switch st.do {
	case stage:
		return s.orFail(ctx, j, downloading, "ClientError: Data download failed: ", s.download(ctx, j))
	case start:
		return s.orFail(ctx, j, downloading, "ClientError: ", s.start(ctx, j))
	case stop:
		for _, m := range members(j, j.Private.Attempt) {
			if m.Beside != look.Serving { // what serves hosts goes when they have gone
				continue
			}
			if err := s.Runtime.Stop(ctx, m.ID, st.grace); err != nil {
				return fmt.Errorf("stop task: %w", err)
			}
		}
		return nil
	case again:
		return s.again(ctx, j, look)
	case conclude:
		return s.conclude(ctx, j, look)
	}
	return nil
}

// enter writes that the job has come to a secondary state.
func (s *Service) enter(ctx context.Context, j Job, st step) error {
	pool := j.Private.Pool
	if st.enter == downloading && pool == "" {
		var err error
		if pool, err = s.claim(ctx, j); err != nil {
			return err
		}
	}
	_, err := s.jobs.Revise(ctx, j, func(j *Job) {
		now := time.Now()
		switch st.enter {
		case downloading:
			if j.Private.Pool = pool; pool != "" {
				j.Doc.WarmPoolStatus = &sm.WarmPoolStatus{Status: poolInUse}
			}
			if j.Doc.TrainingStartTime.IsZero() {
				j.Doc.TrainingStartTime = wire.At(now) // the service bills from here
			}
			if j.Private.Stream == 0 {
				j.Private.Stream = now.Unix()
			}
		case interrupted: // first the containers end; see again
			j.Private.Interrupted = now.UTC()
			return
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

// again ends an attempt that was interrupted, or lost by the machine's fault:
// what it has left as checkpoints is kept, and the job begins anew.
func (s *Service) again(ctx context.Context, j Job, look seen) error {
	id := identity(j)
	s.along.End(id, mirrorOf(j))
	if err := s.putTrees(ctx, j); err != nil {
		return s.orFail(ctx, j, training, "ClientError: Checkpoint upload failed: ", err)
	}
	bases := map[string]int64{}
	for _, host := range hostNames(j) {
		n, err := s.Logs.Offset(ctx, s.streamOf(j, host))
		if err != nil {
			return fmt.Errorf("look how far the log is: %w", err)
		}
		bases[host] = n
	}
	curve := s.curve(j)
	_, err := s.jobs.Revise(ctx, j, func(j *Job) {
		now := time.Now()
		if from := entered(*j, downloading); !from.IsZero() {
			j.Private.Ran += now.Sub(from)
		}
		trained := look.Ended.Sub(look.Started)
		if look.Phase == runtime.Missing { // nobody knows when it ended
			trained = now.Sub(entered(*j, training))
		}
		j.Private.Trained += trained
		why := interrupted
		if j.Private.Interrupted.IsZero() {
			why = restarting
			j.Private.Retries++
		}
		enter(j, now, why, messages[why])
		j.Private.Interrupted, j.Private.Bases = time.Time{}, bases
		j.Private.Attempt++
		// Without checkpoints the epochs begin anew.
		if j.Private.Curve = curve; j.Doc.CheckpointConfig == nil {
			j.Private.Curve = nil
		}
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "training job begins again", "arn", j.ARN, "attempt", j.Private.Attempt+1)
	s.forget(j)
	return s.folders.EndTasks(ctx, id)
}

// download stages the job's data. A job that is told to stop cuts it off.
func (s *Service) download(ctx context.Context, j Job) error {
	return taskgroup.Staging(ctx, &s.staging, s.jobs, j, func(ctx context.Context) error {
		began := time.Now()
		err := s.stage(ctx, j)
		s.meter.staged(time.Since(began), err)
		return err
	})
}

// start starts the job's tasks, those first that others depend on.
func (s *Service) start(ctx context.Context, j Job) error {
	id := identity(j)
	st, ok, err := staged(s.work(id), j.Private.Attempt)
	if err != nil || !ok {
		return errors.Join(err, resource.ErrStale)
	}
	// What took long was done by stage.
	image, err := s.Images.Prepare(ctx, j.Doc.AlgorithmSpecification.TrainingImage, st.Needs, io.Discard)
	if err != nil {
		return fmt.Errorf("find training image: %w", err)
	}
	env, err := s.environment(ctx, j, image)
	if err != nil {
		return err
	}
	spec := j.Doc.AlgorithmSpecification
	all := machines(j)
	for _, m := range all {
		if piped(j, m) {
			if err := s.startFeed(ctx, j, m); err != nil {
				return err
			}
		}
	}
	for _, m := range all {
		t := runtime.Task{ID: taskID(id, j.Private.Attempt, m.Host), Group: string(taskID(id, j.Private.Attempt, "all")),
			Host: m.Host, Hosts: hostNames(j), Root: image.Root, Image: image.Engine,
			Command: image.TrainArgv(spec.ContainerEntrypoint, spec.ContainerArguments), Env: env, WorkDir: image.WorkDir, User: image.User,
			Mounts: append(slices.Clone(image.Mounts), st.Mounts[m.Host]...), DiskBytes: volume(j) << 30, Reach: s.Reach}
		if isTrue(j.Doc.EnableNetworkIsolation) {
			t.Network = runtime.None
		}
		if err := s.Runtime.Start(ctx, taskgroup.Limit(t, m.Type)); err != nil {
			return fmt.Errorf("start task: %w", err)
		}
	}
	s.Log.InfoContext(ctx, "training job started", "arn", j.ARN, "hosts", len(all), "attempt", j.Private.Attempt)
	return nil
}

// environment is the container's: the image's, then the server's, then what the
// caller asked for; the job's own names cannot be changed.
func (s *Service) environment(ctx context.Context, j Job, image runtime.Image) (map[string]string, error) {
	own := map[string]string{"TRAINING_JOB_NAME": j.Key.Name, "TRAINING_JOB_ARN": j.ARN}
	if j.Private.Pool != "" {
		own["SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"] = poolPath
	}
	var ours map[string]string
	if s.Env != nil {
		var err error
		if ours, err = s.Env(ctx, j); err != nil {
			return nil, fmt.Errorf("make the container's environment: %w", err)
		}
	}
	region := map[string]string{"AWS_REGION": j.Key.Region, "AWS_DEFAULT_REGION": j.Key.Region}
	return taskgroup.Env(image.Env, region, ours, j.Doc.Environment, own), nil
}

// orFail ends the job when err will not pass, or has not for too long since the
// job entered a secondary state.
func (s *Service) orFail(ctx context.Context, j Job, since, head string, err error) error {
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, resource.ErrStale):
		return err
	case transfer.Lasting(err):
		return s.settle(ctx, j, verdict{Failed, Failed, head + err.Error()}, "")
	case time.Since(entered(j, since)) > taskgroup.Patience:
		return s.settle(ctx, j, verdict{Failed, Failed, "InternalServerError: " + err.Error()}, "")
	}
	return err
}

// conclude keeps what the job has left and settles it.
func (s *Service) conclude(ctx context.Context, j Job, look seen) error {
	id := identity(j)
	host, failure := hostNames(j)[0], ""
	if look.Failed != nil {
		host = look.Failed.Host
	}
	if look.Failed != nil && look.Failed.Beside {
		failure = s.feedFailure(id, host)
	} else {
		failure = s.ml(id, host).Failure()
	}
	v := judge(j, look, failure, capacity(j, host))
	model := ""
	if look.Phase == runtime.Exited {
		since := uploading
		if j.Status == Stopping {
			since = Stopping
		}
		s.along.End(id, mirrorOf(j))
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

// settle is the last write of a job; after it the task and the folder go.
func (s *Service) settle(ctx context.Context, j Job, v verdict, model string) error {
	id := identity(j)
	final, curve := s.final(id), s.curve(j)
	j, err := s.jobs.Revise(ctx, j, func(j *Job) {
		now := time.Now()
		j.Status = v.status
		enter(j, now, v.secondary, messages[v.secondary])
		if v.failed() {
			j.Doc.FailureReason = taskgroup.Cut(v.reason)
		}
		if model != "" {
			j.Doc.ModelArtifacts = &sm.ModelArtifacts{S3ModelArtifacts: model}
		}
		j.Doc.FinalMetricDataList, j.Private.Curve = final, curve
		j.Doc.TrainingEndTime = wire.At(now)
		trained, billed := times(*j, now)
		j.Doc.TrainingTimeInSeconds, j.Doc.BillableTimeInSeconds = &trained, &billed
		s.retire(j, now)
	})
	if err != nil {
		return err
	}
	s.meter.ended(v.status)
	s.Log.InfoContext(ctx, "training job ended", "arn", j.ARN, "status", v.status, "reason", v.reason)
	s.forget(j)
	s.folders.CleanUp(ctx, id)
	s.pools.wake()
	return nil
}
