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
	for member, set := range map[string]bool{
		"AsyncInferenceConfig": in.AsyncInferenceConfig != nil, "ExplainerConfig": in.ExplainerConfig != nil,
		"ShadowProductionVariants": len(in.ShadowProductionVariants) > 0, "CrossRegionTrafficConfig": in.CrossRegionTrafficConfig != nil,
		"DataCaptureConfig": in.DataCaptureConfig != nil && in.DataCaptureConfig.EnableCapture != nil && *in.DataCaptureConfig.EnableCapture,
	} {
		if set {
			return fault.Validation("%s is not supported by Sagebrush yet.", member)
		}
	}
	seen := map[string]bool{}
	for i := range r.Doc.ProductionVariants {
		v := &r.Doc.ProductionVariants[i]
		if seen[v.VariantName] {
			return fault.Validation("The variant name %q was non-unique within the request.", v.VariantName)
		}
		seen[v.VariantName] = true
		if err := s.checkVariant(ctx, v); err != nil {
			return err
		}
	}
	if r.Doc.EnableNetworkIsolation == nil {
		r.Doc.EnableNetworkIsolation = new(false)
	}
	return nil
}

func (s *Service) checkVariant(ctx context.Context, v *sm.ProductionVariant) error {
	switch {
	case v.ServerlessConfig != nil:
		return fault.Validation("ServerlessConfig (variant %q) is not supported by Sagebrush yet.", v.VariantName)
	case v.ManagedInstanceScaling != nil:
		return fault.Validation("ManagedInstanceScaling (variant %q) is not supported by Sagebrush yet.", v.VariantName)
	case len(v.InstancePools) > 0:
		return fault.Validation("InstancePools (variant %q) is not supported by Sagebrush yet.", v.VariantName)
	case v.ModelName == "":
		return fault.Validation("Variant %q has no ModelName. Inference components are not supported by Sagebrush yet.", v.VariantName)
	case v.InstanceType == "":
		return fault.Validation("InstanceType must be specified for variant %q.", v.VariantName)
	case v.InitialInstanceCount == nil:
		return fault.Validation("InitialInstanceCount must be specified for variant %q.", v.VariantName)
	case *v.InitialInstanceCount < 1:
		return fault.Validation("InitialInstanceCount of variant %q must be at least 1.", v.VariantName)
	case v.InitialVariantWeight != nil && *v.InitialVariantWeight < 0:
		return fault.Validation("InitialVariantWeight of variant %q must not be negative.", v.VariantName)
	}
	if v.InitialVariantWeight == nil {
		v.InitialVariantWeight = new(1.0)
	}
	_, err := s.models.Find(ctx, v.ModelName)
	return err
}
