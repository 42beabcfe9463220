// SPDX-License-Identifier: Apache-2.0

// Package instance knows what an ml.* instance type offers: its processors,
// memory and accelerators. They become the limits of a task.
package instance

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Type is one instance type.
type Type struct {
	Name      string  // "ml.m5.xlarge"
	VCPU      int     // hardware threads
	MemoryGiB float64 // whole for nearly all; 3.75 for ml.c4.large

	GPUs         int     // graphics processors; 0 for most
	GPUModel     string  // "NVIDIA T4"; "" without GPUs
	GPUMemoryGiB float64 // of each GPU

	Chips     int    // other accelerators: Inferentia, Trainium, Gaudi
	ChipModel string // "AWS Inferentia2"; "" without Chips
}

// MilliCPU is the processors in thousandths.
func (t Type) MilliCPU() int64 { return int64(t.VCPU) * 1000 }

// MemoryBytes is the memory in bytes.
func (t Type) MemoryBytes() int64 { return int64(t.MemoryGiB * (1 << 30)) }

// Lookup finds a type by its name. It reports false for a name that is no type,
// and for the few types whose measures are not in the table.
func Lookup(name string) (Type, bool) {
	t, ok := all()[name]
	return t, ok
}

// All are the known types ordered by name.
func All() []Type {
	types := all()
	out := make([]Type, 0, len(types))
	for _, name := range slices.Sorted(maps.Keys(types)) {
		out = append(out, types[name])
	}
	return out
}

var all = sync.OnceValue(func() map[string]Type {
	types := map[string]Type{}
	for _, f := range families {
		for _, name := range strings.Fields(f.names) {
			for _, size := range strings.Fields(f.sizes) {
				n := "ml." + name + "." + size
				vcpu := vcpus(size)
				types[n] = Type{Name: n, VCPU: vcpu, MemoryGiB: float64(vcpu) * f.gibPerVCPU}
			}
		}
	}
	for _, t := range special {
		t.Name = "ml." + t.Name
		types[t.Name] = t
	}
	return types
})

// vcpus is what a size means in the families that keep to the rule: medium 1,
// large 2, xlarge 4, Nxlarge 4N.
func vcpus(size string) int {
	switch size {
	case "medium":
		return 1
	case "large":
		return 2
	case "xlarge":
		return 4
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, "xlarge"))
	if err != nil {
		panic("instance: size " + size + " follows no rule")
	}
	return 4 * n
}
