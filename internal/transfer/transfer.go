// SPDX-License-Identifier: Apache-2.0

// Package transfer moves data between the object store and the folders that
// containers see: what a channel or a processing input asks for goes in, models,
// outputs and checkpoints come out. Where the objects are files of this machine
// nothing is copied on the way in.
package transfer

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Mover moves data of one object store. It has no state of its own.
type Mover struct{ Objects object.Store }

// DataError is a fault in the caller's data that will not pass: it ends the job.
type DataError struct{ Err error }

func (e *DataError) Error() string { return e.Err.Error() }

// Unwrap gives the fault itself.
func (e *DataError) Unwrap() error { return e.Err }

// BadData makes a DataError.
func BadData(format string, args ...any) error { return &DataError{fmt.Errorf(format, args...)} }

// Lasting reports whether making a job's data and image ready again is of no use.
func Lasting(err error) bool {
	_, bad := errors.AsType[*DataError](err)
	return bad || errors.Is(err, object.ErrNotFound) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, runtime.ErrNoImage) || errors.Is(err, runtime.ErrUnprepared)
}
