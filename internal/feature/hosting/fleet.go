// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/rollout"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// deployment is what an endpoint's record remembers beside Describe.
type deployment struct {
	Seed   string  `json:"seed"`   // tells this endpoint from an earlier one of its name
	Serial int     `json:"serial"` // generation of the newest fleet
	Fleets []fleet `json:"fleets"`

	// Of an inference component: how many copies it had before the update under
	// way, and what it is once that is done.
	Before *int                                       `json:"before,omitempty"`
	Spec   *sm.InferenceComponentSpecificationSummary `json:"spec,omitempty"`
}

// role is what a fleet is for.
type role string

const (
	current role = "current" // gets the traffic
	next    role = "next"    // is being started, and takes the traffic once it is healthy
	old     role = "old"     // has to go
)

// fleet is a config as it was when the endpoint took it.
type fleet struct {
	Generation int                      `json:"generation"`
	Role       role                     `json:"role"`
	Config     string                   `json:"config"`
	Since      time.Time                `json:"since"`
	Variants   []variant                `json:"variants"`
	Capture    *sm.DataCaptureConfig    `json:"capture,omitempty"`
	Async      *sm.AsyncInferenceConfig `json:"async,omitempty"`
	// How traffic moves to it from the fleet before, and how far that has come.
	Policy *sm.DeploymentConfig `json:"policy,omitempty"`
	Stage  *rollout.Stage       `json:"stage,omitempty"`
}

func (f *fleet) counts() []int {
	out := make([]int, len(f.Variants))
	for i := range f.Variants {
		out[i] = f.Variants[i].Count
	}
	return out
}

// variant is one production or shadow variant of a fleet.
type variant struct {
	Name         string        `json:"name"`
	Shadow       bool          `json:"shadow,omitempty"` // gets copies of requests, and nobody its answers
	Model        serving.Model `json:"model"`            // without containers where inference components bring theirs
	InstanceType string        `json:"instanceType,omitempty"`
	Weight       float64       `json:"weight"`
	Count        int           `json:"count"`             // wanted
	Highest      int           `json:"highest"`           // instances that ever were: those from Count on have to go
	Startup      time.Duration `json:"startup"`           // how long an instance may take to answer /ping
	Routing      string        `json:"routing,omitempty"` // RoutingStrategy as it was asked for
	Serverless   *serverless   `json:"serverless,omitempty"`
	VolumeGB     int64         `json:"volumeGB,omitempty"` // VolumeSizeInGB
	// Memory and CPU are what one instance gets where no instance type says.
	Memory int64 `json:"memory,omitempty"` // bytes
	CPU    int64 `json:"cpu,omitempty"`    // thousandths of a processor
	// Need is what a copy of an inference component takes of an instance, Pack
	// that it goes where the least is left.
	Need room `json:"need,omitzero"`
	Pack bool `json:"pack,omitempty"`

	Managed *sm.ProductionVariantManagedInstanceScaling `json:"managed,omitempty"`
	Spare   *spare                                      `json:"spare,omitempty"` // nil while no instance is
}

// serverless is a variant's ServerlessConfig.
type serverless struct {
	MemoryMB       int `json:"memoryMB"`
	MaxConcurrency int `json:"maxConcurrency"`
	Provisioned    int `json:"provisioned,omitempty"`
}

// limits is a task with what an instance of the variant may use of the machine.
func (v *variant) limits(id runtime.ID) runtime.Task {
	return serving.Limit(runtime.Task{ID: id}, v.InstanceType, v.Memory, v.CPU)
}

// spot names one place for a task: which container of which instance of which
// variant of a fleet.
type spot struct {
	generation, variant, index, container int
}

// instance is the spot of the instance, whatever the container.
func (at spot) instance() spot {
	at.container = 0
	return at
}

func (d *deployment) fleetOf(r role) *fleet {
	for i := range d.Fleets {
		if d.Fleets[i].Role == r {
			return &d.Fleets[i]
		}
	}
	return nil
}

// routed is the fleet that is served by itself after a step; nil while there is
// none.
func (d *deployment) routed(st step) *fleet {
	if f := d.fleetOf(current); f != nil && !st.promote {
		return f
	}
	return d.fleetOf(next)
}

// taskID derives the task's name from the endpoint's identity.
func (d *deployment) taskID(at spot) runtime.ID {
	id := fmt.Sprintf("ep-%s-g%d-v%d-i%d", d.Seed, at.generation, at.variant, at.index)
	if at.container > 0 {
		id += fmt.Sprintf("-c%d", at.container)
	}
	return runtime.ID(id)
}

// spots are all places that the deployment knows, wanted or not.
func (d *deployment) spots() []spot {
	var out []spot
	for i := range d.Fleets {
		out = append(out, d.Fleets[i].spots()...)
	}
	return out
}

func (f *fleet) spots() []spot {
	var out []spot
	for v := range f.Variants {
		for i := range max(f.Variants[v].Count, f.Variants[v].Highest) {
			for c := range f.Variants[v].Model.Containers {
				out = append(out, spot{f.Generation, v, i, c})
			}
		}
	}
	return out
}

func (d *deployment) at(sp spot) (*fleet, *variant) {
	for i := range d.Fleets {
		if d.Fleets[i].Generation == sp.generation {
			return &d.Fleets[i], &d.Fleets[i].Variants[sp.variant]
		}
	}
	return nil, nil
}

// seedOf tells an endpoint from an earlier one of the same name.
func seedOf(arn string, t time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s@%d", arn, t.UnixNano()))
	return hex.EncodeToString(sum[:6])
}

// startupDefault is how long a container may take until /ping answers.
// Source: "How Containers Serve Requests".
const startupDefault = 4 * time.Minute

// plan copies a config and its models into a new fleet.
func (s *Service) plan(ctx context.Context, config *sm.DescribeEndpointConfigOutput) (fleet, error) {
	f := fleet{Config: config.EndpointConfigName, Since: s.Now().UTC(), Async: config.AsyncInferenceConfig, Capture: config.DataCaptureConfig}
	for _, pv := range config.ProductionVariants {
		v, err := s.planVariant(ctx, config, &pv)
		if err != nil {
			return fleet{}, err
		}
		f.Variants = append(f.Variants, v)
	}
	for _, pv := range config.ShadowProductionVariants {
		v, err := s.planVariant(ctx, config, &pv)
		if err != nil {
			return fleet{}, err
		}
		v.Shadow = true
		f.Variants = append(f.Variants, v)
	}
	return f, nil
}

func (s *Service) planVariant(ctx context.Context, config *sm.DescribeEndpointConfigOutput, pv *sm.ProductionVariant) (variant, error) {
	v := variant{Name: pv.VariantName, InstanceType: pv.InstanceType, Weight: *pv.InitialVariantWeight, Startup: startupDefault,
		Managed: pv.ManagedInstanceScaling}
	if pv.VolumeSizeInGB != nil {
		v.VolumeGB = *pv.VolumeSizeInGB
	}
	if pv.RoutingConfig != nil {
		v.Routing = pv.RoutingConfig.RoutingStrategy
	}
	if pv.InitialInstanceCount != nil {
		v.Count = int(*pv.InitialInstanceCount)
	}
	if t := pv.ContainerStartupHealthCheckTimeoutInSeconds; t != nil {
		v.Startup = time.Duration(*t) * time.Second
	}
	if c := pv.ServerlessConfig; c != nil {
		v.Serverless = serverlessOf(c)
		v.Memory, v.CPU = int64(v.Serverless.MemoryMB)<<20, serverlessCPU(v.Serverless.MemoryMB)
		v.Count = v.Serverless.atStart()
	}
	v.Highest = v.Count
	if pv.ModelName == "" { // what inference components have of it is the config's
		v.Model.Role, v.Model.Isolated = config.ExecutionRoleArn, config.EnableNetworkIsolation != nil && *config.EnableNetworkIsolation
		return v, nil
	}
	m, err := s.models.Find(ctx, pv.ModelName)
	if err != nil {
		return variant{}, err
	}
	v.Model, err = serving.ModelOf(ctx, s.Images, m.Doc)
	return v, err
}

type endpointRecord = resource.Record[sm.DescribeEndpointOutput, deployment]
