// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// logGroup is the log group of all training jobs, and the namespace of their
// metrics.
const logGroup = "/aws/sagemaker/TrainingJobs"

// streamOf is the log stream of a host. All attempts write into one: clients
// look for as many streams as there are hosts.
func (s *Service) streamOf(j Job, host string) telemetry.Stream {
	return telemetry.Stream{Account: j.Key.Account, Region: j.Key.Region, Group: logGroup,
		Name: fmt.Sprintf("%s/%s-%d", j.Key.Name, host, j.Private.Stream)}
}

// shipOf and mirrorOf name the work beside the job's present attempt.
func shipOf(j Job) string   { return fmt.Sprint("log ", j.Private.Attempt) }
func mirrorOf(j Job) string { return fmt.Sprint("checkpoints ", j.Private.Attempt) }

// accompany sees to what goes on beside the job's tasks, and tells whether their
// whole log is shipped.
func (s *Service) accompany(ctx context.Context, j Job, look seen) bool {
	id := identity(j)
	s.along.Go(ctx, id, shipOf(j), func(ctx context.Context) { s.ship(ctx, j) }, func() { s.loop.Wake(j.Key) })
	if look.Phase == runtime.Running {
		var tasks []runtime.Task
		for _, m := range machines(j) {
			tasks = append(tasks, taskgroup.Limit(runtime.Task{ID: taskID(id, j.Private.Attempt, m.Host), Host: m.Host, DiskBytes: volume(j) << 30}, m.Type))
		}
		s.along.Measure(ctx, id, j.Key.Name, s.streamOf(j, ""), s.Runtime, s.Metrics, tasks)
	}
	if look.Phase == runtime.Running && j.Doc.CheckpointConfig != nil {
		s.along.Go(ctx, id, mirrorOf(j), func(ctx context.Context) { s.mirror(ctx, j) }, nil)
	}
	return s.along.Ended(id, shipOf(j))
}

// ship moves the logs of the present attempt.
func (s *Service) ship(ctx context.Context, j Job) {
	id := identity(j)
	metrics, err := s.allMetrics(ctx, j)
	if err != nil {
		s.Log.WarnContext(ctx, "metrics of the image are not known", "arn", j.ARN, "err", err)
	}
	shipment := taskgroup.Shipment{Runtime: s.Runtime, Logs: s.Logs, Metrics: s.Metrics, Log: s.Log, Job: j.ARN,
		At: s.streamOf(j, ""), Definitions: definitions(metrics),
		Dimension: telemetry.Dimension{Name: "TrainingJobName", Value: j.Key.Name}}
	for _, host := range hostNames(j) {
		shipment.Streams = append(shipment.Streams, taskgroup.Stream{Task: taskID(id, j.Private.Attempt, host),
			Name: s.streamOf(j, host).Name, Base: j.Private.Bases[host]})
	}
	reading := &taskgroup.Reading{Watch: objective(j)}
	s.mu.Lock()
	s.readings[id] = reading
	s.mu.Unlock()
	shipment.Ship(ctx, reading)
}

// final is what the log of the present attempt has told last of its metrics.
func (s *Service) final(id string) []sm.MetricData {
	s.mu.Lock()
	reading := s.readings[id]
	s.mu.Unlock()
	var out []sm.MetricData
	for _, v := range reading.Final() {
		out = append(out, sm.MetricData{MetricName: v.Name, Value: &v.Value, Timestamp: wire.At(v.Time)})
	}
	return out
}

// objective is the metric that a tuning job watches, if the job is a trial of one.
func objective(j Job) string {
	if j.Owner == "" {
		return ""
	}
	return hyperparameter(j, "_tuning_objective_metric")
}

// curve is what the job has told of its objective, in all attempts that have gone
// on from the checkpoints of the one before.
func (s *Service) curve(j Job) []float64 {
	s.mu.Lock()
	reading := s.readings[identity(j)]
	s.mu.Unlock()
	return slices.Concat(j.Private.Curve, reading.Curve())
}

// Curve gives the values of its objective that a trial of a tuning job has told so
// far, one for each epoch. The error is resource.ErrNotFound when there is no such job.
func (s *Service) Curve(ctx context.Context, key resource.Key) ([]float64, error) {
	j, err := s.jobs.Get(ctx, key)
	if err != nil || j.Owner == "" {
		return nil, err
	}
	if life.Settled(j.Status) {
		return j.Private.Curve, nil
	}
	return s.curve(j), nil
}

// mirrorEvery is how often checkpoints are looked at.
const mirrorEvery = 2 * time.Second

// mirror keeps the checkpoints in the store like those in the containers, until
// ctx ends. What fails is tried again; the last word has putTrees.
func (s *Service) mirror(ctx context.Context, j Job) {
	hosts := hostNames(j)
	var all []*transfer.Mirror
	for _, host := range hosts {
		for i, t := range trees(j) {
			if !t.prefill {
				continue
			}
			dir, _ := treeSource(filepath.Join(s.work(identity(j)), host), i, t)
			all = append(all, s.data.NewMirror(dir, t.to, len(hosts) > 1))
		}
	}
	transfer.Keep(ctx, all, mirrorEvery, func(err error) {
		s.Log.WarnContext(ctx, "checkpoints were not uploaded", "arn", j.ARN, "err", err)
	})
}

// forget drops what is remembered of a job, or of an attempt, that has ended.
func (s *Service) forget(j Job) {
	id := identity(j)
	s.along.Forget(id)
	s.owners.Forget(members(j, j.Private.Attempt))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readings, id)
}
