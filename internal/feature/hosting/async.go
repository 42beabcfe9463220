// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/async"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// asyncRoute is what the requests of an asynchronous endpoint need.
type asyncRoute struct {
	endpoint async.Endpoint
	config   async.Config
	room     int64 // MaxConcurrentInvocationsPerInstance
}

// asyncRoom is MaxConcurrentInvocationsPerInstance where none was given. AWS
// chooses by its own measure.
const asyncRoom = 4

// checkAsync holds an AsyncInferenceConfig against the rest of its config.
// Source: API_AsyncInferenceConfig and "Asynchronous inference".
func (s *Service) checkAsync(in *sm.CreateEndpointConfigInput) error {
	c := in.AsyncInferenceConfig
	switch {
	case c == nil:
		return nil
	case s.Async == nil:
		return fault.Validation("AsyncInferenceConfig is not supported by this server.")
	case len(in.ShadowProductionVariants) > 0:
		return fault.Validation("ShadowProductionVariants cannot be specified with AsyncInferenceConfig.")
	}
	out := c.OutputConfig
	for member, path := range map[string]string{"S3OutputPath": out.S3OutputPath, "S3FailurePath": out.S3FailurePath} {
		if err := async.CheckPath(path); path != "" && err != nil {
			return fault.Validation("Invalid %s %q: %s.", member, path, err)
		}
	}
	if n := out.NotificationConfig; n != nil {
		for _, include := range n.IncludeInferenceResponseIn {
			if include == includeSuccess && n.SuccessTopic == "" || include == includeError && n.ErrorTopic == "" {
				return fault.Validation("IncludeInferenceResponseIn names %s, but there is no such topic.", include)
			}
		}
	}
	return nil
}

const (
	includeSuccess = "SUCCESS_NOTIFICATION_TOPIC"
	includeError   = "ERROR_NOTIFICATION_TOPIC"
)

// checkAsyncModel refuses models that need more said than a request can say.
func checkAsyncModel(in *sm.CreateEndpointConfigInput, m *sm.DescribeModelOutput) error {
	if in.AsyncInferenceConfig == nil {
		return nil
	}
	if slices.ContainsFunc(serving.ContainersOf(m), func(c sm.ContainerDefinition) bool { return c.Mode == "MultiModel" }) {
		return fault.Validation("Model %q is a multi-model, which AsyncInferenceConfig does not support.", m.ModelName)
	}
	if e := m.InferenceExecutionConfig; e != nil && e.Mode == "Direct" {
		return fault.Validation("Model %q has containers that are invoked directly, which AsyncInferenceConfig does not support.", m.ModelName)
	}
	return nil
}

func asyncEndpoint(r *endpointRecord) async.Endpoint {
	return async.Endpoint{Account: r.Key.Account, Region: r.Key.Region, Name: r.Key.Name, Seed: r.Private.Seed}
}

func asyncRouteOf(r *endpointRecord, c *sm.AsyncInferenceConfig) *asyncRoute {
	if c == nil {
		return nil
	}
	out := &asyncRoute{endpoint: asyncEndpoint(r), room: asyncRoom}
	if c.ClientConfig != nil && c.ClientConfig.MaxConcurrentInvocationsPerInstance != nil {
		out.room = *c.ClientConfig.MaxConcurrentInvocationsPerInstance
	}
	out.config.OutputPath, out.config.FailurePath = c.OutputConfig.S3OutputPath, c.OutputConfig.S3FailurePath
	if n := c.OutputConfig.NotificationConfig; n != nil {
		out.config.SuccessTopic, out.config.ErrorTopic = n.SuccessTopic, n.ErrorTopic
		out.config.IncludeSuccess = slices.Contains(n.IncludeInferenceResponseIn, includeSuccess)
		out.config.IncludeErr = slices.Contains(n.IncludeInferenceResponseIn, includeError)
	}
	return out
}

// everAsync tells whether a fleet of the endpoint took requests for the queue.
func (d *deployment) everAsync() bool {
	return slices.ContainsFunc(d.Fleets, func(f fleet) bool { return f.Async != nil })
}

// invokeAsync answers InvokeEndpointAsync as soon as the request is in the
// queue's file, whether there are instances or not.
// Source: API_runtime_InvokeEndpointAsync.
func (s *Service) invokeAsync(ctx context.Context, in *smr.InvokeEndpointAsyncInput) (*smr.InvokeEndpointAsyncOutput, error) {
	c := auth.CallerFrom(ctx)
	r := s.routes.find(routeKey{c.Account, c.Region, in.EndpointName})
	if err := r.takes(in.EndpointName, c.Account, true); err != nil {
		return nil, err
	}
	seconds := func(n *int64) time.Duration {
		if n == nil {
			return 0
		}
		return time.Duration(*n) * time.Second
	}
	q := async.Request{InferenceID: in.InferenceId, InputLocation: in.InputLocation, Body: in.Body, ContentType: in.ContentType, Accept: in.Accept,
		CustomAttributes: in.CustomAttributes, TTL: seconds(in.RequestTTLSeconds), Timeout: seconds(in.InvocationTimeoutSeconds), Received: s.Now()}
	if len(r.fleets) > 0 && len(r.fleets[0].variants) > 0 {
		q.Variant = r.fleets[0].variants[0].name
	}
	if err := q.Prepare(r.async.config, in.S3OutputPathExtension, in.Filename); err != nil {
		return nil, err
	}
	err := s.Async.Enqueue(ctx, r.async.endpoint, &q)
	if errors.Is(err, async.ErrGone) {
		return nil, refuse("Endpoint %s of account %s not found.", in.EndpointName, c.Account)
	}
	if err != nil {
		return nil, err
	}
	return &smr.InvokeEndpointAsyncOutput{InferenceId: q.InferenceID, OutputLocation: q.Output, FailureLocation: q.Failure}, nil
}

// takes refuses an operation of the other kind, and an endpoint that is not
// there: r may be nil.
func (r *route) takes(name, account string, async bool) error {
	switch {
	case r == nil:
		return refuse("Endpoint %s of account %s not found.", name, account)
	case r.async != nil && !async:
		return refuse("Endpoint %s is an asynchronous endpoint. Use InvokeEndpointAsync to invoke it.", name)
	case r.async == nil && async:
		return refuse("Endpoint %s is not an asynchronous endpoint. Use InvokeEndpoint to invoke it.", name)
	}
	return nil
}

// asyncInstances shows the queue the routes.
type asyncInstances struct{ s *Service }

var _ async.Instances = asyncInstances{}

func (a asyncInstances) route(ep async.Endpoint) *route {
	r := a.s.routes.find(routeKey{ep.Account, ep.Region, ep.Name})
	if r == nil || r.async == nil || r.async.endpoint != ep {
		return nil
	}
	return r
}

// Endpoints implements async.Instances.
func (a asyncInstances) Endpoints() []async.Endpoint {
	var out []async.Endpoint
	for _, r := range a.s.routes.all() {
		if r.async != nil {
			out = append(out, r.async.endpoint)
		}
	}
	return out
}

// Count implements async.Instances.
func (a asyncInstances) Count(ep async.Endpoint) int {
	n := 0
	if r := a.route(ep); r != nil {
		for i := range r.fleets {
			for j := range r.fleets[i].variants {
				n += len(r.fleets[i].variants[j].targets)
			}
		}
	}
	return n
}

// Acquire implements async.Instances: a variant by weight, its least busy
// instance; another variant where that one's have no room.
func (a asyncInstances) Acquire(ep async.Endpoint) (async.Slot, bool) {
	r := a.route(ep)
	if r == nil {
		return async.Slot{}, false
	}
	f, first := r.choose("", rand.Float64(), rand.Float64())
	if first != nil {
		if slot, ok := a.slot(r, f, first); ok {
			return slot, true
		}
	}
	for i := range r.fleets {
		f := &r.fleets[i]
		for j := range f.variants {
			if v := &f.variants[j]; v != first && v.weight > 0 && f.share > 0 {
				if slot, ok := a.slot(r, f, v); ok {
					return slot, true
				}
			}
		}
	}
	return async.Slot{}, false
}

func (a asyncInstances) slot(r *route, f *fleetRoute, v *variantRoute) (async.Slot, bool) {
	t := v.least(nil, rand.IntN(1<<16))
	if t == nil || t.outstanding.Load() >= r.async.room { // the queue alone adds to it, from one place
		return async.Slot{}, false
	}
	t.outstanding.Add(1)
	return async.Slot{Variant: v.name, Instance: t.name, Release: func() { t.outstanding.Add(-1) },
		Invoke: func(ctx context.Context, q *async.Request, body io.Reader, size int64) (*async.Response, error) {
			x := asyncExchange{Request: q, fleet: f, v: v, t: t, start: time.Now()}
			return x.run(ctx, body, size)
		}}, true
}

// asyncExchange is one request on an instance.
type asyncExchange struct {
	*async.Request
	fleet *fleetRoute
	v     *variantRoute
	t     *target
	start time.Time
	hops  []time.Duration
}

// run sends the request through the containers of the instance. The first one
// reads its input, which may be large, as it comes from the object store.
func (x *asyncExchange) run(ctx context.Context, body io.Reader, size int64) (*async.Response, error) {
	contentType := x.ContentType
	for hop, b := range x.t.containers {
		began := time.Now()
		resp, err := b.Do(ctx, serving.Request{Header: x.header(contentType), Body: body, Length: size, Timeout: x.Timeout + time.Minute}) // ctx ends sooner
		if errors.Is(err, serving.ErrNotSent) && hop == 0 {
			return nil, fmt.Errorf("%w: %w", async.ErrNotTaken, err)
		}
		if err != nil {
			x.count(http.StatusInternalServerError)
			return nil, err
		}
		if hop == len(x.t.containers)-1 || resp.Status >= 300 {
			x.hops = append(x.hops, time.Since(began))
			x.count(resp.Status)
			return &async.Response{Status: resp.Status, Header: resp.Header, Body: resp.Body}, nil
		}
		var between bytes.Buffer
		_, err = between.ReadFrom(resp.Body)
		resp.Body.Close()
		x.hops = append(x.hops, time.Since(began))
		if err != nil {
			x.count(http.StatusInternalServerError)
			return nil, err
		}
		if is := resp.Header.Get("Content-Type"); is != "" {
			contentType = is
		}
		body, size = bytes.NewReader(between.Bytes()), int64(between.Len())
	}
	return nil, errors.New("the instance has no container")
}

// header is what the service forwards. Source: "How Containers Serve Requests".
func (x *asyncExchange) header(contentType string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{"Content-Type": contentType, "Accept": x.Accept,
		"X-Amzn-SageMaker-Custom-Attributes": x.CustomAttributes, "X-Amzn-SageMaker-Inference-Id": x.InferenceID} {
		if value != "" {
			h.Set(name, serving.HeaderSafe(value))
		}
	}
	return h
}

// count notes what the containers took, without what is not published of
// asynchronous endpoints.
func (x *asyncExchange) count(status int) {
	s := sample{async: true, status: status, instances: len(x.v.targets), model: time.Since(x.start)}
	if x.fleet.shared {
		s.config = x.fleet.config
	}
	if len(x.v.hosts) > 1 {
		s.hosts, s.hops = x.v.hosts, x.hops
	}
	x.v.meter.add(s)
}

// dropAsync forgets the queue of an endpoint that is being deleted.
func (s *Service) dropAsync(ctx context.Context, r *endpointRecord) error {
	if s.Async == nil || !r.Private.everAsync() {
		return nil
	}
	return s.Async.Drop(ctx, asyncEndpoint(r))
}

// Backlog tells what an asynchronous endpoint still has to do; false for any
// other endpoint.
func (s *Service) Backlog(ctx context.Context, account, region, name string) (b async.Backlog, ok bool, err error) {
	r := s.routes.find(routeKey{account, region, name})
	if r == nil || r.async == nil {
		return b, false, nil
	}
	b, err = s.Async.Backlog(ctx, r.async.endpoint)
	return b, true, err
}
