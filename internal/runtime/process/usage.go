// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

var _ runtime.Meter = (*Runtime)(nil)

// written is disk.json: what the parent has last measured.
type written struct {
	Bytes int64
	At    time.Time
}

// Usage measures a running task; see runtime.Meter. Processor time and memory
// are those of the task's control groups where it has any, else those of its
// processes that live now, with what ended ones have left. DiskBytes is at most
// some seconds old, and up to a minute for a task with millions of files.
func (r *Runtime) Usage(ctx context.Context, id runtime.ID) (runtime.Usage, bool, error) {
	if id.Check() != nil {
		return runtime.Usage{}, false, nil
	}
	s, err := r.state(id)
	if err != nil || s.Phase != runtime.Running {
		return runtime.Usage{}, false, err
	}
	d := r.task(id)
	var b begun
	if ok, err := d.read("begun.json", &b); err != nil || !ok {
		return runtime.Usage{}, false, err
	}
	u := runtime.Usage{At: time.Now()}
	cpu, hasCPU := groupCPU(b.Cgroups)
	memory, hasMemory := groupMemory(b.Cgroups)
	if !hasCPU || !hasMemory {
		treeCPU, treeMemory, ok := treeUsage(b.Init)
		if !ok {
			return runtime.Usage{}, false, nil
		}
		if !hasCPU {
			cpu = treeCPU
		}
		if !hasMemory {
			memory = treeMemory
		}
	}
	u.CPU, u.MemoryBytes = cpu, memory
	var w written
	if _, err := d.read("disk.json", &w); err != nil {
		return runtime.Usage{}, false, fmt.Errorf("usage of task %q: %w", id, err)
	}
	u.DiskBytes = w.Bytes
	if len(b.GPUs) > 0 {
		all := r.gpus.look(ctx)
		for _, i := range b.GPUs {
			u.GPUs = append(u.GPUs, all[i].GPUUsage)
		}
	}
	return u, true, nil
}

// groupCPU is the processor time of the control groups dirs: in nanoseconds in
// version 1 (cpuacct), in microseconds in version 2.
func groupCPU(dirs []string) (time.Duration, bool) {
	for _, dir := range dirs {
		if n, ok := counter(dir, "cpuacct.usage", ""); ok {
			return time.Duration(n), true
		}
		if n, ok := counter(dir, "cpu.stat", "usage_usec"); ok {
			return time.Duration(n) * time.Microsecond, true
		}
	}
	return 0, false
}

// groupMemory is the memory of the control groups dirs, without pages of files
// that nobody has used of late and that the kernel drops first.
func groupMemory(dirs []string) (int64, bool) {
	for _, dir := range dirs {
		for _, f := range []struct{ all, key string }{{"memory.usage_in_bytes", "total_inactive_file"}, {"memory.current", "inactive_file"}} {
			if n, ok := counter(dir, f.all, ""); ok {
				idle, _ := counter(dir, "memory.stat", f.key)
				return max(n-idle, 0), true
			}
		}
	}
	return 0, false
}

// counter reads a control group's file: the number in it, or the one after key.
func counter(dir, file, key string) (int64, bool) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, false
	}
	return counterIn(string(data), key)
}

// counterIn is counter on the text of the file.
func counterIn(text, key string) (int64, bool) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if key != "" {
			var ok bool
			if line, ok = strings.CutPrefix(line, key+" "); !ok {
				continue
			}
		}
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil || n < 0 {
			return 0, false
		}
		return n, true
	}
	return 0, false
}
