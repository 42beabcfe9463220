// SPDX-License-Identifier: Apache-2.0

package processing

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
	st := decide(j, look, time.Now())
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
	id, all := identity(j), members(j)
	s.owners.Note(j.Key, all)
	var out seen
	var err error
	if out.Seen, err = taskgroup.Look(ctx, s.Runtime, all); err != nil {
		return out, err
	}
	switch out.Phase {
	case runtime.Missing:
		out.staged, err = taskgroup.ReadJSON(s.folders.Path(id), stagedName, &staging{})
	case runtime.Running, runtime.Exited:
		out.shipped = s.accompany(ctx, j, out)
	}
	return out, err
}

// take takes one step.
func (s *Service) take(ctx context.Context, j Job, look seen, st step) error {
	switch st.do {
	case begin:
		_, err := s.jobs.Revise(ctx, j, func(j *Job) { j.Private.Begun = time.Now().UTC() })
		return err
	case stage:
		return s.orFail(ctx, j, "ClientError: Data download failed: ", s.download(ctx, j))
	case start:
		return s.orFail(ctx, j, "ClientError: ", s.start(ctx, j))
	case note:
		began := look.Started
		if began.IsZero() { // it could not even begin
			began = time.Now()
		}
		_, err := s.jobs.Revise(ctx, j, func(j *Job) { j.Doc.ProcessingStartTime = wire.At(began) })
		return err
	case stop:
		for _, m := range members(j) {
			if err := s.Runtime.Stop(ctx, m.ID, st.grace); err != nil {
				return fmt.Errorf("stop task: %w", err)
			}
		}
		return nil
	case conclude:
		return s.conclude(ctx, j, look)
	}
	return nil
}

// download stages the job's data. A job that is told to stop cuts it off.
func (s *Service) download(ctx context.Context, j Job) error {
	return taskgroup.Staging(ctx, &s.staging, s.jobs, j, func(ctx context.Context) error { return s.stage(ctx, j) })
}

// start starts the job's tasks.
func (s *Service) start(ctx context.Context, j Job) error {
	id := identity(j)
	var st staging
	if ok, err := taskgroup.ReadJSON(s.folders.Path(id), stagedName, &st); err != nil || !ok {
		return errors.Join(err, resource.ErrStale)
	}
	app := j.Doc.AppSpecification
	// What took long was done by stage.
	image, err := s.Images.Prepare(ctx, app.ImageUri, st.Needs, io.Discard)
	if err != nil {
		return fmt.Errorf("find image: %w", err)
	}
	var ours map[string]string
	if s.Env != nil {
		if ours, err = s.Env(ctx, j); err != nil {
			return fmt.Errorf("make the container's environment: %w", err)
		}
	}
	region := map[string]string{"AWS_REGION": j.Key.Region, "AWS_DEFAULT_REGION": j.Key.Region}
	own := map[string]string{"PROCESSING_JOB_NAME": j.Key.Name, "PROCESSING_JOB_ARN": j.ARN}
	config := cluster(j)
	for _, host := range hosts(j) {
		t := runtime.Task{ID: taskID(id, host), Group: string(taskID(id, "all")), Host: host, Hosts: hosts(j), Root: image.Root, Image: image.Engine,
			Command: image.Argv(app.ContainerEntrypoint, app.ContainerArguments), WorkDir: image.WorkDir, User: image.User,
			Env:    taskgroup.Env(image.Env, region, ours, j.Doc.Environment, own),
			Mounts: append(slices.Clone(image.Mounts), st.Mounts[host]...), DiskBytes: value(config.VolumeSizeInGB) << 30, Reach: s.Reach}
		if n := j.Doc.NetworkConfig; n != nil && isTrue(n.EnableNetworkIsolation) {
			t.Network = runtime.None
		}
		if err := s.Runtime.Start(ctx, taskgroup.Limit(t, config.InstanceType)); err != nil {
			return fmt.Errorf("start task: %w", err)
		}
	}
	s.Log.InfoContext(ctx, "processing job started", "arn", j.ARN, "hosts", len(hosts(j)))
	return nil
}

// orFail ends the job when err will not pass, or has not for too long.
func (s *Service) orFail(ctx context.Context, j Job, head string, err error) error {
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, resource.ErrStale):
		return err
	case transfer.Lasting(err):
		return s.settle(ctx, j, verdict{Failed, head + err.Error()}, "")
	case time.Since(j.Modified) > taskgroup.Patience: // each step that was taken has written
		return s.settle(ctx, j, verdict{Failed, "InternalServerError: " + err.Error()}, "")
	}
	return err
}
