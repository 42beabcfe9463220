// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

// Probe tells what this machine allows, for "sagebrush doctor".
func Probe([]string) Caps {
	none := Cap{Reason: "namespaces exist on Linux only"}
	c := Caps{Isolation: none, UserNamespace: none, MountNamespace: none, PIDNamespace: none, Overlay: none, Network: none}
	c.CPULimit, c.MemoryLimit, c.ProcessLimit = limitCaps()
	c.Rlimits = Cap{OK: true, Reason: "as for any program"}
	return c
}

func chooseIsolation([]string, string) (isolation, features, string) {
	none := Cap{Reason: "namespaces exist on Linux only"}
	return direct, features{none, none}, none.Reason
}
