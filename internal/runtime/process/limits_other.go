// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

// limits are the control groups of one task: there are none here.
type limits struct {
	dirs        []string
	cpu, memory bool
	processes   bool
}

func newLimits(taskDir, int64, int64, int64) *limits { return &limits{} }

func (*limits) apply(int) error { return nil }
func (*limits) oomKilled() bool { return false }
func (*limits) remove()         {}

func leftCgroups(taskDir) []string { return nil }

func removeCgroups([]string, bool) {}

func limitCaps() (cpu, memory, processes Cap) {
	none := Cap{Reason: "control groups exist on Linux only"}
	return none, none, none
}

func fenceProcesses(int64) error { return nil }
func fenceFiles(int64) error     { return nil }
