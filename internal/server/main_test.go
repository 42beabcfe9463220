// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"os"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
)

// TestMain lets the test binary be the parent of tasks, which the process
// runtime starts by executing its own binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "task" {
		os.Exit(process.RunTask(os.Args[2:]))
	}
	os.Exit(m.Run())
}
