// SPDX-License-Identifier: Apache-2.0

// Package fault holds the errors that a caller of the API may see: AWS's code,
// AWS's words, and the HTTP status that goes with them. Every other error is
// ours and reaches the caller as InternalFailure with the request ID.
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Fault is an error in the service's own words.
type Fault struct {
	Code    string            // "ValidationException"
	Status  int               // HTTP status, 400 for all of the control plane's client faults
	Message string            // what boto3 prints after "(Code) when calling the Op operation:"
	Extra   map[string]any    // further members of a modelled exception, OriginalStatusCode for one
	Header  map[string]string // response headers that belong to the fault
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// Server reports whether the fault is the service's and not the caller's.
func (f *Fault) Server() bool { return f.Status >= 500 }

// New makes a fault of any code.
func New(code string, status int, format string, args ...any) *Fault {
	return &Fault{Code: code, Status: status, Message: sprintf(format, args)}
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// Of returns the fault inside err, or nil when err is one of ours.
func Of(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return nil
}

// Validation is the error of nearly every refused control-plane request.
func Validation(format string, args ...any) *Fault {
	return New("ValidationException", http.StatusBadRequest, format, args...)
}

// NotFound is ResourceNotFound, used by families made since about 2018;
// the older ones answer Validation.
func NotFound(format string, args ...any) *Fault {
	return New("ResourceNotFound", http.StatusBadRequest, format, args...)
}

// InUse is ResourceInUse: the name is taken or the state forbids the change.
func InUse(format string, args ...any) *Fault {
	return New("ResourceInUse", http.StatusBadRequest, format, args...)
}

// AccessDenied says who may not do what; see the form in auth.
func AccessDenied(format string, args ...any) *Fault {
	return New("AccessDeniedException", http.StatusBadRequest, format, args...)
}

// Serialization is malformed JSON, or JSON of the wrong type.
func Serialization(format string, args ...any) *Fault {
	return New("SerializationException", http.StatusBadRequest, format, args...)
}

// NotBuilt answers an operation that exists in AWS's model but not here yet.
// 501 is not retried by the SDKs.
func NotBuilt(service, operation string) *Fault {
	return New("NotImplementedException", http.StatusNotImplemented,
		"Sagebrush does not implement %s %s yet. See docs/coverage.md for the operations that work.", service, operation)
}
