// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Roles knows the roles that jobs run as.
type Roles interface {
	// Assumable is nil when the role exists and trusts sagemaker.amazonaws.com.
	Assumable(ctx context.Context, roleARN string) error
}

// Options are what a Service needs. Curve, Log, Loops and Now may be nil.
type Options struct {
	DB     resource.DB
	Table  *op.Table // by which training jobs are made, looked at and stopped
	Images runtime.Images
	Roles  Roles
	// Curve gives the values of the objective that a training job has reported so
	// far, one for each epoch. Without it no trial is stopped early.
	Curve func(ctx context.Context, job resource.Key) ([]float64, error)

	Log   *slog.Logger
	Loops *reconcile.Metrics
	Now   func() time.Time
}

// Service runs tuning jobs.
type Service struct {
	Options
	jobs   *resource.Store[sm.DescribeHyperParameterTuningJobOutput, private]
	trials *resource.Store[trialDoc, resource.None]
	loop   *reconcile.Loop[resource.Key]

	mu    sync.Mutex
	known map[string]*memory // of unsettled jobs, by ARN
}

// New makes a service. It starts nothing. Call it before the first write to the
// DB, whose changes it watches.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, jobs: store(o.DB), trials: trialStore(o.DB), known: map[string]*memory{}}
	s.loop = reconcile.New(reconcile.Options[resource.Key]{
		Name: family, Reconcile: s.reconcile, List: s.jobs.Unsettled, Workers: 16, Log: o.Log, Metrics: o.Loops,
	})
	o.DB.Watch(s.changed)
	return s
}

// Install binds the operations of tuning jobs to t.
func (s *Service) Install(t *op.Table) {
	resource.Create(t, sm.CreateHyperParameterTuningJob, s.jobs, s.check)
	resource.Describe(t, sm.DescribeHyperParameterTuningJob, s.jobs, s.complete)
	resource.ListWith(t, sm.ListHyperParameterTuningJobs, s.jobs, listing)
	resource.Stop(t, sm.StopHyperParameterTuningJob, s.jobs, Stopping)
	op.Handle(t, sm.DeleteHyperParameterTuningJob, s.delete)
	op.Handle(t, sm.ListTrainingJobsForHyperParameterTuningJob, s.listTrials)
}

// Run runs the tuning jobs until ctx ends. Their training jobs go on.
func (s *Service) Run(ctx context.Context) error { return s.loop.Run(ctx) }

// changed looks at what was written to the store: a tuning job that is new or is
// to stop, or the end of a training job that is a trial of one.
func (s *Service) changed(row resource.Row) {
	switch {
	case row.Family == family && (row.Version == 1 || row.Status == Stopping):
		s.loop.Wake(row.Key)
	case row.Family == trainingFamily && row.Owner != "" && (row.Settled || row.Version == 0):
		s.mu.Lock()
		m := s.known[row.Owner]
		s.mu.Unlock()
		if m != nil {
			s.loop.Wake(m.key)
		}
	}
}
