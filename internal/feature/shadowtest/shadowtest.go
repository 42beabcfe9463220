// SPDX-License-Identifier: Apache-2.0

package shadowtest

import (
	"context"
	"log/slog"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Roles tells whether SageMaker may assume a role.
type Roles interface {
	Assumable(ctx context.Context, roleARN string) error
}

// Options of the Service. All but Now and Loops are required.
type Options struct {
	DB    resource.DB
	Table *op.Table // by which endpoints are looked at and updated
	Roles Roles
	Log   *slog.Logger
	Loops *reconcile.Metrics
	Now   func() time.Time
}

// Service is inference experiments.
type Service struct {
	Options
	experiments *resource.Store[sm.DescribeInferenceExperimentOutput, plan]
	loop        *reconcile.Loop[resource.Key]
}

// New makes the service; Run starts it.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, experiments: resource.New(o.DB, family)}
	s.loop = reconcile.New(reconcile.Options[resource.Key]{Name: family.Path, Reconcile: s.reconcile, List: s.experiments.Unsettled,
		Log: o.Log, Metrics: o.Loops})
	o.DB.Watch(func(r resource.Row) {
		if r.Family == family.Path && !r.Settled {
			s.loop.Wake(r.Key)
		}
	})
	return s
}

// Install binds the operations of inference experiments to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, sm.CreateInferenceExperiment, s.create)
	resource.Describe(t, sm.DescribeInferenceExperiment, s.experiments, s.complete)
	resource.ListWith(t, sm.ListInferenceExperiments, s.experiments, resource.Listing[sm.ListInferenceExperimentsInput, sm.DescribeInferenceExperimentOutput, plan, sm.InferenceExperimentSummary]{Match: ofType})
	op.Handle(t, sm.UpdateInferenceExperiment, s.update)
	op.Handle(t, sm.StartInferenceExperiment, s.start)
	op.Handle(t, sm.StopInferenceExperiment, s.stop)
	op.Handle(t, sm.DeleteInferenceExperiment, s.delete)
}

// Run drives the experiments until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.loop.Run(ctx) }

// life of an experiment. A cancelled or completed one is settled.
var life = resource.Life{
	Field: "Status",
	Start: sm.InferenceExperimentStatusCreating,
	Moves: resource.Moves{
		sm.InferenceExperimentStatusCreating: {sm.InferenceExperimentStatusCreated},
		sm.InferenceExperimentStatusCreated:  {sm.InferenceExperimentStatusStarting, sm.InferenceExperimentStatusCancelled},
		sm.InferenceExperimentStatusStarting: {sm.InferenceExperimentStatusRunning, sm.InferenceExperimentStatusStopping, sm.InferenceExperimentStatusCancelled},
		sm.InferenceExperimentStatusRunning:  {sm.InferenceExperimentStatusUpdating, sm.InferenceExperimentStatusStopping},
		sm.InferenceExperimentStatusUpdating: {sm.InferenceExperimentStatusRunning, sm.InferenceExperimentStatusStopping},
		sm.InferenceExperimentStatusStopping: {sm.InferenceExperimentStatusCompleted, sm.InferenceExperimentStatusCancelled},
	},
}

// Life is the table of an experiment's states, as docs/design/states.md draws
// it. What it holds must not be changed.
func Life() resource.Life { return life }

var family = resource.Family[sm.DescribeInferenceExperimentOutput, plan]{
	Path: "inference-experiment", Life: life,
	NotFound: func(arn string) error { return fault.NotFound("Could not find inference experiment %q.", arn) },
	Exists:   func(arn string) error { return fault.InUse("Inference experiment %q already exists.", arn) },
	Refused: func(arn, status string) error {
		return fault.New("ConflictException", 400, "Inference experiment %q is in status %s, which does not allow this.", arn, status)
	},
}

type record = resource.Record[sm.DescribeInferenceExperimentOutput, plan]

// plan is what an experiment remembers beside Describe.
type plan struct {
	Principal string `json:"principal"` // who created it: the calls are made in that name
	Original  string `json:"original"`  // the endpoint's config before
	Serial    int    `json:"serial"`    // of the configs that were made
	Config    string `json:"config"`    // the config that the endpoint should have now; "" while it is not touched
	Asked     bool   `json:"asked"`     // the endpoint was told to take Config
	Started   bool   `json:"started"`   // StartInferenceExperiment was called
	// What Stop asked for.
	Actions map[string]string       `json:"actions,omitempty"`
	Desired []sm.ModelVariantConfig `json:"desired,omitempty"`
	Ends    string                  `json:"ends,omitempty"` // status after Stopping
}
