// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

type protocol int

const (
	protocolJSON protocol = iota
	protocolREST
	protocolQuery
)

// target is where a request goes: an operation, the S3 door, or an error that
// is told once the signature is good.
type target struct {
	s3              bool
	op              *wire.Operation
	name            string // "sagemaker.CreateModel"
	labels          map[string]string
	protocol        protocol
	version         string // of awsJson, as the client speaks it
	namespace       string
	queryCompatible bool
	service         *wire.Service // of a form whose Action is not read yet
	own             ownOperation  // of an operation that AWS does not have
	link            bool          // unsigned, of one that may be
	err             error
}

func (t target) limit() int64 {
	if t.protocol == protocolREST {
		return invocationLimit
	}
	return messageLimit
}

func (t target) dialect() auth.Dialect {
	return map[protocol]auth.Dialect{protocolJSON: auth.JSON, protocolREST: auth.REST, protocolQuery: auth.Query}[t.protocol]
}

type ownOperation = func(ctx context.Context, body []byte) (any, error)

// ownTarget is the head of X-Amz-Target of operations that AWS does not have.
const ownTarget = "Sagebrush"

// router finds targets. All services share one port.
type router struct {
	json  map[string]*wire.Service // by X-Amz-Target prefix
	query map[string]*wire.Service // by signing name; every service whose clients may speak query
	rest  map[string][]*wire.Service
	own   map[string]ownOperation
	links map[string]*wire.Operation // by Action
}

func newRouter(services []*wire.Service, own map[string]ownOperation, links []*wire.Operation) router {
	t := router{own: own, links: map[string]*wire.Operation{}, json: map[string]*wire.Service{}, query: map[string]*wire.Service{}, rest: map[string][]*wire.Service{}}
	for _, o := range links {
		t.links[o.Name] = o
	}
	for _, s := range services {
		sc := s.Schema()
		if sc.Target != "" {
			t.json[sc.Target] = s
		}
		if sc.Protocol == "query" || sc.QueryCompatible {
			t.query[sc.Signing] = s
		}
		if sc.Protocol == "rest-json" {
			t.rest[sc.Signing] = append(t.rest[sc.Signing], s)
		}
	}
	return t
}

// find reads the service from the target header, the credential scope, the
// path or the form, in that order; what is left is S3's.
func (t router) find(r *http.Request) target {
	if h := r.Header.Get("X-Amz-Target"); h != "" {
		return t.findJSON(h, r.Header.Get("Content-Type"))
	}
	scope, signed := auth.ScopeOf(r)
	if scope.Service == "s3" {
		return target{s3: true}
	}
	if !signed {
		if tg, ok := t.findLink(r); ok {
			return tg
		}
		// The four data doors have paths that no bucket is asked by.
		for _, services := range t.rest {
			if tg, ok := t.findREST(services, r); ok {
				return tg
			}
		}
		if isForm(r) && r.URL.Path == "/" {
			return target{protocol: protocolQuery, name: "unknown"}
		}
		return target{s3: true}
	}
	if services, ok := t.rest[scope.Service]; ok {
		if tg, ok := t.findREST(services, r); ok {
			return tg
		}
	}
	if s, ok := t.query[scope.Service]; ok {
		return findQuery(s, r)
	}
	unknown := target{protocol: protocolJSON, version: "1.1", name: "unknown"}
	if isForm(r) { // EC2, SNS, CloudFormation…: their clients read XML
		unknown.protocol = protocolQuery
	}
	unknown.err = fault.New("UnknownOperationException", http.StatusNotFound,
		"No operation of service %q is known for %s %s.", scope.Service, r.Method, r.URL.Path)
	return unknown
}

// findLink finds the operation of a link: GET /?Action=… with no body.
func (t router) findLink(r *http.Request) (target, bool) {
	if r.Method != http.MethodGet || r.URL.Path != "/" || r.ContentLength != 0 || len(t.links) == 0 {
		return target{}, false
	}
	o, ok := t.links[r.URL.Query().Get("Action")]
	if !ok {
		return target{}, false
	}
	return target{protocol: protocolQuery, namespace: o.Service.Schema().Namespace, op: o, name: o.String(), link: true}, true
}

func (t router) findJSON(header, contentType string) target {
	out := target{protocol: protocolJSON, version: "1.1", name: "unknown"}
	if strings.Contains(contentType, "json-1.0") {
		out.version = "1.0"
	}
	prefix, name, _ := cutLast(header, ".")
	if f, ok := t.own[name]; ok && prefix == ownTarget {
		out.name, out.own = "sagebrush."+name, f
		return out
	}
	s, ok := t.json[prefix]
	if !ok {
		out.err = fault.New("UnknownOperationException", http.StatusNotFound, "Unknown target %q.", header)
		return out
	}
	out.queryCompatible = s.Schema().QueryCompatible
	return withOperation(out, s, name)
}

// withOperation fills in a named operation of s, or the error that it is not
// built, or that AWS itself does not have it.
func withOperation(t target, s *wire.Service, name string) target {
	if o, ok := s.Operation(name); ok {
		t.op, t.name = o, o.String()
		return t
	}
	if slices.Contains(s.Schema().Others, name) {
		t.name, t.err = s.Name+"."+name, fault.NotBuilt(s.Name, name)
		return t
	}
	code, status := "UnknownOperationException", http.StatusNotFound
	if t.protocol == protocolQuery {
		code, status = "InvalidAction", http.StatusBadRequest
	}
	t.err = fault.New(code, status, "The operation %s of %s is not known.", name, s.Name)
	return t
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (t router) findREST(services []*wire.Service, r *http.Request) (target, bool) {
	path := r.URL.EscapedPath()
	for _, s := range services {
		if o, labels, ok := s.MatchREST(r.Method, path); ok {
			return target{protocol: protocolREST, op: o, name: o.String(), labels: labels}, true
		}
	}
	return target{}, false
}

// Plain tells an InvokeEndpoint as clients send it: the front door may answer it
// without net/http. The body is not looked at.
func Plain(r *http.Request) bool {
	name, ok := strings.CutPrefix(r.URL.Path, "/endpoints/")
	if !ok || r.Method != http.MethodPost || r.Header["X-Amz-Target"] != nil {
		return false
	}
	name, ok = strings.CutSuffix(name, "/invocations")
	if !ok || strings.Contains(name, "/") {
		return false
	}
	scope, signed := auth.ScopeOf(r)
	return signed && scope.Service == "sagemaker"
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// findQuery leaves the operation to be read from the form. The form is in the
// body, which is read under its limit only after routing, so the query service
// carries a placeholder until then.
func findQuery(s *wire.Service, r *http.Request) target {
	t := target{protocol: protocolQuery, namespace: s.Schema().Namespace, name: "unknown"}
	if a := r.URL.Query().Get("Action"); a != "" {
		return withOperation(t, s, a)
	}
	t.service = s
	return t
}

// formOf is the form of a query request, from the body or else the URL.
func formOf(r *http.Request, body []byte) (url.Values, error) {
	if len(body) == 0 {
		return r.URL.Query(), nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fault.New("MalformedQueryString", http.StatusBadRequest, "The form could not be read: %v", err)
	}
	return form, nil
}

// shaped is a fault of a service that also speaks query, for a JSON client: the
// body names the shape, the header above the code that query clients know.
func (t target) shaped(f *fault.Fault) *fault.Fault {
	if t.op == nil {
		return f
	}
	for name, e := range t.op.Service.Schema().Errors {
		if e.Code == f.Code {
			g := *f
			g.Code = name
			return &g
		}
	}
	return f
}
