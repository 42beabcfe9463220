// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sagebrush-ml/sagebrush/model"
)

// Service is one AWS service: its operations and, once asked for, its shapes.
type Service struct {
	Name string // botocore's name, "sagemaker-runtime"

	ops  map[string]*Operation
	load func() *Schema
}

// NewService is called by the generated packages.
func NewService(name string) *Service {
	s := &Service{Name: name, ops: map[string]*Operation{}}
	s.load = sync.OnceValue(func() *Schema { return loadSchema(name) })
	return s
}

// Schema is what the model says of the service. It is read at first use.
func (s *Service) Schema() *Schema { return s.load() }

// Operation finds an operation that has messages here.
func (s *Service) Operation(name string) (*Operation, bool) {
	op, ok := s.ops[name]
	return op, ok
}

// Operations are the names of all operations that have messages here, sorted.
func (s *Service) Operations() []string { return slices.Sorted(maps.Keys(s.ops)) }

// Operation is an operation without its message types.
type Operation struct {
	Service *Service
	Name    string
	full    string // "sagemaker.CreateModel"
	newIn   func() any
}

// String is "sagemaker.CreateModel".
func (o *Operation) String() string { return o.full }

// Binding is the operation's HTTP binding and message shapes.
func (o *Operation) Binding() *Binding { return o.Service.Schema().Operations[o.Name] }

// Op is an operation with its message types.
type Op[I, O any] struct{ *Operation }

// NewOp is called by the generated packages.
func NewOp[I, O any](s *Service, name string) Op[I, O] {
	o := &Operation{Service: s, Name: name, full: s.Name + "." + name, newIn: func() any { return new(I) }}
	s.ops[name] = o
	return Op[I, O]{o}
}

// Schema is a service's model with references resolved.
type Schema struct {
	Name, Version, Protocol, JSONVersion, Target, Signing, Namespace string
	QueryCompatible                                                  bool

	Operations map[string]*Binding
	Others     []string // operations known by name only
	Errors     map[string]*Shape
}

// Binding is one operation of a Schema.
type Binding struct {
	Name          string
	Input, Output *Shape // a structure without members when the model has none
	Wrapper       string // query: element around the result
	Method, URI   string
	Status        int
	Pager         *model.Pager

	segments []string // of URI without its query
}

// Shape is a shape of the model.
type Shape struct {
	Name, Type string
	Members    []Member
	Elem       *Member // of a list
	Key, Value *Member // of a map
	Enum       []string
	Min, Max   *float64
	Pattern    string
	Payload    string
	Union      bool
	Flat       bool
	Time       string
	Code       string
	Status     int
	Events     bool

	match, not *regexp.Regexp
	compile    sync.Once
	goMatch    string
	goNot      string
}

// Member is a member of a structure, or the element of a list or map.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
	Location string // "", header, headers, uri, querystring, statusCode
	Wire     string // name on the wire
	header   string // Wire as http.Header spells it, of a header
	Stream   bool
	Flat     bool
	Time     string
	shown    bool // in an answer even when it is empty
}

func loadSchema(name string) *Schema {
	b, err := model.Digest(name)
	if err != nil {
		panic(fmt.Sprintf("wire: no digest of %s: %v", name, err))
	}
	var d model.Service
	if err := json.Unmarshal(b, &d); err != nil {
		panic(fmt.Sprintf("wire: digest of %s: %v", name, err))
	}
	s := &Schema{Name: d.Name, Version: d.Version, Protocol: d.Protocol, JSONVersion: d.JSONVersion, Target: d.Target,
		Signing: d.Signing, Namespace: d.Namespace, QueryCompatible: d.QueryCompat,
		Operations: map[string]*Binding{}, Others: d.Others, Errors: map[string]*Shape{}}
	shapes := make(map[string]*Shape, len(d.Shapes))
	for n, sh := range d.Shapes {
		shapes[n] = &Shape{Name: n, Type: sh.Type, Enum: sh.Enum, Min: sh.Min, Max: sh.Max, Pattern: sh.Pattern,
			Payload: sh.Payload, Union: sh.Union, Flat: sh.Flat, Time: sh.Time, Code: sh.Code, Status: sh.Status,
			Events: sh.EventStr, goMatch: sh.GoRE, goNot: sh.NotRE}
		if sh.Fault {
			s.Errors[n] = shapes[n]
		}
	}
	member := func(m *model.Member) *Member {
		if m == nil {
			return nil
		}
		w := m.Wire
		if w == "" {
			w = m.Name
		}
		return &Member{Name: m.Name, Shape: shapes[m.Shape], Required: m.Required, Location: m.Location,
			Wire: w, header: http.CanonicalHeaderKey(w), Stream: m.Stream, Flat: m.Flat, Time: m.Time, shown: m.Shown}
	}
	for n, sh := range d.Shapes {
		out := shapes[n]
		out.Members = make([]Member, len(sh.Members))
		for i := range sh.Members {
			out.Members[i] = *member(&sh.Members[i])
		}
		out.Elem, out.Key, out.Value = member(sh.Elem), member(sh.Key), member(sh.Value)
	}
	empty := &Shape{Type: "structure"}
	shape := func(n string) *Shape {
		if n == "" {
			return empty
		}
		return shapes[n]
	}
	for n, op := range d.Operations {
		b := &Binding{Name: n, Input: shape(op.Input), Output: shape(op.Output), Wrapper: op.Wrapper,
			Method: op.Method, URI: op.URI, Status: op.Status, Pager: op.Paginator}
		if b.Method == "" {
			b.Method = "POST"
		}
		if b.URI == "" {
			b.URI = "/"
		}
		path, _, _ := strings.Cut(b.URI, "?")
		if path != "/" {
			b.segments = splitPath(path)
		}
		if b.Status == 0 {
			b.Status = 200
		}
		s.Operations[n] = b
	}
	return s
}

// matches tells whether v satisfies the shape's pattern as a whole.
func (s *Shape) matches(v string) bool {
	s.compile.Do(func() {
		p := s.goMatch
		if p == "" {
			p = s.Pattern
		}
		s.match = regexp.MustCompile("^(?:" + p + ")$")
		if s.goNot != "" {
			s.not = regexp.MustCompile("^(?:" + s.goNot + ")")
		}
	})
	return s.match.MatchString(v) && (s.not == nil || !s.not.MatchString(v))
}
