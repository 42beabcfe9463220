// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry/hostmetrics"
)

// Beside runs what goes on beside a job: at most one goroutine for each job and
// purpose. The zero value is ready. Wait returns when all have ended.
type Beside struct {
	group sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]map[string]*work
}

type work struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// Go runs do unless the job has that work already, done or not. It ends with
// ctx, or when the job is forgotten. A work that was cut off by ctx is begun
// anew by the next Go; of one that was not, then is called once Ended tells so.
func (b *Beside) Go(ctx context.Context, job, what string, do func(ctx context.Context), then func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jobs == nil {
		b.jobs = map[string]map[string]*work{}
	}
	if b.jobs[job] == nil {
		b.jobs[job] = map[string]*work{}
	}
	if b.jobs[job][what] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &work{cancel: cancel, ended: make(chan struct{})}
	b.jobs[job][what] = w
	b.group.Go(func() {
		defer cancel()
		do(ctx)
		close(w.ended)
		if ctx.Err() == nil {
			if then != nil {
				then()
			}
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.jobs[job][what] == w {
			delete(b.jobs[job], what)
		}
	})
}

// Ended tells whether the job has done that work to its end.
func (b *Beside) Ended(job, what string) bool {
	b.mu.Lock()
	w := b.jobs[job][what]
	b.mu.Unlock()
	if w == nil {
		return false
	}
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// End cuts off one work of a job and waits for it.
func (b *Beside) End(job, what string) {
	b.mu.Lock()
	w := b.jobs[job][what]
	b.mu.Unlock()
	if w != nil {
		w.cancel()
		<-w.ended
	}
}

// Forget cuts off all work of a job, and drops what is known of it. It does not
// wait.
func (b *Beside) Forget(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.jobs[job] {
		w.cancel()
	}
	delete(b.jobs, job)
}

// Wait returns when all work has ended: after the contexts given to Go have.
func (b *Beside) Wait() { b.group.Wait() }

// Measure sees to it that what the hosts of a job take of the machine is
// published while they run: CPUUtilization and its like, with the dimension
// Host. at names account, Region and namespace, job is its name.
func (b *Beside) Measure(ctx context.Context, id, job string, at telemetry.Stream, r runtime.Runtime, metrics telemetry.Metrics, tasks []runtime.Task) {
	if _, ok := r.(runtime.Meter); !ok || metrics == nil {
		return
	}
	for _, t := range tasks {
		b.Go(ctx, id, "usage of "+string(t.ID), func(ctx context.Context) {
			// What cannot be measured or kept is no reason to disturb the job.
			_ = hostmetrics.Watch(ctx, hostmetrics.Host{Runtime: r, Task: t, Metrics: metrics, Account: at.Account, Region: at.Region,
				Namespace: at.Group, Name: job + "/" + t.Host})
		}, nil)
	}
}

// Limit gives a task the limits of an instance type. A type without known
// measures runs without.
func Limit(t runtime.Task, name string) runtime.Task {
	if typ, ok := instance.Lookup(name); ok {
		t.MilliCPU, t.MemoryBytes, t.GPUs = typ.MilliCPU(), typ.MemoryBytes(), typ.GPUs
	}
	return t
}
