// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Roles knows the roles that jobs run as.
type Roles interface {
	// Assumable is nil when the role exists and trusts sagemaker.amazonaws.com.
	Assumable(ctx context.Context, roleARN string) error
}

// Options are what a Service needs. Env, Log, Registerer and Loops may be nil.
type Options struct {
	DB      resource.DB
	Runtime runtime.Runtime
	Images  runtime.Images
	Objects object.Store // when it is an object.Local, data is not copied
	Logs    telemetry.Logs
	Metrics telemetry.Metrics
	Roles   Roles

	// Dir is the absolute path of a folder for the jobs' working folders. It
	// belongs to the Service alone, and what no job needs there is deleted.
	Dir string
	// Env is what a job's container gets besides what the service gives it: how
	// to reach this server, and keys of its role. A job under network isolation
	// is asked for too.
	Env func(context.Context, Job) (map[string]string, error)
	// Reach is where this server listens: a container must come there from
	// whatever network it has.
	Reach []string
	// FileSystems are the folders that stand for EFS and FSx file systems.
	FileSystems FileSystems
	// Stream shows objects that are no files of this machine without copying
	// them, for FastFile; ok is false when it cannot. It may be nil.
	Stream func(context.Context, transfer.Source, transfer.Place) (mount *runtime.Mount, ok bool, err error)
	// Feed is the command that feeds pipes: our own binary and "feed".
	Feed []string
	Spot Spot

	Log        *slog.Logger
	Registerer prometheus.Registerer
	Loops      *reconcile.Metrics
}

// Service runs training jobs.
type Service struct {
	Options
	jobs    *resource.Store[sm.DescribeTrainingJobOutput, private]
	loop    *reconcile.Loop[resource.Key]
	data    transfer.Mover
	meter   meter
	along   taskgroup.Beside // what goes on beside the jobs, by their identity
	pools   pools
	folders taskgroup.Folders
	owners  taskgroup.Owners[resource.Key]

	staging taskgroup.Cutoffs

	mu       sync.Mutex
	readings map[string]*taskgroup.Reading // by job identity
}

// New makes a service. It starts nothing. Call it before the first write to
// the DB, whose changes it watches.
func New(o Options) (*Service, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("training: folder %q is not absolute", o.Dir)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Service{Options: o, jobs: store(o.DB), meter: newMeter(o.Registerer), data: transfer.Mover{Objects: o.Objects}, pools: newPools(),
		folders:  taskgroup.Folders{Dir: o.Dir, Runtime: o.Runtime, Log: o.Log, Keep: []string{poolsName}},
		readings: map[string]*taskgroup.Reading{}}
	s.loop = reconcile.New(reconcile.Options[resource.Key]{
		Name: family, Reconcile: s.reconcile, List: s.jobs.Unsettled,
		// A look that stages or collects data keeps its worker busy.
		Workers: 16, Log: o.Log, Metrics: o.Loops,
	})
	o.DB.Watch(s.changed)
	return s, nil
}

// Install binds the operations of training jobs to t.
func (s *Service) Install(t *op.Table) {
	resource.Create(t, sm.CreateTrainingJob, s.jobs, s.check)
	resource.Describe(t, sm.DescribeTrainingJob, s.jobs, s.complete)
	resource.ListWith(t, sm.ListTrainingJobs, s.jobs, listing)
	resource.Stop(t, sm.StopTrainingJob, s.jobs, Stopping, askToStop)
	resource.Delete(t, sm.DeleteTrainingJob, s.jobs, mayDelete)
	op.Handle(t, sm.UpdateTrainingJob, s.update)
}

// changed looks at what was written to the store.
func (s *Service) changed(row resource.Row) {
	if row.Family != family || row.Version == 0 {
		return
	}
	if row.Status == Stopping {
		s.staging.Cut(row.Key)
	}
	if !row.Settled {
		s.loop.Wake(row.Key)
	}
}

// Run runs the jobs until ctx ends. Tasks that run then go on; the next Run
// finds them again.
func (s *Service) Run(ctx context.Context) error {
	leftovers, err := s.leftovers(ctx)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	defer s.along.Wait()
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { s.keepPools(ctx) })
	events := s.Runtime.Events(ctx) // before the loop, which would miss none
	group.Go(func() { s.owners.Follow(events, s.loop.Wake) })
	group.Go(func() {
		for _, id := range leftovers {
			if ctx.Err() == nil {
				s.folders.CleanUp(ctx, id)
			}
		}
	})
	return s.loop.Run(ctx)
}
