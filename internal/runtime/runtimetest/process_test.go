// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runtimetest_test

import (
	"os"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest"
)

// TestMain lets the test's own binary be the parent of tasks.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "task" {
		os.Exit(process.RunTask(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestProcessRuntimeWithImages has the process runtime pass with images what a
// container engine passes.
func TestProcessRuntimeWithImages(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	self := []string{exe, "task"}
	can := process.Probe(self)
	if !can.Isolation.OK {
		t.Skip("no namespaces: " + can.Isolation.Reason)
	}
	lacks := map[runtimetest.Ability]string{}
	for ability, has := range map[runtimetest.Ability]process.Cap{
		runtimetest.Memory: can.MemoryLimit, runtimetest.Processes: can.ProcessLimit, runtimetest.Isolation: can.Network,
		runtimetest.IsolatedGroups: can.Network, runtimetest.Serving: can.Network,
	} {
		if !has.OK {
			lacks[ability] = has.Reason
		}
	}
	if os.Geteuid() != 0 {
		lacks[runtimetest.Users] = "an ordinary user's tasks are root of their own"
		lacks[runtimetest.IsolatedGroups] = "an ordinary user's tasks cannot share a network"
	}
	root := runtimetest.ImageRoot(t)
	dirs := map[runtime.Runtime]string{}
	at := func(t *testing.T, dir string) runtime.Runtime {
		r, err := process.New(process.Options{Dir: dir, Self: self})
		if err != nil {
			t.Fatal(err)
		}
		dirs[r] = dir
		return r
	}
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime { return at(t, t.TempDir()) }, runtimetest.Traits{
		Runs: true, Isolates: true, Outside: "127.0.0.1", Lacks: lacks,
		Image:  func(k *runtime.Task) { k.Root = root },
		Reopen: func(t *testing.T, first runtime.Runtime) runtime.Runtime { return at(t, dirs[first]) },
	})
}
