// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var configFamily = resource.Plain[sm.DescribeEndpointConfigOutput]{
	Noun: "EndpointConfig", Path: "endpoint-config",
	NotFound: func(arn string) error { return fault.Validation("Could not find endpoint configuration %q.", arn) },
	Exists: func(arn string) error {
		return fault.Validation("Cannot create already existing endpoint configuration %q.", arn)
	},
}

type configRecord = resource.Record[sm.DescribeEndpointConfigOutput, resource.None]

// checkConfig refuses what cannot be served and fills in the weights.
// Source: API_CreateEndpointConfig.
func (s *Service) checkConfig(ctx context.Context, in *sm.CreateEndpointConfigInput, r *configRecord) error {
	for _, part := range []struct {
		member string
		set    bool
	}{
		{"ExplainerConfig", in.ExplainerConfig != nil},
		{"CrossRegionTrafficConfig", in.CrossRegionTrafficConfig != nil},
	} {
		if part.set {
			return fault.Validation("%s is not supported by Sagebrush yet.", part.member)
		}
	}
	if err := checkCapture(in.DataCaptureConfig); err != nil {
		return err
	}
	if n := len(in.ShadowProductionVariants); n > 0 && (n > 1 || len(in.ProductionVariants) != 1) {
		return fault.Validation("With ShadowProductionVariants there must be exactly one shadow variant and one production variant; there are %d and %d.", n, len(in.ProductionVariants))
	}
	if err := s.checkAsync(in); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, variants := range [][]sm.ProductionVariant{r.Doc.ProductionVariants, r.Doc.ShadowProductionVariants} {
		for i := range variants {
			v := &variants[i]
			if seen[v.VariantName] {
				return fault.Validation("The variant name %q was non-unique within the request.", v.VariantName)
			}
			seen[v.VariantName] = true
			if err := s.checkVariant(ctx, in, v); err != nil {
				return err
			}
		}
	}
	if r.Doc.EnableNetworkIsolation == nil {
		r.Doc.EnableNetworkIsolation = new(false)
	}
	return nil
}

func (s *Service) checkVariant(ctx context.Context, in *sm.CreateEndpointConfigInput, v *sm.ProductionVariant) error {
	switch {
	case v.InitialVariantWeight != nil && *v.InitialVariantWeight < 0:
		return fault.Validation("InitialVariantWeight of variant %q must not be negative.", v.VariantName)
	case len(v.InstancePools) > 0:
		return fault.Validation("InstancePools (variant %q) is not supported by Sagebrush yet.", v.VariantName)
	case v.ModelName == "" && in.ExecutionRoleArn == "":
		return fault.Validation("Variant %q has no ModelName: for inference components ExecutionRoleArn must be specified.", v.VariantName)
	case v.ModelName == "" && (v.ServerlessConfig != nil || in.AsyncInferenceConfig != nil):
		return fault.Validation("ModelName must be specified for variant %q.", v.VariantName)
	}
	if v.InitialVariantWeight == nil {
		v.InitialVariantWeight = new(1.0)
	}
	if v.ModelName == "" {
		if err := s.Roles.Assumable(ctx, in.ExecutionRoleArn); err != nil {
			return err
		}
		return checkInstances(in, v)
	}
	m, err := s.models.Find(ctx, v.ModelName)
	if err != nil {
		return err
	}
	if err := checkAsyncModel(in, m.Doc); err != nil {
		return err
	}
	if v.ServerlessConfig != nil {
		return s.checkServerless(in, v, m.Doc)
	}
	return checkInstances(in, v)
}

// checkInstances checks a variant that runs on instances.
func checkInstances(in *sm.CreateEndpointConfigInput, v *sm.ProductionVariant) error {
	least := int64(1)
	if in.AsyncInferenceConfig != nil || v.ManagedInstanceScaling != nil {
		least = 0
	}
	switch {
	case v.InstanceType == "":
		return fault.Validation("InstanceType must be specified for variant %q.", v.VariantName)
	case v.InitialInstanceCount == nil:
		return fault.Validation("InitialInstanceCount must be specified for variant %q.", v.VariantName)
	case *v.InitialInstanceCount < least:
		return fault.Validation("InitialInstanceCount of variant %q must be at least %d.", v.VariantName, least)
	}
	if m := v.ManagedInstanceScaling; m != nil && m.MinInstanceCount != nil && m.MaxInstanceCount != nil && *m.MinInstanceCount > *m.MaxInstanceCount {
		return fault.Validation("ManagedInstanceScaling of variant %q: MinInstanceCount must not be greater than MaxInstanceCount.", v.VariantName)
	}
	return nil
}
