// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestScaleIn(t *testing.T) {
	now := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	ago := func(d time.Duration, enough int) *spare { return &spare{now.Add(-d), enough} }
	policy := func(strategy string, step, cooldown int64) *sm.ProductionVariantManagedInstanceScaling {
		return &sm.ProductionVariantManagedInstanceScaling{Status: "ENABLED", MinInstanceCount: new(int64(1)), MaxInstanceCount: new(int64(9)),
			ScaleInPolicy: &sm.ProductionVariantManagedInstanceScalingScaleInPolicy{Strategy: strategy, MaximumStepSize: &step, CooldownInMinutes: &cooldown}}
	}
	idle, pack := policy("IDLE_RELEASE", 2, 5), policy("CONSOLIDATION", 2, 5)
	toZero := policy("IDLE_RELEASE", 9, 5)
	toZero.MinInstanceCount = new(int64(0))
	plain := &sm.ProductionVariantManagedInstanceScaling{Status: "ENABLED"}
	off := policy("IDLE_RELEASE", 2, 5)
	off.Status = "DISABLED"
	// An ml.m5.large has 8 GiB.
	small := func(copies int) demand { return demand{name: "small", copies: copies, need: room{MemoryMB: 2048}} }
	large := func(copies int) demand { return demand{name: "large", copies: copies, need: room{MemoryMB: 6144}} }

	for name, c := range map[string]struct {
		managed *sm.ProductionVariantManagedInstanceScaling
		count   int
		demands []demand
		busy    bool
		spare   *spare
		keep    int
		left    *spare
		again   time.Duration
	}{
		"no instance is free":                         {idle, 2, []demand{small(2)}, false, nil, 2, nil, 0},
		"one that becomes free begins its time":       {idle, 2, []demand{small(1)}, false, nil, 2, ago(0, 1), 5 * time.Minute},
		"and waits for its end":                       {idle, 2, []demand{small(1)}, false, ago(4*time.Minute, 1), 2, ago(4*time.Minute, 1), time.Minute},
		"at which it goes":                            {idle, 2, []demand{small(1)}, false, ago(5*time.Minute, 1), 1, nil, 0},
		"not more than the step":                      {idle, 5, []demand{small(1)}, false, ago(time.Hour, 1), 3, ago(0, 1), 5 * time.Minute},
		"nor more than may go":                        {idle, 4, nil, false, ago(time.Hour, 1), 2, ago(0, 1), 5 * time.Minute},
		"a new copy ends the wait":                    {idle, 2, []demand{small(2)}, false, ago(4*time.Minute, 1), 2, nil, 0},
		"another number free begins it anew":          {idle, 4, []demand{small(2)}, false, ago(time.Hour, 1), 4, ago(0, 2), 5 * time.Minute},
		"so does a component that changes":            {idle, 2, []demand{small(1)}, true, ago(time.Hour, 1), 2, nil, 0},
		"the last one stays":                          {idle, 1, nil, false, nil, 1, nil, 0},
		"unless none is the least":                    {toZero, 3, nil, false, ago(5*time.Minute, 0), 0, nil, 0},
		"by default one goes after twenty minutes":    {plain, 3, []demand{small(1)}, false, ago(20*time.Minute, 1), 2, ago(0, 1), 20 * time.Minute},
		"and no sooner":                               {plain, 3, []demand{small(1)}, false, ago(19*time.Minute, 1), 3, ago(19*time.Minute, 1), time.Minute},
		"what is not enabled does nothing":            {off, 3, nil, false, ago(time.Hour, 1), 3, nil, 0},
		"spread copies hold their instances":          {idle, 3, []demand{small(3)}, false, ago(time.Hour, 1), 3, nil, 0},
		"but are consolidated":                        {pack, 3, []demand{small(3)}, false, ago(time.Hour, 1), 1, nil, 0},
		"after their time":                            {pack, 3, []demand{small(3)}, false, nil, 3, ago(0, 1), 5 * time.Minute},
		"consolidation needs room for all":            {pack, 4, []demand{large(2), small(2)}, false, ago(time.Hour, 2), 2, nil, 0},
		"no copy is lost by it":                       {pack, 3, []demand{large(3)}, false, ago(time.Hour, 1), 3, nil, 0},
		"copies that have no room now need none then": {pack, 2, []demand{small(3), large(9)}, false, ago(time.Hour, 1), 2, nil, 0},
	} {
		v := &variant{InstanceType: "ml.m5.large", Count: c.count, Managed: c.managed, Spare: c.spare}
		keep, left, again := v.scaleIn(c.demands, c.busy, now)
		if keep != c.keep || !reflect.DeepEqual(left, c.left) || again != c.again {
			t.Errorf("%s: keeps %d with %+v, again after %v; want %d, %+v, %v", name, keep, left, again, c.keep, c.left, c.again)
		}
	}
}

// TestManagedInstancesComeAndGo takes the clock over a restart of the server.
func TestManagedInstancesComeAndGo(t *testing.T) {
	var ahead atomic.Int64
	w := newWorldWith(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	stop := w.stop
	call(w, sm.CreateEndpointConfig, &sm.CreateEndpointConfigInput{EndpointConfigName: "e", ExecutionRoleArn: goodRole, ProductionVariants: []sm.ProductionVariant{
		{VariantName: "v", InstanceType: "ml.m5.large", InitialInstanceCount: new(int64(1)), ManagedInstanceScaling: &sm.ProductionVariantManagedInstanceScaling{
			Status: "ENABLED", MinInstanceCount: new(int64(0)), MaxInstanceCount: new(int64(4)),
			ScaleInPolicy: &sm.ProductionVariantManagedInstanceScalingScaleInPolicy{Strategy: "IDLE_RELEASE", MaximumStepSize: new(int64(3)), CooldownInMinutes: new(int64(5))}}}}})
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "e"})
	w.settled("e")
	count := func() int64 { return *w.settled("e").ProductionVariants[0].CurrentInstanceCount }
	call(w, sm.CreateInferenceComponent, &sm.CreateInferenceComponentInput{InferenceComponentName: "c", EndpointName: "e", VariantName: "v",
		RuntimeConfig: &sm.InferenceComponentRuntimeConfig{CopyCount: new(int64(1))},
		Specification: &sm.InferenceComponentSpecification{
			// The runtime's clock is not ours: what starts when ours is ahead must not look late.
			StartupParameters:           &sm.InferenceComponentStartupParameters{ContainerStartupHealthCheckTimeoutInSeconds: new(int64(3600))},
			Container:                   &sm.InferenceComponentContainerSpecification{Image: goodImage, ArtifactUrl: "s3://bucket/model.tar.gz"},
			ComputeResourceRequirements: &sm.InferenceComponentComputeResourceRequirements{MinMemoryRequiredInMb: new(int64(5000))}}})
	copies := func(n int64) {
		t.Helper()
		w.until("the copies to be there", func() bool {
			c := call(w, sm.DescribeInferenceComponent, &sm.DescribeInferenceComponentInput{InferenceComponentName: "c"})
			return c.InferenceComponentStatus == "InService" && *c.RuntimeConfig.CurrentCopyCount == n && *c.RuntimeConfig.DesiredCopyCount == n
		})
	}
	ask := func(n int64) {
		t.Helper()
		call(w, sm.UpdateInferenceComponentRuntimeConfig, &sm.UpdateInferenceComponentRuntimeConfigInput{InferenceComponentName: "c",
			DesiredRuntimeConfig: &sm.InferenceComponentRuntimeConfig{CopyCount: &n}})
		copies(n)
	}
	spares := func() *spare {
		e, err := w.service.endpoints.Find(w.ctx, "e")
		if err != nil {
			t.Fatal(err)
		}
		return e.Private.fleetOf(current).Variants[0].Spare
	}
	copies(1)
	if n := count(); n != 1 {
		t.Fatalf("%d instances for the first copy", n)
	}
	ask(4)
	if n := count(); n != 4 {
		t.Fatalf("%d instances for four copies", n)
	}
	ask(0)
	w.until("the time to begin", func() bool { return spares() != nil })
	since := spares().Since
	ahead.Store(int64(4 * time.Minute))
	stop()
	w.table = op.New()
	w.start(w.table)
	w.until("the endpoint to be looked at", func() bool { return w.service.routes.find(routeKey{"123456789012", "us-east-1", "e"}) != nil })
	if n, s := count(), spares(); n != 4 || s == nil || !s.Since.Equal(since) {
		t.Fatalf("%d instances, and %+v after a restart; the time began at %v", n, s, since)
	}
	for _, want := range []int64{1, 0} { // three at a time
		ahead.Add(int64(6 * time.Minute))
		k := w.service.endpoints.Key(w.ctx, "e")
		w.service.wake(k)
		w.until("instances to go", func() bool { return count() == want })
	}
	if s := spares(); s != nil {
		t.Errorf("%+v is remembered, and nothing can go", s)
	}
	ask(2)
	if n := count(); n != 2 {
		t.Fatalf("%d instances for two copies", n)
	}
}
