// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The exit codes besides those of a child and of a job: 80 is a command line
// that cannot be read (kong's), 126 and 127 a shell's own.
const (
	exitFailed        = 1
	exitNotExecutable = 126
	exitNotFound      = 127
	exitInterrupted   = 130 // 128 + SIGINT
)

// exitCode is the process's exit code for what a command returned.
func exitCode(err error) int {
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// tell writes an error for people to w. An exitError carries a code alone:
// whoever returned it has said what there was to say.
func tell(w io.Writer, err error) {
	if _, silent := errors.AsType[exitError](err); err == nil || silent {
		return
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(w, "sagebrush:", err)
}
