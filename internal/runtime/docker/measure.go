// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

const (
	// A task that writes is measured this often, one that does not this seldom.
	minIdle, maxIdle = time.Second, 30 * time.Second
	// maxLog is how large a container's log may become; the engine keeps it whole.
	maxLog = 10 << 30
)

// measured is what was last found of what a task has written.
type measured struct {
	bytes int64
	at    time.Time     // zero when it was not measured yet
	idle  time.Duration // when it is worth to look again
}

// noteOf is a new task's, with the measure of what it may write to.
func noteOf(t runtime.Task) note {
	n := note{DiskBytes: t.DiskBytes}
	for _, m := range t.Mounts {
		if m.ReadOnly || m.Scratch {
			continue
		}
		if info, err := os.Stat(m.Source); err == nil && info.IsDir() {
			if n.Writes == nil {
				n.Writes = map[string]int64{}
			}
			n.Writes[filepath.Clean(m.Source)] = 0
		}
	}
	for dir := range n.Writes {
		n.Writes[dir] = size(dir, n.Writes)
	}
	return n
}

// size is how much is in a folder, but for those in it that are counted by
// themselves. What cannot be read counts as nothing.
func size(dir string, others map[string]int64) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has just gone, or is not for us to read
		}
		if d.IsDir() {
			if _, ok := others[path]; ok && path != dir {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += room(info)
		}
		return nil
	})
	return sum
}

// measure looks again and again at what the tasks have written, and ends those
// that write too much, until the runtime is closed. It costs at most a
// twentieth of a processor here, and as much of the engine.
func (r *Runtime) measure() {
	tick := time.NewTicker(minIdle)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		for id, m := range r.due() {
			began := time.Now()
			next, running, err := r.weigh(r.ctx, id)
			if err != nil {
				if r.ctx.Err() == nil {
					r.log.Debug("a task cannot be measured", "task", id, "error", err)
				}
				next = m
			}
			next.at = time.Now()
			next.idle = minIdle
			if next.bytes == m.bytes {
				next.idle = min(max(2*m.idle, minIdle), maxIdle)
			}
			next.idle = max(next.idle, 20*time.Since(began))
			r.mu.Lock()
			if _, ok := r.measured[id]; ok {
				r.measured[id] = next
				if err == nil && !running {
					delete(r.measured, id)
				}
			}
			r.mu.Unlock()
		}
	}
}

func (r *Runtime) due() map[runtime.ID]measured {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[runtime.ID]measured{}
	for id, m := range r.measured {
		if time.Since(m.at) >= m.idle {
			out[id] = m
		}
	}
	return out
}

// weigh measures one task, and ends it when it has written too much. One that
// is about to be started counts as running.
func (r *Runtime) weigh(ctx context.Context, id runtime.ID) (m measured, lives bool, err error) {
	c, ok, err := r.look(ctx, id, true)
	if err != nil {
		return m, true, err
	}
	if !ok || !begun(c) {
		return m, r.starting(id) || ok, nil
	}
	if !running(c) {
		return m, false, nil
	}
	n, err := r.notes.read(id)
	if err != nil {
		return m, true, err
	}
	if c.SizeRw != nil {
		m.bytes = *c.SizeRw
	}
	for dir, before := range n.Writes {
		m.bytes += max(size(dir, n.Writes)-before, 0)
	}
	for _, dir := range n.Scratch {
		m.bytes += size(dir, nil)
	}
	if n.DiskBytes > 0 && m.bytes > n.DiskBytes || r.crowded(ctx, c, m.bytes) {
		return m, true, r.kill(ctx, id, runtime.ReasonDisk)
	}
	return m, true, nil
}

// crowded says whether the machine's disk is nearly full and it is this task
// that writes to it, or whether it has printed more than anybody will read.
func (r *Runtime) crowded(ctx context.Context, c container.InspectResponse, written int64) bool {
	engine, err := r.engine(ctx)
	if err != nil {
		return false
	}
	// Where the local log driver writes. It is for root to see only.
	if info, err := os.Stat(filepath.Join(engine.dir, "containers", c.ID, "local-logs", "container.log")); err == nil {
		if info.Size() > maxLog {
			return true
		}
		written += info.Size()
	}
	left, total, ok := free(engine.dir)
	return ok && left < min(1<<30, total/50) && written > 64<<20
}

// kill ends a task for a reason of ours.
func (r *Runtime) kill(ctx context.Context, id runtime.ID, reason string) error {
	defer r.hold(id, false)()
	if _, err := r.notes.change(id, func(n *note) { n.Reason = reason }); err != nil {
		return err
	}
	return r.signal(ctx, id, "SIGKILL")
}

// Usage measures a running task; see runtime.Meter. DiskBytes is some seconds
// old. GPUs are not measured.
func (r *Runtime) Usage(ctx context.Context, id runtime.ID) (u runtime.Usage, ok bool, err error) {
	if !r.notes.has(id) {
		return u, false, nil
	}
	c, ok, err := r.look(ctx, id, false)
	if err != nil || !ok || !running(c) {
		return u, false, err
	}
	res, err := r.api.ContainerStats(ctx, r.name(id), client.ContainerStatsOptions{})
	if err != nil {
		if hasEnded(err) {
			err = nil
		}
		return u, false, err
	}
	defer res.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return u, false, fmt.Errorf("measure task %q: %w", id, err)
	}
	if s.CPUStats.CPUUsage.TotalUsage == 0 { // it has just ended
		return u, false, nil
	}
	cache := s.MemoryStats.Stats["total_inactive_file"] // control groups of version 1
	if v, ok := s.MemoryStats.Stats["inactive_file"]; ok && cache == 0 {
		cache = v
	}
	u.At = time.Now()
	u.CPU = time.Duration(s.CPUStats.CPUUsage.TotalUsage)                        //nolint:gosec // nanoseconds
	u.MemoryBytes = int64(s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage)) //nolint:gosec // bytes
	r.mu.Lock()
	defer r.mu.Unlock()
	u.DiskBytes = r.measured[id].bytes
	return u, true, nil
}
