// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	how, _, why := chooseIsolation(self(), t.TempDir())
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime { return fresh(t) },
		runtimetest.Traits{Runs: true, Isolates: how != direct, Why: why})
}

func TestConformanceWithoutNamespaces(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime {
		o := options(t.TempDir())
		o.Direct = true
		return open(t, o)
	}, runtimetest.Traits{Runs: true, Why: "asked for"})
}
