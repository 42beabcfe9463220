// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// clientError is a mistake that the user can mend: a bad hyperparameter, a
// missing channel, text in a number column.
type clientError struct{ err error }

func (e *clientError) Error() string { return e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// ErrContentType is what a Responder's error wraps for a body of a type that it
// does not read.
var ErrContentType = errors.New("unsupported content type")

// ClientErrorf makes an error that is the user's to mend. It formats as
// fmt.Errorf does, %w included. The text carries no head: failureText adds
// "ClientError: " where the service would.
func ClientErrorf(format string, args ...any) error {
	return &clientError{fmt.Errorf(format, args...)}
}

// IsClientError reports whether err, or an error that it wraps, was made by
// ClientErrorf.
func IsClientError(err error) bool {
	_, ok := errors.AsType[*clientError](err)
	return ok
}

// maxFailure is how many bytes of /opt/ml/output/failure become FailureReason.
const maxFailure = 1024

// failureText is err as FailureReason shows it, cut to maxFailure bytes at a
// rune's edge.
func failureText(err error) string {
	head := "AlgorithmError: "
	if IsClientError(err) {
		head = "ClientError: "
	}
	text := head + err.Error()
	if len(text) <= maxFailure {
		return text
	}
	end := maxFailure
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
