// SPDX-License-Identifier: Apache-2.0

// Package op is the table from operation to handler. The gateway calls it for
// requests from outside; features call each other through Call, so that a trial
// of a tuning job passes the same checks as a user's own job.
package op

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Handler answers one operation: *Op>Input in, *Op>Output out.
type Handler func(ctx context.Context, in any) (any, error)

// StreamHandler answers an operation whose body streams. In holds the members
// bound to path and headers; it writes the answer itself, or returns an error
// before it has written anything.
type StreamHandler func(ctx context.Context, in any, body io.Reader, w http.ResponseWriter) error

// Table binds operations to handlers. It is filled at start and then only read.
type Table struct {
	entries map[string]entry
}

type entry struct {
	operation *wire.Operation
	handle    Handler
	stream    StreamHandler
}

// New is an empty table.
func New() *Table { return &Table{entries: map[string]entry{}} }

// Handle binds a plain function to an operation. Binding twice panics: it is a
// mistake of ours that the first start shows.
func Handle[I, O any](t *Table, o wire.Op[I, O], f func(context.Context, *I) (*O, error)) {
	t.bind(o.Operation, entry{operation: o.Operation, handle: func(ctx context.Context, in any) (any, error) {
		out, err := f(ctx, in.(*I))
		if err != nil {
			return nil, err
		}
		return out, nil
	}})
}

// Stream binds an operation whose request or response body streams.
func Stream[I, O any](t *Table, o wire.Op[I, O], f func(ctx context.Context, in *I, body io.Reader, w http.ResponseWriter) error) {
	t.bind(o.Operation, entry{operation: o.Operation, stream: func(ctx context.Context, in any, body io.Reader, w http.ResponseWriter) error {
		return f(ctx, in.(*I), body, w)
	}})
}

func (t *Table) bind(o *wire.Operation, e entry) {
	if _, ok := t.entries[o.String()]; ok {
		panic("op: " + o.String() + " is bound twice")
	}
	t.entries[o.String()] = e
}

// Handler finds the handler of a plain operation.
func (t *Table) Handler(o *wire.Operation) (Handler, bool) {
	e, ok := t.entries[o.String()]
	return e.handle, ok && e.handle != nil
}

// StreamHandler finds the handler of a streaming operation.
func (t *Table) StreamHandler(o *wire.Operation) (StreamHandler, bool) {
	e, ok := t.entries[o.String()]
	return e.stream, ok && e.stream != nil
}

// Built are the names of the bound operations, "sagemaker.CreateModel", sorted.
func (t *Table) Built() []string { return slices.Sorted(maps.Keys(t.entries)) }

// Has tells whether an operation is bound.
func (t *Table) Has(service, operation string) bool {
	_, ok := t.entries[service+"."+operation]
	return ok
}

// Call runs an operation from inside the process, with the model's checks and
// in the name of the caller in ctx.
func Call[I, O any](ctx context.Context, t *Table, o wire.Op[I, O], in *I) (*O, error) {
	h, ok := t.Handler(o.Operation)
	if !ok {
		return nil, fault.NotBuilt(o.Service.Name, o.Name)
	}
	if err := o.Check(in); err != nil {
		return nil, fmt.Errorf("call %s: %w", o, err)
	}
	out, err := h(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", o, err)
	}
	return out.(*O), nil
}

type ownerKey struct{}

// WithOwner says on whose behalf the operations called with the context are: the
// ARN of a record that owns what they make. Only a feature can say so, never a
// request.
func WithOwner(ctx context.Context, arn string) context.Context {
	return context.WithValue(ctx, ownerKey{}, arn)
}

// Owner is the ARN that WithOwner has put into ctx, or "".
func Owner(ctx context.Context) string {
	arn, _ := ctx.Value(ownerKey{}).(string)
	return arn
}
