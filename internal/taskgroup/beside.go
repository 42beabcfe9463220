// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"sync"
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
