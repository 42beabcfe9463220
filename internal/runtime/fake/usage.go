// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// use is what a task takes of the machine while it runs.
type use struct {
	cpu          float64 // processors
	memory, disk int64   // bytes
	gpus         int
	gpu          float64 // percent
}

// parseUse reads what the environment says of it.
func parseUse(t runtime.Task) (*use, error) {
	u := use{gpus: t.GPUs}
	var said bool
	for name, into := range map[string]*float64{"FAKE_CPU": &u.cpu, "FAKE_GPU": &u.gpu} {
		if v := t.Env[name]; v != "" {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || !(n >= 0) {
				return nil, fmt.Errorf("%s: %q is no amount", name, v)
			}
			*into, said = n, said || name == "FAKE_CPU"
		}
	}
	for name, into := range map[string]*int64{"FAKE_MEMORY": &u.memory, "FAKE_DISK": &u.disk} {
		if v := t.Env[name]; v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%s: %q is no number of bytes", name, v)
			}
			*into, said = n, said || name == "FAKE_MEMORY"
		}
	}
	if !said {
		return nil, nil
	}
	return &u, nil
}

// Usage tells what the environment of a running task says that it takes.
func (r *Runtime) Usage(_ context.Context, id runtime.ID) (runtime.Usage, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.tasks[id]
	if k == nil || k.state.Phase != runtime.Running || k.script.use == nil {
		return runtime.Usage{}, false, nil
	}
	u, now := k.script.use, time.Now()
	out := runtime.Usage{At: now, CPU: time.Duration(float64(now.Sub(k.state.Started)) * u.cpu), MemoryBytes: u.memory, DiskBytes: u.disk}
	for range u.gpus {
		out.GPUs = append(out.GPUs, runtime.GPUUsage{Utilization: u.gpu, MemoryUtilization: u.gpu})
	}
	return out, true, nil
}
