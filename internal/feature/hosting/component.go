// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/rollout"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// An inference component's statuses are spelled as an endpoint's, so that one
// policy, decide, serves both.
var componentLife = resource.Life{
	Start: sm.InferenceComponentStatusCreating,
	Moves: resource.Moves{
		sm.InferenceComponentStatusCreating:  {sm.InferenceComponentStatusInService, sm.InferenceComponentStatusFailed, sm.InferenceComponentStatusDeleting},
		sm.InferenceComponentStatusInService: {sm.InferenceComponentStatusUpdating, sm.InferenceComponentStatusDeleting},
		sm.InferenceComponentStatusUpdating:  {sm.InferenceComponentStatusInService, sm.InferenceComponentStatusFailed, sm.InferenceComponentStatusDeleting},
		sm.InferenceComponentStatusFailed:    {sm.InferenceComponentStatusDeleting},
		sm.InferenceComponentStatusDeleting:  {gone},
	},
	Rest: []string{sm.InferenceComponentStatusFailed},
}

type componentRecord = resource.Record[sm.DescribeInferenceComponentOutput, deployment]

var componentFamily = resource.Family[sm.DescribeInferenceComponentOutput, deployment]{
	Noun: "InferenceComponent", Path: "inference-component", Life: componentLife,
	NotFound: func(arn string) error { return fault.Validation("Could not find inference component %q.", arn) },
	Exists: func(arn string) error {
		return fault.Validation("Cannot create already existing inference component %q.", arn)
	},
	Refused: func(arn, status string) error {
		if status == sm.InferenceComponentStatusDeleting {
			return fault.Validation("Could not find inference component %q.", arn)
		}
		return fault.Validation("Cannot update inference component %q while it is in status %s.", arn, status)
	},
}

func componentOwner(r *componentRecord) *owner {
	return &owner{deployment: &r.Private, key: r.Key, endpoint: r.Doc.EndpointName}
}

// checkComponent copies what the component runs. Source:
// API_CreateInferenceComponent.
func (s *Service) checkComponent(ctx context.Context, in *sm.CreateInferenceComponentInput, r *componentRecord) error {
	if len(in.Specifications) > 0 {
		return fault.Validation("Specifications for several instance types is not supported by Sagebrush yet. Use Specification.")
	}
	e, err := s.endpoints.Find(ctx, in.EndpointName)
	if err != nil {
		return err
	}
	if e.Status != sm.EndpointStatusInService && e.Status != sm.EndpointStatusUpdating && e.Status != sm.EndpointStatusCreating {
		return fault.Validation("Cannot create an inference component on endpoint %q, which is in status %s.", e.ARN, e.Status)
	}
	v, err := componentVariant(&e, in.VariantName)
	if err != nil {
		return err
	}
	copies := 1
	if c := in.RuntimeConfig; c != nil && c.CopyCount != nil {
		copies = int(*c.CopyCount)
	}
	f, spec, err := s.planComponent(ctx, in.InferenceComponentName, in.Specification, v, copies)
	if err != nil {
		return err
	}
	r.Doc.VariantName, r.Doc.EndpointArn = v.Name, e.ARN
	r.Doc.Specification = spec
	f.Generation, f.Role = 1, next
	r.Private = deployment{Seed: seedOf(r.ARN, s.Now()), Serial: 1, Fleets: []fleet{f}}
	describeComponent(r, nil, func(spot) bool { return false })
	return nil
}

// componentVariant is the variant of an endpoint on which components run.
func componentVariant(e *endpointRecord, name string) (*variant, error) {
	for _, role := range []role{current, next} {
		f := e.Private.fleetOf(role)
		if f == nil {
			continue
		}
		for i := range f.Variants {
			v := &f.Variants[i]
			if name != "" && v.Name != name {
				continue
			}
			if len(v.Model.Containers) > 0 || v.Serverless != nil {
				return nil, fault.Validation("Production variant %q of endpoint %q has a model of its own: inference components need a variant without ModelName.", v.Name, e.Key.Name)
			}
			return v, nil
		}
	}
	return nil, fault.Validation("Could not find production variant %q of endpoint %q.", name, e.Key.Name)
}

// planComponent copies a specification into a fleet of one variant.
func (s *Service) planComponent(ctx context.Context, name string, in *sm.InferenceComponentSpecification, on *variant, copies int) (fleet, *sm.InferenceComponentSpecificationSummary, error) {
	none := fleet{}
	switch {
	case in == nil:
		return none, nil, fault.Validation("Specification must be specified.")
	case in.BaseInferenceComponentName != "":
		return none, nil, fault.Validation("BaseInferenceComponentName (adapters) is not supported by Sagebrush yet.")
	case in.ModelName != "" && in.Container != nil:
		return none, nil, fault.Validation("Both ModelName and Container are specified. Please specify only one of them.")
	case in.ModelName == "" && in.Container == nil:
		return none, nil, fault.Validation("Either ModelName or Container must be specified.")
	case in.ComputeResourceRequirements == nil:
		return none, nil, fault.Validation("ComputeResourceRequirements must be specified.")
	}
	need := in.ComputeResourceRequirements
	if need.MaxMemoryRequiredInMb != nil && need.MinMemoryRequiredInMb != nil && *need.MaxMemoryRequiredInMb < *need.MinMemoryRequiredInMb {
		return none, nil, fault.Validation("MaxMemoryRequiredInMb must not be less than MinMemoryRequiredInMb.")
	}
	summary := &sm.InferenceComponentSpecificationSummary{}
	wire.Project(summary, in, nil)
	v := variant{Name: name, InstanceType: on.InstanceType, Weight: 1, Count: copies, Highest: copies, Startup: startupDefault, Need: roomNeeded(need),
		Pack: in.SchedulingConfig != nil && in.SchedulingConfig.PlacementStrategy == "BINPACK"}
	if p := in.StartupParameters; p != nil && p.ContainerStartupHealthCheckTimeoutInSeconds != nil {
		v.Startup = time.Duration(*p.ContainerStartupHealthCheckTimeoutInSeconds) * time.Second
	}
	if need.MaxMemoryRequiredInMb != nil {
		v.Memory = *need.MaxMemoryRequiredInMb << 20
	}
	var err error
	if in.ModelName != "" {
		m, err := s.models.Find(ctx, in.ModelName)
		if err != nil {
			return none, nil, err
		}
		if v.Model, err = serving.ModelOf(ctx, s.Images, m.Doc); err != nil {
			return none, nil, err
		}
	} else if v.Model, err = s.componentModel(ctx, name, in.Container, on); err != nil {
		return none, nil, err
	}
	if v.Model.MultiModel() > 0 || v.Model.Direct {
		return none, nil, fault.Validation("A model with Mode MultiModel or with InferenceExecutionConfig Mode Direct cannot be an inference component.")
	}
	f := fleet{Config: name, Since: s.Now().UTC(), Variants: []variant{v}}
	if in.Container != nil {
		c := v.Model.Containers[0]
		summary.Container = &sm.InferenceComponentContainerSpecificationSummary{ArtifactUrl: in.Container.ArtifactUrl, Environment: in.Container.Environment,
			ContainerMetricsConfig: in.Container.ContainerMetricsConfig,
			DeployedImage:          &sm.DeployedImage{SpecifiedImage: c.Image, ResolvedImage: c.Resolved, ResolutionTime: wire.At(f.Since)}}
	}
	return f, summary, nil
}

// componentModel is the model of a component that names image and artifact
// itself; the role is the endpoint config's.
func (s *Service) componentModel(ctx context.Context, name string, in *sm.InferenceComponentContainerSpecification, on *variant) (serving.Model, error) {
	d := &sm.ContainerDefinition{Image: in.Image, ModelDataUrl: in.ArtifactUrl, Environment: in.Environment}
	if in.Image == "" {
		return serving.Model{}, fault.Validation("Image must be specified for the container of an inference component.")
	}
	if err := s.checkContainer(ctx, d); err != nil {
		return serving.Model{}, err
	}
	c, err := serving.ContainerOf(ctx, s.Images, d)
	return serving.Model{Name: name, Role: on.Model.Role, Isolated: on.Model.Isolated, Containers: []serving.Container{c}}, err
}

func roomNeeded(in *sm.InferenceComponentComputeResourceRequirements) room {
	var r room
	if in.NumberOfCpuCoresRequired != nil {
		r.MilliCPU = int64(*in.NumberOfCpuCoresRequired * 1000)
	}
	if in.MinMemoryRequiredInMb != nil {
		r.MemoryMB = *in.MinMemoryRequiredInMb
	}
	if in.NumberOfAcceleratorDevicesRequired != nil {
		r.Accelerators = *in.NumberOfAcceleratorDevicesRequired
	}
	return r
}

// updateComponent replaces what a component runs, or its number of copies. The
// old copies answer until the new ones do. Source: API_UpdateInferenceComponent.
func (s *Service) updateComponent(ctx context.Context, in *sm.UpdateInferenceComponentInput) (*sm.UpdateInferenceComponentOutput, error) {
	was, err := s.components.Find(ctx, in.InferenceComponentName)
	if err != nil {
		return nil, err
	}
	if len(in.Specifications) > 0 {
		return nil, fault.Validation("Specifications for several instance types is not supported by Sagebrush yet. Use Specification.")
	}
	policy := rolloutOf(in.DeploymentConfig)
	if err := rollout.Check(policy, nil); err != nil {
		return nil, err
	}
	if err := s.checkAlarms(ctx, policy); err != nil {
		return nil, err
	}
	var f *fleet
	var spec *sm.InferenceComponentSpecificationSummary
	if in.Specification != nil {
		e, err := s.endpoints.Find(ctx, was.Doc.EndpointName)
		if err != nil {
			return nil, err
		}
		on, err := componentVariant(&e, was.Doc.VariantName)
		if err != nil {
			return nil, err
		}
		planned, summary, err := s.planComponent(ctx, was.Key.Name, in.Specification, on, 0)
		if err != nil {
			return nil, err
		}
		f, spec = &planned, summary
	}
	r, err := s.editComponent(ctx, was.Key, func(r *componentRecord) {
		v := &r.Private.fleetOf(current).Variants[0]
		copies := v.Count
		if c := in.RuntimeConfig; c != nil && c.CopyCount != nil {
			copies = int(*c.CopyCount)
		}
		r.Private.Before = new(v.Count)
		if f == nil {
			v.Count, v.Highest = copies, max(v.Highest, v.Count, copies)
		} else {
			r.Private.Serial++
			f.Generation, f.Role, f.Policy = r.Private.Serial, next, policy
			f.Variants[0].Count, f.Variants[0].Highest = copies, copies
			r.Private.Fleets = append(r.Private.Fleets, *f)
			r.Private.Spec = spec
		}
		r.Doc.LastDeploymentConfig = in.DeploymentConfig
		r.Doc.RuntimeConfig.DesiredCopyCount = new(int64(copies))
	})
	if err != nil {
		return nil, err
	}
	return &sm.UpdateInferenceComponentOutput{InferenceComponentArn: r.ARN}, nil
}

// rolloutOf is a component's deployment as an endpoint would have it: copies are
// its instances.
func rolloutOf(c *sm.InferenceComponentDeploymentConfig) *sm.DeploymentConfig {
	if c == nil {
		return nil
	}
	size := func(s *sm.InferenceComponentCapacitySize) *sm.CapacitySize {
		if s == nil {
			return nil
		}
		kind := s.Type
		if kind == sm.InferenceComponentCapacitySizeTypeCOPYCOUNT {
			kind = sm.CapacitySizeTypeINSTANCECOUNT
		}
		return &sm.CapacitySize{Type: kind, Value: s.Value}
	}
	out := &sm.DeploymentConfig{AutoRollbackConfiguration: c.AutoRollbackConfiguration}
	if r := c.RollingUpdatePolicy; r != nil {
		out.RollingUpdatePolicy = &sm.RollingUpdatePolicy{MaximumBatchSize: size(r.MaximumBatchSize), WaitIntervalInSeconds: r.WaitIntervalInSeconds,
			MaximumExecutionTimeoutInSeconds: r.MaximumExecutionTimeoutInSeconds, RollbackMaximumBatchSize: size(r.RollbackMaximumBatchSize)}
	}
	return out
}

// updateCopies changes the number of copies. Source:
// API_UpdateInferenceComponentRuntimeConfig.
func (s *Service) updateCopies(ctx context.Context, in *sm.UpdateInferenceComponentRuntimeConfigInput) (*sm.UpdateInferenceComponentRuntimeConfigOutput, error) {
	out, err := s.updateComponent(ctx, &sm.UpdateInferenceComponentInput{InferenceComponentName: in.InferenceComponentName, RuntimeConfig: in.DesiredRuntimeConfig})
	if err != nil {
		return nil, err
	}
	return &sm.UpdateInferenceComponentRuntimeConfigOutput{InferenceComponentArn: out.InferenceComponentArn}, nil
}

func (s *Service) editComponent(ctx context.Context, k resource.Key, change func(*componentRecord)) (componentRecord, error) {
	return s.components.Edit(ctx, k, func(r *componentRecord) error {
		if r.Status != sm.InferenceComponentStatusInService {
			return componentFamily.Refused(r.ARN, r.Status)
		}
		r.Status, r.Doc.FailureReason = sm.InferenceComponentStatusUpdating, ""
		change(r)
		return nil
	})
}

// describeComponent writes what runs into the document.
func describeComponent(r *componentRecord, on []int, healthy func(spot) bool) {
	d := &r.Private
	desired, running := 0, 0
	if f := d.fleetOf(next); f != nil {
		desired = f.Variants[0].Count
	}
	if f := d.fleetOf(current); f != nil {
		if d.fleetOf(next) == nil {
			desired = f.Variants[0].Count
		}
		running = len(instancesOf(f, 0, healthy))
	}
	c := &sm.InferenceComponentRuntimeConfigSummary{DesiredCopyCount: new(int64(desired)), CurrentCopyCount: new(int64(running))}
	if f := d.fleetOf(current); f != nil && sum(on) > 0 {
		c.PlacementStatus = []sm.InferenceComponentPlacementStatus{{InstanceType: f.Variants[0].InstanceType, CurrentCopyCount: new(int64(running))}}
	}
	r.Doc.RuntimeConfig = c
}

// ofEndpoint keeps the components of one endpoint or variant.
func ofEndpoint(in *sm.ListInferenceComponentsInput) func(componentRecord) bool {
	if in.EndpointNameEquals == "" && in.VariantNameEquals == "" {
		return nil
	}
	return func(r componentRecord) bool {
		return (in.EndpointNameEquals == "" || r.Doc.EndpointName == in.EndpointNameEquals) &&
			(in.VariantNameEquals == "" || r.Doc.VariantName == in.VariantNameEquals)
	}
}
