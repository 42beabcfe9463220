// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/async"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/capture"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// Roles tells whether SageMaker may assume a role.
type Roles interface {
	Assumable(ctx context.Context, roleARN string) error
}

// Options of the Service. All but Now and PingEvery are required.
type Options struct {
	DB      resource.DB
	Runtime runtime.Runtime
	Images  runtime.Images
	Objects object.Store
	Logs    telemetry.Logs
	Metrics telemetry.Metrics
	Roles   Roles
	Table   *op.Table // by which alarms of deployments are looked at and scalable targets deregistered
	Dir     string    // absolute; working folders of serving tasks
	Log     *slog.Logger
	// Env is what a container gets besides what the service gives it: how to
	// reach this server, and keys of the model's role. It may be nil.
	Env func(ctx context.Context, role, endpoint string) (map[string]string, error)
	// Reach is where this server listens: a container must come there from
	// whatever network it has.
	Reach []string
	// Async holds the requests of asynchronous endpoints. Without it there are
	// none.
	Async *async.Queue

	Loops *reconcile.Metrics // may be nil
	Now   func() time.Time
	// ServerlessIdle is how long an instance of a serverless variant stays without
	// a request; 5 min. AWS does not tell its own.
	ServerlessIdle time.Duration
	PingEvery      time.Duration // between two pings of an instance in service; 5 s
}

// Service is hosting.
type Service struct {
	Options
	models    *resource.Store[sm.DescribeModelOutput, resource.None]
	configs   *resource.Store[sm.DescribeEndpointConfigOutput, resource.None]
	endpoints *resource.Store[sm.DescribeEndpointOutput, deployment]
	loops     map[string]*reconcile.Loop[resource.Key] // by family
	launcher  serving.Launcher
	routes    routeTable

	components      *resource.Store[sm.DescribeInferenceComponentOutput, deployment]
	componentRoutes routeTable // by the component's name

	meters   meters
	sessions sessions
	gates    gates
	captures *capture.Writer
	shadows  atomic.Int64 // copies of requests that are under way

	mu        sync.Mutex
	instances map[runtime.ID]*instance // being watched
	background
}

// New makes the service; Run starts it.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PingEvery == 0 {
		o.PingEvery = 5 * time.Second
	}
	if o.ServerlessIdle == 0 {
		o.ServerlessIdle = 5 * time.Minute
	}
	s := &Service{Options: o, instances: map[runtime.ID]*instance{},
		models:    resource.New(o.DB, modelFamily),
		configs:   resource.New(o.DB, configFamily),
		endpoints: resource.New(o.DB, endpointFamily), components: resource.New(o.DB, componentFamily),
	}
	s.meters.now = o.Now
	s.captures = capture.New(capture.Options{Objects: o.Objects, Log: o.Log, Now: o.Now})
	s.gates.idle, s.gates.wake = o.ServerlessIdle, s.wake
	s.launcher = serving.Launcher{Runtime: o.Runtime, Images: o.Images, Objects: o.Objects, Logs: o.Logs, Env: o.Env, Reach: o.Reach}
	s.loops = map[string]*reconcile.Loop[resource.Key]{
		endpointFamily.Path: reconcile.New(reconcile.Options[resource.Key]{
			Name: endpointFamily.Path, Reconcile: s.reconcile, List: s.endpoints.Unsettled,
			Workers: 16, // a look may make an image ready
			Log:     o.Log, Metrics: o.Loops,
		}),
		componentFamily.Path: reconcile.New(reconcile.Options[resource.Key]{
			Name: componentFamily.Path, Reconcile: s.reconcileComponent, List: s.components.Unsettled,
			Workers: 4, Log: o.Log, Metrics: o.Loops,
		})}
	o.DB.Watch(func(r resource.Row) {
		if !r.Settled {
			s.wake(r.Key)
		}
	})
	return s
}

// Install binds the hosting operations to t.
func (s *Service) Install(t *op.Table) {
	resource.Create(t, sm.CreateModel, s.models, s.checkModel)
	resource.Describe(t, sm.DescribeModel, s.models)
	resource.List(t, sm.ListModels, s.models)
	resource.Delete(t, sm.DeleteModel, s.models)

	resource.Create(t, sm.CreateEndpointConfig, s.configs, s.checkConfig)
	resource.Describe(t, sm.DescribeEndpointConfig, s.configs)
	resource.List(t, sm.ListEndpointConfigs, s.configs)
	resource.Delete(t, sm.DeleteEndpointConfig, s.configs)

	resource.Create(t, sm.CreateEndpoint, s.endpoints, s.checkEndpoint)
	resource.Describe(t, sm.DescribeEndpoint, s.endpoints)
	resource.List(t, sm.ListEndpoints, s.endpoints)
	op.Handle(t, sm.DeleteEndpoint, s.deleteEndpoint)
	op.Handle(t, sm.UpdateEndpoint, s.updateEndpoint)
	op.Handle(t, sm.UpdateEndpointWeightsAndCapacities, s.updateWeights)

	resource.Create(t, sm.CreateInferenceComponent, s.components, s.checkComponent)
	resource.Describe(t, sm.DescribeInferenceComponent, s.components)
	resource.ListWith(t, sm.ListInferenceComponents, s.components, resource.Listing[sm.ListInferenceComponentsInput, sm.DescribeInferenceComponentOutput, deployment, sm.InferenceComponentSummary]{Match: ofEndpoint})
	resource.Stop(t, sm.DeleteInferenceComponent, s.components, sm.InferenceComponentStatusDeleting)
	op.Handle(t, sm.UpdateInferenceComponent, s.updateComponent)
	op.Handle(t, sm.UpdateInferenceComponentRuntimeConfig, s.updateCopies)

	op.Stream(t, smr.InvokeEndpoint, s.invoke)
	op.Handle(t, smr.InvokeEndpointAsync, s.invokeAsync)
	op.Stream(t, smr.InvokeEndpointWithResponseStream, s.invokeStream)
}

// Run drives the endpoints until ctx ends. Serving tasks go on running then.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	s.background.start(ctx)
	for _, loop := range s.loops {
		g.Go(func() error { return loop.Run(ctx) })
	}
	g.Go(func() error { return s.followEvents(ctx) })
	g.Go(func() error { return s.captures.Run(ctx) })
	g.Go(func() error { return s.publishMetrics(ctx) })
	if s.Async != nil {
		g.Go(func() error { return s.Async.Run(ctx, asyncInstances{s}) })
	}
	err := g.Wait()
	s.background.wait()
	return err
}

// followEvents wakes the loop of an endpoint when one of its tasks changes.
func (s *Service) followEvents(ctx context.Context) error {
	for id := range s.Runtime.Events(ctx) {
		s.mu.Lock()
		in := s.instances[id]
		s.mu.Unlock()
		if in != nil {
			s.wake(in.owner)
		}
	}
	return ctx.Err()
}

// background runs the watchers of single instances.
type background struct {
	ctx context.Context // of Run: the watchers end with it
	wg  sync.WaitGroup
}

func (b *background) start(ctx context.Context) { b.ctx = ctx }
func (b *background) wait()                     { b.wg.Wait() }
func (b *background) do(f func(context.Context)) {
	b.wg.Go(func() { f(b.ctx) })
}
