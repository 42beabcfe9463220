// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// maxModelError bounds what of a container's error is shown to the caller.
const maxModelError = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// question is what an invocation asks, by whichever operation.
type question struct {
	caller                               auth.Caller
	endpoint                             string
	contentType, accept, custom          string
	inferenceID, session                 string
	variant, model, container, component string
}

// exchange is an invocation on its way: where it went and what came back.
type exchange struct {
	*question
	start   time.Time
	timeout time.Duration // InvokeTimeout when 0
	fleet   *fleetRoute
	v       *variantRoute
	kept    *kept   // what is captured of it; nil for nothing
	held    *target // the instance that has the caller's session; nil without one
	release func()  // gives back the model of a multi-model container; nil without
	t       *target // nil before one was found
	text    *bytes.Buffer
	body    int // where in text the caller's body begins

	hop        int // which container answered
	backend    *serving.Backend
	conn       *serving.Conn
	answer     serving.Answer
	took       time.Duration   // until the head of the answer was there
	firstChunk time.Duration   // of an answer that streams, until its first piece was there
	broken     bool            // the answer that streams ended in its middle
	loading    time.Duration   // how long the model of a multi-model container was waited for
	setup      time.Duration   // of a cold start: how long an instance was waited for
	hops       []time.Duration // of a pipeline: what each container took
}

func (x *exchange) route() routeKey {
	return routeKey{x.caller.Account, x.caller.Region, x.endpoint}
}

// deadline is when the container must have answered.
func (x *exchange) deadline() time.Time {
	if x.timeout > 0 {
		return x.start.Add(x.timeout)
	}
	return x.start.Add(serving.InvokeTimeout)
}

// invoke answers InvokeEndpoint: it finds the route, picks variant and
// instance, and hands request and answer through. Source: API_runtime_InvokeEndpoint.
func (s *Service) invoke(ctx context.Context, in *smr.InvokeEndpointInput, body io.Reader, w http.ResponseWriter) error {
	q := question{caller: auth.CallerFrom(ctx), endpoint: in.EndpointName, contentType: in.ContentType, accept: in.Accept, custom: in.CustomAttributes,
		inferenceID: in.InferenceId, session: in.SessionId, variant: in.TargetVariant, model: in.TargetModel, container: in.TargetContainerHostname,
		component: in.InferenceComponentName}
	if in.EnableExplanations != "" {
		return refuse("Endpoint %s has no ExplainerConfig: EnableExplanations cannot be specified.", in.EndpointName)
	}
	x := exchange{question: &q, start: time.Now(), text: buffers.Get().(*bytes.Buffer)}
	defer buffers.Put(x.text)
	err := s.open(ctx, &x, body)
	if err != nil {
		return err
	}
	err = s.passOn(ctx, &x, w)
	s.finish(&x, err)
	return err
}

// open sends the request where it belongs and reads the head of the answer: all
// that invocations have in common. When it answers no error the caller must read
// the answer, and call finish.
func (s *Service) open(ctx context.Context, x *exchange, body io.Reader) error {
	if err := s.find(x); err != nil {
		return err
	}
	if err := x.write(body); err != nil {
		return err
	}
	x.keep()
	sh := x.copyFor(&s.shadows)
	err := s.ask(ctx, x)
	s.askShadow(sh)
	return err
}

// find chooses fleet and variant, and checks what the caller aims at.
func (s *Service) find(x *exchange) error {
	r := s.routes.find(x.route())
	if err := r.takes(x.endpoint, x.caller.Account, false); err != nil {
		return err
	}
	switch {
	case r.shared && x.component == "":
		return refuse("Inference Component Name header is required for endpoints to which you plan to deploy inference components. Please include Inference Component Name header or consider using SageMaker models.")
	case !r.shared && x.component != "":
		return refuse("Endpoint %s has no inference components: InferenceComponentName cannot be specified.", x.endpoint)
	}
	if r.shared {
		return s.findComponent(x)
	}
	if x.inSession() {
		if err := s.chooseSession(x, r); err != nil {
			return err
		}
		return x.checkAim()
	}
	u := 0.0
	if len(r.fleets) > 1 {
		u = rand.Float64()
	}
	x.fleet, x.v = r.choose(x.variant, u, rand.Float64())
	if x.v == nil && x.variant != "" {
		return refuse("Variant %s of endpoint %s was not found.", x.variant, x.endpoint)
	}
	if x.v == nil || len(x.v.targets) == 0 && x.v.gate == nil {
		return unavailable(x.endpoint)
	}
	return x.checkAim()
}

// findComponent chooses the copies of an inference component.
func (s *Service) findComponent(x *exchange) error {
	r := s.componentRoutes.find(routeKey{x.caller.Account, x.caller.Region, x.component})
	if r == nil || r.endpoint != x.endpoint {
		return refuse("Inference Component %s of endpoint %s not found.", x.component, x.endpoint)
	}
	x.fleet = r.fleet(rand.Float64())
	x.v = &x.fleet.variants[0]
	if x.variant != "" && x.variant != x.v.name {
		return refuse("Variant %s of endpoint %s was not found.", x.variant, x.endpoint)
	}
	if len(x.v.targets) == 0 {
		x.v.meter.add(sample{status: notTaken})
		return refuse("Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API.")
	}
	if x.inSession() {
		return s.chooseSession(x, r)
	}
	return x.checkAim()
}

func refuse(format string, args ...any) error {
	return fault.New("ValidationError", http.StatusBadRequest, format, args...)
}

// checkAim holds what the caller names against what the variant is.
func (x *exchange) checkAim() error {
	switch {
	case x.model != "" && x.v.multi == 0:
		return refuse("Endpoint %s is not a multi-model endpoint: TargetModel cannot be specified.", x.endpoint)
	case x.model == "" && x.v.multi > 0:
		return refuse("Endpoint %s is a multi-model endpoint: TargetModel must be specified.", x.endpoint)
	case x.container != "" && !x.v.direct:
		return refuse("Endpoint %s is not a multi-container endpoint with direct invocation: TargetContainerHostname cannot be specified.", x.endpoint)
	case x.container == "" && x.v.direct:
		return refuse("Endpoint %s is a multi-container endpoint with direct invocation: TargetContainerHostname must be specified.", x.endpoint)
	}
	if x.v.direct {
		for i, name := range x.v.hosts {
			if name == x.container {
				x.hop = i
				return nil
			}
		}
		return refuse("Endpoint %s has no container with hostname %s.", x.endpoint, x.container)
	}
	return nil
}

func unavailable(name string) *fault.Fault {
	return fault.New("ServiceUnavailable", http.StatusServiceUnavailable, "Endpoint %s has no instance that can take the request now.", name)
}

// passOn writes a good answer to the caller, or turns a bad one into ModelError.
func (s *Service) passOn(ctx context.Context, x *exchange, w http.ResponseWriter) error {
	if x.answer.Status >= 300 {
		return s.modelFault(x, x.answer.Status, x.errorText())
	}
	head := func(length int64) {
		h := w.Header()
		for i, name := range serving.Passed {
			if val := x.answer.Header[i]; len(val) > 0 {
				h[name] = val
			}
		}
		h["X-Amzn-Invoked-Production-Variant"] = x.v.header
		if length > ownLength {
			h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
		}
		w.WriteHeader(http.StatusOK)
	}
	if x.conn.Whole(&x.answer) {
		head(x.answer.Length)
		err := x.conn.CopyBody(x.tee(w), &x.answer)
		x.backend.Done(x.conn, &x.answer, err == nil)
		if err != nil {
			s.cutOff(x, err)
		}
		return nil
	}
	held := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(held)
	held.Reset()
	l := lateHead{w: x.tee(w), held: held, head: func(length int64) { head(max(length, x.answer.Length)) }}
	broken, err := x.copyLate(ctx, &l)
	if err == nil {
		return nil
	}
	f := s.modelFault(x, 0, s.problem(x, err))
	if broken {
		x.answer.Status = http.StatusInternalServerError
	}
	if l.sent || !broken {
		s.cutOff(x, err)
	}
	return f
}

// cutOff ends the caller's connection, which must show that the answer is cut:
// its head is gone already, or the caller is.
func (s *Service) cutOff(x *exchange, err error) {
	s.finish(x, err)
	panic(http.ErrAbortHandler)
}

// errorText reads a bad answer's body and gives the connection back.
func (x *exchange) errorText() string {
	text := limited{left: maxModelError}
	err := x.conn.CopyBody(&text, &x.answer)
	x.backend.Done(x.conn, &x.answer, err == nil)
	return string(text.b)
}

// ownLength is the longest answer, in bytes, whose length net/http finds by
// itself.
const ownLength = 2000

// limited takes the first bytes and fails at the first one too many.
type limited struct {
	b    []byte
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b, l.left = append(l.b, p[:n]...), l.left-n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
