// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

// Cap is one thing that a machine may be able to do, and in plain words how or
// why not.
type Cap struct {
	OK     bool
	Reason string
}

// Caps is what this machine can do for tasks.
type Caps struct {
	Isolation      Cap // tasks get their own root, /opt/ml, processes and host name
	UserNamespace  Cap
	MountNamespace Cap
	PIDNamespace   Cap
	CPULimit       Cap
	MemoryLimit    Cap
	Rlimits        Cap
}
