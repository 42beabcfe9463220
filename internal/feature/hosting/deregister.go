// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// deregister takes a resource that is being deleted from Application Auto
// Scaling, with its policies, their alarms and scheduled actions: another one of
// the same name begins anew. It may be repeated. Source: "Delete endpoints
// configured for auto scaling".
func (s *Service) deregister(ctx context.Context, key resource.Key, resourceID, dimension string) error {
	o := aas.DeregisterScalableTarget
	if !s.Table.Has(o.Service.Name, o.Name) {
		return nil
	}
	ctx = auth.WithCaller(ctx, auth.Caller{Account: key.Account, Region: key.Region})
	_, err := op.Call(ctx, s.Table, o, &aas.DeregisterScalableTargetInput{ServiceNamespace: "sagemaker", ResourceId: resourceID, ScalableDimension: dimension})
	if f := fault.Of(err); f != nil && f.Code == "ObjectNotFoundException" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deregister %s of %s: %w", dimension, resourceID, err)
	}
	s.Log.Info("scalable target deregistered", "name", key.Name, "resource", resourceID, "dimension", dimension)
	return nil
}

// deregisterVariants is deregister for all variants that an endpoint had.
func (s *Service) deregisterVariants(ctx context.Context, r *endpointRecord) error {
	for i := range r.Private.Fleets {
		for _, v := range r.Private.Fleets[i].Variants {
			dimension := "sagemaker:variant:DesiredInstanceCount"
			if v.Serverless != nil {
				dimension = "sagemaker:variant:DesiredProvisionedConcurrency"
			}
			if err := s.deregister(ctx, r.Key, "endpoint/"+r.Key.Name+"/variant/"+v.Name, dimension); err != nil {
				return err
			}
		}
	}
	return nil
}

// deregisterCopies is deregister for an inference component.
func (s *Service) deregisterCopies(ctx context.Context, key resource.Key) error {
	return s.deregister(ctx, key, "inference-component/"+key.Name, "sagemaker:inference-component:DesiredCopyCount")
}
