// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// TestADeletedEndpointIsDeregistered has Application Auto Scaling fail the first
// time: the endpoint goes only once its targets have.
func TestADeletedEndpointIsDeregistered(t *testing.T) {
	w := newWorld(t)
	w.model("m", nil)
	w.config("c", "m", "A", "B")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	w.settled("e")

	var mu sync.Mutex
	var asked []string
	failed := false
	op.Handle(w.table, aas.DeregisterScalableTarget, func(ctx context.Context, in *aas.DeregisterScalableTargetInput) (*aas.DeregisterScalableTargetOutput, error) {
		mu.Lock()
		defer mu.Unlock()
		if !failed {
			failed = true
			return nil, errors.New("the disk is full")
		}
		if c := auth.CallerFrom(ctx); c.Account != "123456789012" || c.Region != "us-east-1" {
			t.Errorf("asked as %+v", c)
		}
		if _, err := op.Call(w.ctx, w.table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: "e"}); err != nil {
			t.Errorf("the endpoint went before its target: %v", err)
		}
		asked = append(asked, in.ResourceId+" "+in.ScalableDimension)
		if in.ResourceId == "endpoint/e/variant/B" {
			return nil, fault.New("ObjectNotFoundException", http.StatusBadRequest, "No scalable target registered")
		}
		return &aas.DeregisterScalableTargetOutput{}, nil
	})
	call(w, sm.DeleteEndpoint, &sm.DeleteEndpointInput{EndpointName: "e"})
	w.until("the endpoint to be gone", func() bool {
		_, err := op.Call(w.ctx, w.table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: "e"})
		return err != nil
	})
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"endpoint/e/variant/A sagemaker:variant:DesiredInstanceCount", "endpoint/e/variant/B sagemaker:variant:DesiredInstanceCount"}; !slices.Equal(asked, want) {
		t.Errorf("deregistered %q", asked)
	}
}
