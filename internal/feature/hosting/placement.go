// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	types "github.com/sagebrush-ml/sagebrush/internal/instance"
)

// room is what an instance has, or a copy of an inference component wants.
type room struct {
	MilliCPU     int64   `json:"milliCPU,omitempty"`
	MemoryMB     int64   `json:"memoryMB,omitempty"`
	Accelerators float64 `json:"accelerators,omitempty"`
}

func (r room) holds(need room) bool {
	return r.MilliCPU >= need.MilliCPU && r.MemoryMB >= need.MemoryMB && r.Accelerators >= need.Accelerators
}

func (r room) less(need room) room {
	return room{r.MilliCPU - need.MilliCPU, r.MemoryMB - need.MemoryMB, r.Accelerators - need.Accelerators}
}

// roomOf is the whole of an instance type, and of one that is not in our table
// without an end.
func roomOf(instanceType string) room {
	t, ok := types.Lookup(instanceType)
	if !ok {
		return room{1 << 40, 1 << 40, 1 << 20}
	}
	return room{t.MilliCPU(), int64(t.MemoryGiB * 1024), float64(t.GPUs + t.Chips)}
}

// demand is an inference component that wants copies on a variant's instances.
type demand struct {
	name   string
	copies int
	need   room
	pack   bool // BINPACK: the fullest instance that has room; else the emptiest
}

// place puts copies on instances, component after component, and tells how many
// of each fit on each instance. Those that come first are not moved for those
// that come later. Source: API_InferenceComponentSchedulingConfig.
func place(instances []room, demands []demand) map[string][]int {
	left := append([]room(nil), instances...)
	out := map[string][]int{}
	for _, d := range demands {
		on := make([]int, len(left))
		for range d.copies {
			best := -1
			for i := range left {
				if !left[i].holds(d.need) {
					continue
				}
				better := best < 0
				if best >= 0 && d.pack {
					better = left[i].MemoryMB < left[best].MemoryMB
				} else if best >= 0 {
					better = on[i] < on[best] || on[i] == on[best] && left[i].MemoryMB > left[best].MemoryMB
				}
				if better {
					best = i
				}
			}
			if best < 0 {
				break
			}
			left[best] = left[best].less(d.need)
			on[best]++
		}
		out[d.name] = on
	}
	return out
}

func sum(n []int) (total int) {
	for _, v := range n {
		total += v
	}
	return total
}
