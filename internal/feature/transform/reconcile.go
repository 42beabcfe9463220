// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// The work beside a job. Each instance has an agent of its own.
const (
	shipWork  = "log"
	agentWork = "agent of "
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
	case work:
		return reconcile.Result{}, true, err // the end of an agent, or of a container, wakes us
	case stop:
		return reconcile.Result{After: st.grace + time.Second}, true, err // its end wakes us, and may be missed
	case conclude:
		return reconcile.Done, true, err
	}
	return reconcile.Result{}, false, err
}

// look sees what there is of a job outside its record.
func (s *Service) look(ctx context.Context, j Job) (seen, error) {
	all := members(j)
	s.owners.Note(j.Key, all)
	var out seen
	var err error
	if out.Seen, err = taskgroup.Look(ctx, s.Runtime, all); err != nil {
		return out, err
	}
	for _, state := range out.States {
		out.lost = out.lost || state.Phase == runtime.Exited
	}
	if out.planned, err = taskgroup.ReadJSON(s.folders.Path(identity(j)), planName, &plans{}); err != nil || !out.planned {
		return out, err
	}
	if out.finished, out.failure, err = s.results(j); err != nil {
		return out, err
	}
	if out.Phase == runtime.Running || out.Phase == runtime.Exited {
		out.shipped = s.ship(ctx, j)
	}
	return out, nil
}

// results tells whether all instances have done their objects, and why the job
// fails if it does.
func (s *Service) results(j Job) (finished bool, failure string, err error) {
	for _, m := range machines(j) {
		var r result
		ok, err := taskgroup.ReadJSON(s.machineDir(j, m), resultName, &r)
		if err != nil || !ok {
			return false, "", err
		}
		if failure == "" {
			failure = r.Failure
		}
	}
	return true, failure, nil
}

// ship sees to the logs of the containers, and tells whether they are whole.
func (s *Service) ship(ctx context.Context, j Job) bool {
	id := identity(j)
	s.along.Go(ctx, id, shipWork, func(ctx context.Context) {
		shipment := taskgroup.Shipment{Runtime: s.Runtime, Logs: s.Logs, Log: s.Log, Job: j.ARN, At: streamAt(j, machine{}, "")}
		for _, m := range machines(j) {
			for c := range j.Private.Model.Containers {
				shipment.Streams = append(shipment.Streams, taskgroup.Stream{Task: taskID(id, m, c), Name: containerStream(j, m, c).Name})
			}
		}
		shipment.Ship(ctx, &taskgroup.Reading{})
	}, func() { s.loop.Wake(j.Key) })
	return s.along.Ended(id, shipWork)
}

// take takes one step.
func (s *Service) take(ctx context.Context, j Job, look seen, st step) error {
	switch st.do {
	case begin:
		_, err := s.jobs.Revise(ctx, j, func(j *Job) { j.Private.Begun = time.Now().UTC() })
		return err
	case plan:
		return s.orFail(ctx, j, "ClientError: ", s.cut(ctx, j, s.plan))
	case start:
		return s.orFail(ctx, j, "ClientError: ", s.cut(ctx, j, s.start))
	case note:
		began := look.Started
		if began.IsZero() { // it could not even begin
			began = time.Now()
		}
		_, err := s.jobs.Revise(ctx, j, func(j *Job) { j.Doc.TransformStartTime = wire.At(began) })
		return err
	case work:
		s.employ(ctx, j, look)
		return nil
	case stop:
		for _, m := range machines(j) { // an agent must not take the end of its container for a failure
			s.along.End(identity(j), agentWork+m.Name)
		}
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

// cut does something that takes long and that a job that is told to stop cuts
// off.
func (s *Service) cut(ctx context.Context, j Job, do func(context.Context, Job) error) error {
	return taskgroup.Staging(ctx, &s.staging, s.jobs, j, func(ctx context.Context) error { return do(ctx, j) })
}

// start starts the containers of all instances.
func (s *Service) start(ctx context.Context, j Job) error {
	id := identity(j)
	for _, m := range machines(j) {
		for c := range j.Private.Model.Containers {
			name := fmt.Sprintf("c%d", c)
			in := serving.Launch{ID: taskID(id, m, c), Region: j.Key.Region, Name: j.Key.Name, Model: &j.Private.Model, Index: c,
				Dir: filepath.Join(s.folders.Path(id), name), Home: filepath.Join(s.machineDir(j, m), name),
				InstanceType: j.Doc.TransformResources.InstanceType, Env: environment(j), Over: j.Doc.Environment,
				Progress: containerStream(j, m, c)}
			for _, dir := range []string{in.Dir, in.Home} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			if err := s.launcher.Start(ctx, in); err != nil {
				return err
			}
		}
	}
	s.Log.InfoContext(ctx, "transform job started", "arn", j.ARN, "instances", len(machines(j)))
	return nil
}

// environment is what tells a container that it works for a transform job. What
// the request did not give is not there. Source: "Use Your Own Inference Code
// with Batch Transform".
func environment(j Job) map[string]string {
	env := map[string]string{"SAGEMAKER_BATCH": "true"}
	if n := j.Doc.MaxPayloadInMB; n != nil {
		env["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = fmt.Sprint(*n)
	}
	switch j.Doc.BatchStrategy {
	case singleRecord:
		env["SAGEMAKER_BATCH_STRATEGY"] = strategySingle
	case multiRecord:
		env["SAGEMAKER_BATCH_STRATEGY"] = strategyMulti
	}
	if n := j.Doc.MaxConcurrentTransforms; n != nil {
		env["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = fmt.Sprint(*n)
	}
	return env
}

// employ sees to it that each instance has its agent, and that what it takes of
// the machine is published.
func (s *Service) employ(ctx context.Context, j Job, look seen) {
	id := identity(j)
	var tasks []runtime.Task
	for _, m := range machines(j) {
		addresses := make([]string, len(j.Private.Model.Containers))
		for c := range addresses {
			task := taskID(id, m, c)
			addresses[c] = look.States[task].Addr
			tasks = append(tasks, taskgroup.Limit(runtime.Task{ID: task, Host: hostOf(j, m, c)}, j.Doc.TransformResources.InstanceType))
		}
		s.along.Go(ctx, id, agentWork+m.Name, func(ctx context.Context) { s.agent(ctx, j, m, addresses) }, func() { s.loop.Wake(j.Key) })
	}
	s.along.Measure(ctx, id, j.Key.Name, streamAt(j, machine{}, ""), s.Runtime, s.Metrics, tasks)
}

// orFail ends the job when err will not pass, or has not for too long.
func (s *Service) orFail(ctx context.Context, j Job, head string, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, resource.ErrStale) {
		return err
	}
	if reason, ok := serving.Final(err); ok {
		return s.settle(ctx, j, verdict{Failed, head + reason})
	}
	switch {
	case transfer.Lasting(err):
		return s.settle(ctx, j, verdict{Failed, head + err.Error()})
	case time.Since(j.Modified) > taskgroup.Patience: // each step that was taken has written
		return s.settle(ctx, j, verdict{Failed, "InternalServerError: " + err.Error()})
	}
	return err
}

// conclude writes down what was captured and settles the job.
func (s *Service) conclude(ctx context.Context, j Job, look seen) error {
	if err := s.capture(ctx, j); err != nil {
		return s.orFail(ctx, j, "ClientError: Data capture failed: ", err)
	}
	return s.settle(ctx, j, judge(j, look))
}

// settle is the last write of a job; after it the tasks and the folder go.
func (s *Service) settle(ctx context.Context, j Job, v verdict) error {
	j, err := s.jobs.Revise(ctx, j, func(j *Job) {
		j.Status = v.status
		if v.status == Failed {
			j.Doc.FailureReason = taskgroup.Cut(v.reason)
		}
		j.Doc.TransformEndTime = wire.At(time.Now())
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "transform job ended", "arn", j.ARN, "status", v.status, "reason", v.reason)
	id := identity(j)
	s.along.Forget(id)
	s.owners.Forget(members(j))
	s.folders.CleanUp(ctx, id)
	return nil
}
