// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// dimension is a number of a resource that can be scaled.
type dimension struct {
	noun string // in activities: "Setting desired instance count to 4."
	form *regexp.Regexp
	read func(ctx context.Context, t *op.Table, resource string) (capacity, error)
	set  func(ctx context.Context, t *op.Table, resource string, n int) error
	// metrics are the predefined ones that a policy may track.
	metrics map[string]predefined
}

// capacity is what is seen of a resource.
type capacity struct {
	absent  string // why there is nothing to scale; "" when there is
	ready   bool   // it is in service, and may be changed
	desired int
	failure string // FailureReason
	failed  bool   // it will not come back by itself
}

var (
	variantForm   = regexp.MustCompile(`^endpoint/([a-zA-Z0-9](?:-*[a-zA-Z0-9])*)/variant/([a-zA-Z0-9](?:-*[a-zA-Z0-9])*)$`)
	componentForm = regexp.MustCompile(`^inference-component/([a-zA-Z0-9](?:-*[a-zA-Z0-9])*)$`)
)

const (
	instanceCount = "sagemaker:variant:DesiredInstanceCount"
	concurrency   = "sagemaker:variant:DesiredProvisionedConcurrency"
	copyCount     = "sagemaker:inference-component:DesiredCopyCount"
)

// dimensions are those of SageMaker. Source: API_RegisterScalableTarget.
var dimensions = map[string]dimension{
	instanceCount: {noun: "desired instance count", form: variantForm, read: readInstances, set: setInstances, metrics: map[string]predefined{
		"SageMakerVariantInvocationsPerInstance":                   {name: "InvocationsPerInstance", stat: "Sum", zero: true},
		"SageMakerVariantConcurrentRequestsPerModelHighResolution": {name: "ConcurrentRequestsPerModel", stat: "Maximum", fine: true},
	}},
	concurrency: {noun: "desired provisioned concurrency", form: variantForm, read: readConcurrency, set: setConcurrency, metrics: map[string]predefined{
		"SageMakerVariantProvisionedConcurrencyUtilization": {name: "ServerlessProvisionedConcurrencyUtilization", stat: "Average"},
	}},
	copyCount: {noun: "desired copy count", form: componentForm, read: readCopies, set: setCopies, metrics: map[string]predefined{
		"SageMakerInferenceComponentInvocationsPerCopy":                      {name: "InvocationsPerCopy", stat: "Sum", zero: true},
		"SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": {name: "ConcurrentRequestsPerCopy", stat: "Maximum", fine: true},
	}},
}

// variantOf takes a resource ID of endpoint and variant apart.
func variantOf(resource string) (endpoint, variant string) {
	m := variantForm.FindStringSubmatch(resource)
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

// readVariant describes an endpoint and finds a variant of it; nil while an
// endpoint does not tell its variants yet.
func readVariant(ctx context.Context, t *op.Table, resource string) (capacity, *sm.ProductionVariantSummary, error) {
	name, variant := variantOf(resource)
	e, err := op.Call(ctx, t, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: name})
	switch {
	case missing(err):
		return capacity{absent: cause(err)}, nil, nil
	case err != nil:
		return capacity{}, nil, err
	}
	c := capacity{ready: e.EndpointStatus == sm.EndpointStatusInService, failure: e.FailureReason,
		failed: e.EndpointStatus == sm.EndpointStatusFailed || e.EndpointStatus == sm.EndpointStatusOutOfService}
	for i := range e.ProductionVariants {
		if e.ProductionVariants[i].VariantName == variant {
			return c, &e.ProductionVariants[i], nil
		}
	}
	if len(e.ProductionVariants) > 0 {
		c.absent = fmt.Sprintf("Could not find variant %q of endpoint %q.", variant, name)
	}
	c.ready = false
	return c, nil, nil
}

func readInstances(ctx context.Context, t *op.Table, resource string) (capacity, error) {
	c, v, err := readVariant(ctx, t, resource)
	switch {
	case v == nil:
	case v.DesiredInstanceCount == nil:
		c.absent = fmt.Sprintf("Variant %q is serverless and has no instances.", v.VariantName)
	default:
		c.desired = int(*v.DesiredInstanceCount)
	}
	return c, err
}

func setInstances(ctx context.Context, t *op.Table, resource string, n int) error {
	name, variant := variantOf(resource)
	_, err := op.Call(ctx, t, sm.UpdateEndpointWeightsAndCapacities, &sm.UpdateEndpointWeightsAndCapacitiesInput{EndpointName: name,
		DesiredWeightsAndCapacities: []sm.DesiredWeightAndCapacity{{VariantName: variant, DesiredInstanceCount: new(int64(n))}}})
	return err
}

func readConcurrency(ctx context.Context, t *op.Table, resource string) (capacity, error) {
	c, v, err := readVariant(ctx, t, resource)
	if v == nil {
		return c, err
	}
	config := v.DesiredServerlessConfig
	if config == nil {
		config = v.CurrentServerlessConfig
	}
	switch {
	case config == nil:
		c.absent = fmt.Sprintf("Variant %q is not serverless and has no provisioned concurrency.", v.VariantName)
	case config.ProvisionedConcurrency != nil:
		c.desired = int(*config.ProvisionedConcurrency)
	}
	return c, err
}

func setConcurrency(ctx context.Context, t *op.Table, resource string, n int) error {
	name, variant := variantOf(resource)
	_, err := op.Call(ctx, t, sm.UpdateEndpointWeightsAndCapacities, &sm.UpdateEndpointWeightsAndCapacitiesInput{EndpointName: name,
		DesiredWeightsAndCapacities: []sm.DesiredWeightAndCapacity{{VariantName: variant,
			ServerlessUpdateConfig: &sm.ProductionVariantServerlessUpdateConfig{ProvisionedConcurrency: new(int64(n))}}}})
	return err
}

func componentOf(resource string) string { return strings.TrimPrefix(resource, "inference-component/") }

func readCopies(ctx context.Context, t *op.Table, resource string) (capacity, error) {
	d, err := op.Call(ctx, t, sm.DescribeInferenceComponent, &sm.DescribeInferenceComponentInput{InferenceComponentName: componentOf(resource)})
	switch {
	case missing(err):
		return capacity{absent: cause(err)}, nil
	case err != nil:
		return capacity{}, err
	}
	c := capacity{ready: d.InferenceComponentStatus == sm.InferenceComponentStatusInService, failure: d.FailureReason,
		failed: d.InferenceComponentStatus == sm.InferenceComponentStatusFailed}
	if d.RuntimeConfig != nil && d.RuntimeConfig.DesiredCopyCount != nil {
		c.desired = int(*d.RuntimeConfig.DesiredCopyCount)
	}
	return c, nil
}

func setCopies(ctx context.Context, t *op.Table, resource string, n int) error {
	_, err := op.Call(ctx, t, sm.UpdateInferenceComponentRuntimeConfig, &sm.UpdateInferenceComponentRuntimeConfigInput{
		InferenceComponentName: componentOf(resource), DesiredRuntimeConfig: &sm.InferenceComponentRuntimeConfig{CopyCount: new(int64(n))}})
	return err
}
