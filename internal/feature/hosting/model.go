// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var modelFamily = resource.Plain[sm.DescribeModelOutput]{
	Noun: "Model", Path: "model",
	NotFound: func(arn string) error { return fault.Validation("Could not find model %q.", arn) },
	Exists:   func(arn string) error { return fault.Validation("Cannot create already existing model %q.", arn) },
}

type modelRecord = resource.Record[sm.DescribeModelOutput, resource.None]

// checkModel checks what the model cannot say: that role, image and model data
// are there. Source: API_CreateModel.
func (s *Service) checkModel(ctx context.Context, in *sm.CreateModelInput, r *modelRecord) error {
	switch {
	case in.PrimaryContainer != nil && len(in.Containers) > 0:
		return fault.Validation("Both PrimaryContainer and Containers are specified. Please specify only one of them.")
	case in.PrimaryContainer == nil && len(in.Containers) == 0:
		return fault.Validation("Either PrimaryContainer or Containers must be specified.")
	case in.ExecutionRoleArn == "":
		return fault.Validation("ExecutionRoleArn must be specified.")
	}
	if err := s.Roles.Assumable(ctx, in.ExecutionRoleArn); err != nil {
		return err
	}
	containers := serving.ContainersOf(r.Doc)
	if err := checkTogether(in, containers); err != nil {
		return err
	}
	for i := range containers {
		if err := s.checkContainer(ctx, &containers[i]); err != nil {
			return err
		}
		if containers[i].Mode == "" {
			containers[i].Mode = "SingleModel"
		}
	}
	if r.Doc.PrimaryContainer != nil {
		r.Doc.PrimaryContainer = &containers[0]
	}
	if len(containers) > 1 && r.Doc.InferenceExecutionConfig == nil {
		r.Doc.InferenceExecutionConfig = &sm.InferenceExecutionConfig{Mode: "Serial"}
	}
	if r.Doc.EnableNetworkIsolation == nil {
		r.Doc.EnableNetworkIsolation = new(false)
	}
	return nil
}

// checkTogether checks what containers may not be beside each other. Source:
// "Host models along with pre-processing logic as serial inference pipeline".
func checkTogether(in *sm.CreateModelInput, containers []sm.ContainerDefinition) error {
	direct := in.InferenceExecutionConfig != nil && in.InferenceExecutionConfig.Mode == "Direct"
	names, multi := map[string]bool{}, 0
	for _, c := range containers {
		if c.Mode == "MultiModel" {
			multi++
		}
		if name := c.ContainerHostname; name != "" {
			if names[name] {
				return fault.Validation("Duplicate ContainerHostname %q. Each container must have its own.", name)
			}
			names[name] = true
		}
	}
	switch {
	case multi > 1:
		return fault.Validation("Only one container of a model can have Mode MultiModel.")
	case multi > 0 && direct:
		return fault.Validation("A container with Mode MultiModel cannot be invoked with InferenceExecutionConfig Mode Direct.")
	case direct && len(containers) < 2:
		return fault.Validation("InferenceExecutionConfig Mode Direct needs at least two containers.")
	case direct && len(names) < len(containers):
		return fault.Validation("ContainerHostname must be specified for each container when InferenceExecutionConfig Mode is Direct.")
	}
	return nil
}

func (s *Service) checkContainer(ctx context.Context, c *sm.ContainerDefinition) error {
	switch {
	case c.ModelPackageName != "":
		return fault.Validation("ModelPackageName is not supported by Sagebrush yet.")
	case c.Image == "":
		return fault.Validation("Either Image or ModelPackageName must be specified for a container.")
	case c.ModelDataUrl != "" && c.ModelDataSource != nil:
		return fault.Validation("Both ModelDataUrl and ModelDataSource are specified. Please specify only one of them.")
	case c.Mode == "MultiModel" && c.ModelDataUrl == "" && c.ModelDataSource == nil:
		return fault.Validation("ModelDataUrl must be specified for a container with Mode MultiModel.")
	}
	if err := serving.CheckImage(ctx, s.Images, c.Image, c.Environment); err != nil {
		return err
	}
	copied, err := serving.ContainerOf(ctx, s.Images, c)
	if err != nil {
		return err
	}
	if copied.Data != nil && !copied.Multi { // models of a multi-model endpoint may come later
		if err := s.checkData(ctx, copied.Data); err != nil {
			return err
		}
	}
	for _, x := range copied.Extra {
		if err := s.checkData(ctx, &x.Data); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkData(ctx context.Context, d *serving.Data) error {
	if ok, err := d.Exists(ctx, s.Objects); err != nil {
		return err
	} else if !ok {
		return fault.Validation("Could not find model data at %s.", d.URI)
	}
	return nil
}
