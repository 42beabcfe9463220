// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// gpu is one accelerator of this machine.
type gpu struct {
	runtime.GPUUsage
	Name string // what CUDA_VISIBLE_DEVICES calls it
}

// gpus asks nvidia-smi, at most once a second.
type gpus struct {
	mu    sync.Mutex
	asked time.Time
	known map[int]gpu // by the number of the device file
}

// look tells of the accelerators that there are; nil when there are none.
func (g *gpus) look(ctx context.Context) map[int]gpu {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) < time.Second {
		return g.known
	}
	g.asked, g.known = time.Now(), nil
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	if len(devices) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=index,uuid,utilization.gpu,utilization.memory", "--format=csv,noheader,nounits").Output()
	if err == nil {
		g.known = parseGPUs(string(out))
	}
	if len(g.known) == 0 { // the devices are there, the program is not
		g.known = map[int]gpu{}
		for _, d := range devices {
			if n, err := strconv.Atoi(strings.TrimPrefix(d, "/dev/nvidia")); err == nil {
				g.known[n] = gpu{Name: strconv.Itoa(n)}
			}
		}
	}
	return g.known
}

// parseGPUs reads lines "index, uuid, percent, percent". What an accelerator
// does not tell ("[N/A]") is 0.
func parseGPUs(text string) map[int]gpu {
	known := map[int]gpu{}
	for line := range strings.Lines(text) {
		f := strings.Split(line, ",")
		if len(f) != 4 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(f[0]))
		if err != nil || n < 0 {
			continue
		}
		percent := func(s string) float64 {
			v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil || !(v >= 0 && v <= 100) {
				return 0
			}
			return v
		}
		known[n] = gpu{runtime.GPUUsage{Utilization: percent(f[2]), MemoryUtilization: percent(f[3])}, strings.TrimSpace(f[1])}
	}
	return known
}

// assign chooses n accelerators for a task, those that the fewest living tasks
// of this runtime see: all that there are, if there are no more.
func (r *Runtime) assign(ctx context.Context, n int) (numbers []int, names []string) {
	if n <= 0 {
		return nil, nil
	}
	known := r.gpus.look(ctx)
	users := map[int]int{}
	for _, id := range r.liveIDs() {
		var s spec
		if ok, err := r.task(id).read("task.json", &s); err == nil && ok {
			for _, i := range s.GPUs {
				users[i]++
			}
		}
	}
	for i := range known {
		numbers = append(numbers, i)
	}
	slices.SortFunc(numbers, func(a, b int) int {
		if users[a] != users[b] {
			return users[a] - users[b]
		}
		return a - b
	})
	numbers = numbers[:min(n, len(numbers))]
	for _, i := range numbers {
		names = append(names, known[i].Name)
	}
	return numbers, names
}
