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
	Overlay        Cap // images and prepared environments need not be copied for each task
	Network        Cap // a task can be kept from the network, or have one of its own
	PIDNamespace   Cap
	CPULimit       Cap
	MemoryLimit    Cap
	ProcessLimit   Cap
	Rlimits        Cap
}

// features is what tasks in namespaces can have here beyond those.
type features struct{ overlay, network Cap }
