// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Roles knows the roles that containers run as.
type Roles interface {
	// Assumable is nil when the role exists and trusts sagemaker.amazonaws.com.
	Assumable(ctx context.Context, roleARN string) error
}

// Options are what a Service needs. Env, Log and Loops may be nil.
type Options struct {
	DB      resource.DB
	Runtime runtime.Runtime
	Images  runtime.Images
	Objects object.Store
	Logs    telemetry.Logs
	Metrics telemetry.Metrics
	Roles   Roles

	// Dir is the absolute path of a folder for the jobs' working folders. It
	// belongs to the Service alone, and what no job needs there is deleted.
	Dir string
	// Env is what a container gets besides what the service gives it: how to
	// reach this server, and keys of the model's role for the job called name.
	Env func(ctx context.Context, role, name string) (map[string]string, error)
	// Reach is where this server listens: a container must come there from
	// whatever network it has.
	Reach []string

	Log   *slog.Logger
	Loops *reconcile.Metrics
}

// Service runs transform jobs.
type Service struct {
	Options
	jobs     *resource.Store[sm.DescribeTransformJobOutput, private]
	loop     *reconcile.Loop[resource.Key]
	table    *op.Table // by which the model is asked for
	launcher serving.Launcher
	data     transfer.Mover
	folders  taskgroup.Folders
	owners   taskgroup.Owners[resource.Key]
	along    taskgroup.Beside // what goes on beside the jobs, by their identity: the agents are that
	staging  taskgroup.Cutoffs
}

// New makes a service. It starts nothing. Call it before the first write to
// the DB, whose changes it watches.
func New(o Options) (*Service, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("transform: folder %q is not absolute", o.Dir)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Service{Options: o, jobs: store(o.DB), data: transfer.Mover{Objects: o.Objects},
		launcher: serving.Launcher{Runtime: o.Runtime, Images: o.Images, Objects: o.Objects, Logs: o.Logs, Env: o.Env, Reach: o.Reach},
		folders:  taskgroup.Folders{Dir: o.Dir, Runtime: o.Runtime, Log: o.Log}}
	s.loop = reconcile.New(reconcile.Options[resource.Key]{
		Name: family, Reconcile: s.reconcile, List: s.jobs.Unsettled,
		Workers: 16, // a look that fetches a model keeps its worker busy
		Log:     o.Log, Metrics: o.Loops,
	})
	o.DB.Watch(s.changed)
	return s, nil
}

// Install binds the operations of transform jobs to t.
func (s *Service) Install(t *op.Table) {
	s.table = t
	resource.Create(t, sm.CreateTransformJob, s.jobs, s.check)
	resource.Describe(t, sm.DescribeTransformJob, s.jobs)
	resource.List(t, sm.ListTransformJobs, s.jobs)
	resource.Stop(t, sm.StopTransformJob, s.jobs, Stopping, askToStop)
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

// Run runs the jobs until ctx ends. Containers that run then go on; the next
// Run finds them again.
func (s *Service) Run(ctx context.Context) error {
	leftovers, err := taskgroup.Leftovers(ctx, s.folders, s.jobs.Unsettled, func(ctx context.Context, k resource.Key) (string, bool, error) {
		j, err := s.jobs.Get(ctx, k)
		if errors.Is(err, resource.ErrNotFound) { // it ended and was deleted just now
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		return identity(j), true, nil
	})
	if err != nil {
		return fmt.Errorf("transform: %w", err)
	}
	var group sync.WaitGroup
	defer s.along.Wait()
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := s.Runtime.Events(ctx)
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
