// SPDX-License-Identifier: Apache-2.0

// Package gateway is HTTP in and out: it finds the service and operation of a
// request, authenticates it, decodes the message, calls the handler and
// encodes the answer. It alone turns errors into HTTP.
package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Options of a Gateway.
type Options struct {
	Table    *op.Table
	Services []*wire.Service
	Verifier *auth.Verifier
	S3       http.Handler // verifies its own requests
	// Registry answers the OCI registry's paths below /v2/, and verifies its own
	// requests; nil for none. No bucket can be in its way: names have three
	// characters at least.
	Registry http.Handler
	// Own are the operations that AWS does not have, by name: JSON in, JSON out,
	// under the target Sagebrush.<name>.
	Own map[string]func(ctx context.Context, body []byte) (any, error)

	// Links are operations that a message of ours asks somebody to come to by
	// GET, unsigned, with all in the query. Their handlers see a caller without
	// an account and must make sure by themselves, as by a token.
	Links []*wire.Operation
	// Public are documents that anyone may read, by path.
	Public map[string]func(context.Context) ([]byte, error)

	// Health answers /healthz: nil when the server can serve.
	Health func(context.Context) error
	// Metrics answers /metrics, to callers on this machine or with MetricsToken.
	Metrics      http.Handler
	MetricsToken string

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// The body limits of a request, in bytes. AWS refuses a larger invocation; the
// control plane's own limit is not published, ours leaves room for any message
// of the model.
const (
	invocationLimit = 6 << 20
	messageLimit    = 5 << 20
)

// Gateway is the one front door.
type Gateway struct {
	Options
	router   router
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	good     sync.Map // *wire.Operation → *series
	buffers  sync.Pool
}

// series are where an operation's good answers are counted. Looking them up by
// label costs more than counting.
type series struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// New makes the gateway; it starts nothing.
func New(o Options) *Gateway {
	g := &Gateway{Options: o, router: newRouter(o.Services, o.Own, o.Links),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sagebrush_op_requests_total",
			Help: "Requests by operation and answer code."}, []string{"op", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sagebrush_op_seconds",
			Help: "Time to answer by operation.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"op"}),
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	o.Registerer.MustRegister(g.requests, g.seconds)
	return g
}

// ServeHTTP answers one request of any service.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		g.health(w, r)
		return
	case r.URL.Path == "/metrics" && r.Method == http.MethodGet && !signed(r):
		g.metrics(w, r)
		return
	case g.Registry != nil && (r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")):
		g.Registry.ServeHTTP(w, r)
		return
	case g.Public[r.URL.Path] != nil && r.Method == http.MethodGet && !signed(r):
		g.public(w, r)
		return
	}
	target := g.router.find(r)
	if target.s3 {
		g.S3.ServeHTTP(w, r)
		return
	}
	g.serve(w, r, target)
}

// call is one request on its way.
type call struct {
	target
	id    string
	start time.Time
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, t target) {
	c := call{target: t, id: uuid.NewString(), start: time.Now()}
	w.Header()["X-Amzn-Requestid"] = []string{c.id} // spelled as http.Header does
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(p)
			}
			g.Log.Error("handler panicked", "request_id", c.id, "op", c.name, "panic", p, "stack", string(debug.Stack()))
			g.refuse(w, r, c, fmt.Errorf("panic: %v", p))
		}
	}()
	buf := g.buffers.Get().(*bytes.Buffer)
	defer g.buffers.Put(buf)
	buf.Reset()
	body, err := readBody(r, c.limit(), buf)
	if err != nil {
		g.refuse(w, r, c, err)
		return
	}
	var caller auth.Caller
	var scope auth.Scope
	if !c.link {
		caller, scope, err = g.Verifier.Verify(r, body)
	}
	if err != nil {
		if f, ok := errors.AsType[*auth.Refusal](err); ok {
			err = f.Fault(c.dialect())
		}
		g.refuse(w, r, c, err)
		return
	}
	caller.RequestID = c.id
	if caller.Region == "" || caller.Region == "aws-global" {
		caller.Region = scope.Region
	}
	ctx := auth.WithCaller(r.Context(), caller)
	if err := g.answer(ctx, w, r, &c, body); err != nil {
		g.refuse(w, r, c, err)
		return
	}
	g.doneWell(c)
}

// readBody reads a body of at most limit bytes into buf. A client that
// announces more is refused before it has sent it.
func readBody(r *http.Request, limit int64, buf *bytes.Buffer) ([]byte, error) {
	tooLarge := func() error {
		return fault.New("RequestEntityTooLargeException", http.StatusRequestEntityTooLarge,
			"The request body is larger than the limit of %d bytes.", limit)
	}
	if r.ContentLength > limit {
		return nil, tooLarge()
	}
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, fault.Serialization("The request body could not be read: %v", err)
	}
	if n > limit {
		return nil, tooLarge()
	}
	return buf.Bytes(), nil
}

// answer decodes, calls and encodes. Nothing has been written when it returns
// an error.
func (g *Gateway) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, c *call, body []byte) error {
	var form url.Values
	if c.protocol == protocolQuery {
		var err error
		if form, err = formOf(r, body); err != nil {
			return err
		}
		if c.service != nil {
			c.target = withOperation(c.target, c.service, form.Get("Action"))
		}
	}
	if c.err != nil {
		return c.err
	}
	if c.own != nil {
		return g.answerOwn(ctx, w, c, body)
	}
	if stream, ok := g.Table.StreamHandler(c.op); ok {
		in, err := c.op.DecodeREST(r, c.labels, nil)
		if err != nil {
			return inWords(err, c)
		}
		return stream(ctx, in, bytes.NewReader(body), w)
	}
	handle, ok := g.Table.Handler(c.op)
	if !ok {
		return fault.NotBuilt(c.op.Service.Name, c.op.Name)
	}
	var in any
	var err error
	switch c.protocol {
	case protocolJSON:
		in, err = c.op.DecodeJSON(body)
	case protocolQuery:
		in, err = c.op.DecodeQuery(form)
	case protocolREST:
		in, err = c.op.DecodeREST(r, c.labels, body)
	}
	if err != nil {
		return inWords(err, c)
	}
	out, err := handle(ctx, in)
	if err != nil {
		return err
	}
	status, text := http.StatusOK, []byte(nil)
	switch c.protocol {
	case protocolJSON:
		w.Header().Set("Content-Type", "application/x-amz-json-"+c.version)
		text = c.op.EncodeJSON(out)
	case protocolQuery:
		w.Header().Set("Content-Type", "text/xml")
		text = c.op.EncodeQuery(out, c.id)
	case protocolREST:
		var h http.Header
		h, status, text = c.op.EncodeREST(out)
		for k := range h {
			w.Header()[k] = h[k]
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, err = w.Write(text)
	if err != nil {
		g.Log.Debug("answer not delivered", "request_id", c.id, "op", c.name, "err", err)
	}
	return nil
}

// inWords renames the refusals of the model's checks as the service does: the
// control plane says ValidationException; the data plane, the query services
// and CloudWatch ValidationError; Logs and ECR InvalidParameterException; SQS
// has a code for what is missing and one for all else.
func inWords(err error, c *call) error {
	f := fault.Of(err)
	if f == nil || f.Code != "ValidationException" {
		return err
	}
	switch name := c.op.Service.Name; {
	case name == "logs" || name == "ecr":
		f.Code = "InvalidParameterException"
	case name == "sqs" && strings.Contains(f.Message, "Value null at"):
		f.Code = "MissingParameter"
	case name == "sqs":
		f.Code = "InvalidParameterValue"
	case c.protocol != protocolJSON || name == "cloudwatch":
		f.Code = "ValidationError"
	}
	return err
}

func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, c call, err error) {
	f := fault.Of(err)
	if f == nil {
		g.Log.Error("request failed", "request_id", c.id, "op", c.name, "err", err)
		f = fault.New("InternalFailure", http.StatusInternalServerError,
			"An internal error has occurred. The server's log has the cause under request id %s.", c.id)
	} else if g.Log.Enabled(r.Context(), slog.LevelDebug) {
		g.Log.Debug("request refused", "request_id", c.id, "op", c.name, "err", err)
	}
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	var text []byte
	switch c.protocol {
	case protocolQuery:
		w.Header().Set("Content-Type", "text/xml")
		text = wire.EncodeFaultQuery(f, c.namespace, c.id)
	default:
		w.Header().Set("X-Amzn-Errortype", f.Code)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if c.protocol == protocolREST {
			w.Header().Set("Content-Type", "application/json")
		}
		if c.queryCompatible {
			kind := "Sender"
			if f.Server() {
				kind = "Receiver"
			}
			if f.Header["X-Amzn-Query-Error"] == "" { // else the fault knows its older code
				w.Header().Set("X-Amzn-Query-Error", f.Code+";"+kind)
			}
			f = c.shaped(f)
		}
		text = wire.EncodeFaultJSON(f)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(f.Status)
	_, _ = w.Write(text) // the client may have gone; there is no one else to tell
	g.done(c, f.Code)
}

// answerOwn is answer for an operation that only this server has.
func (g *Gateway) answerOwn(ctx context.Context, w http.ResponseWriter, c *call, body []byte) error {
	out, err := c.own(ctx, body)
	if err != nil {
		return err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-"+c.version)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client may have gone; there is no one else to tell
	return nil
}

func (g *Gateway) doneWell(c call) {
	if c.op == nil {
		g.done(c, "OK")
		return
	}
	v, ok := g.good.Load(c.op)
	if !ok {
		v, _ = g.good.LoadOrStore(c.op, &series{g.requests.WithLabelValues(c.name, "OK"), g.seconds.WithLabelValues(c.name)})
	}
	s := v.(*series)
	s.requests.Inc()
	s.seconds.Observe(time.Since(c.start).Seconds())
}

func (g *Gateway) done(c call, code string) {
	name := c.name
	if name == "" {
		name = "unknown"
	}
	g.requests.WithLabelValues(name, code).Inc()
	g.seconds.WithLabelValues(name).Observe(time.Since(c.start).Seconds())
}

func (g *Gateway) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if g.Health != nil {
		if err := g.Health(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "{\"status\":\"unavailable\",\"reason\":%q}\n", err.Error())
			return
		}
	}
	_, _ = io.WriteString(w, "{\"status\":\"ok\"}\n")
}

// public answers one of the Public documents.
func (g *Gateway) public(w http.ResponseWriter, r *http.Request) {
	text, err := g.Public[r.URL.Path](r.Context())
	if err != nil {
		g.Log.Error("document not made", "path", r.URL.Path, "err", err)
		http.Error(w, "the document could not be made; the server's log has the cause", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text) // the client may have gone; there is no one else to tell
}

func (g *Gateway) metrics(w http.ResponseWriter, r *http.Request) {
	if !local(r) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || g.MetricsToken == "" || token != g.MetricsToken {
			http.Error(w, "metrics are for this machine, or for the metrics token", http.StatusForbidden)
			return
		}
	}
	g.Metrics.ServeHTTP(w, r)
}

// local tells whether the request came over loopback.
func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// signed tells a request of an AWS client, which may ask S3 for a bucket named
// "metrics", from a scrape.
func signed(r *http.Request) bool {
	_, ok := auth.ScopeOf(r)
	return ok
}
