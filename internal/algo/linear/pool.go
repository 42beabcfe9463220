// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"runtime"
	"sync/atomic"
	"time"
)

// pool is goroutines that stay: a step takes a tenth of a millisecond, for which
// none should be begun. Between two pieces of work they look out for the next one
// for a while, as to be woken takes as long as a step.
type pool struct {
	threads int
	now     atomic.Pointer[task]
	helpers []*helper
}

// helper is one of them. What sets asleep to false owes it a message.
type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// task is one piece of work; one of none ends the helpers.
type task struct {
	n          int
	do         func(i int)
	next, done atomic.Int64
	end        chan struct{}
}

// lookOut is how long a goroutine waits before it sleeps.
const lookOut = 50 * time.Microsecond

// soon tells whether ready becomes true while it looks out.
func soon(ready func() bool) bool {
	for began := time.Now(); ; runtime.Gosched() {
		for range 50 {
			if ready() {
				return true
			}
		}
		if time.Since(began) > lookOut {
			return false
		}
	}
}

func (t *task) run() {
	for i := int(t.next.Add(1)) - 1; i < t.n; i = int(t.next.Add(1)) - 1 {
		t.do(i)
		if t.done.Add(1) == int64(t.n) {
			close(t.end)
		}
	}
}

func newPool(threads int) *pool {
	p := &pool{threads: max(1, threads)}
	for range p.threads - 1 {
		h := &helper{wake: make(chan struct{})}
		p.helpers = append(p.helpers, h)
		go p.help(h)
	}
	return p
}

func (p *pool) help(h *helper) {
	var last *task
	fresh := func() bool { return p.now.Load() != last }
	for {
		if !soon(fresh) {
			h.asleep.Store(true)
			if !fresh() || !h.asleep.CompareAndSwap(true, false) {
				<-h.wake
			}
		}
		if last = p.now.Load(); last.n == 0 {
			return
		}
		last.run()
	}
}

func (p *pool) start(t *task) {
	p.now.Store(t)
	for _, h := range p.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

func (p *pool) close() { p.start(new(task)) }

// each calls do for all i < n, by all goroutines, or by the caller alone when
// the work is small: cost is about how many nanoseconds it takes. A helper that
// comes late finds nothing left and is not waited for.
func (p *pool) each(n, cost int, do func(i int)) {
	const small = 10_000
	if len(p.helpers) == 0 || n < 2 || cost < small {
		for i := range n {
			do(i)
		}
		return
	}
	t := &task{n: n, do: do, end: make(chan struct{})}
	p.start(t)
	t.run()
	if !soon(func() bool { return t.done.Load() == int64(n) }) {
		<-t.end
	}
}
