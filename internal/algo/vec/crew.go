// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Crew is goroutines that stay, for work of some ten microseconds that follows
// on other such work: none should be begun for it. Between two pieces of work they
// look out for the next one for a while, as to be woken takes as long as it does.
// It is used by one goroutine at a time.
type Crew struct {
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

// NewCrew gives a crew of so many threads, the caller's among them. Close must
// follow.
func NewCrew(threads int) *Crew {
	c := new(Crew)
	for range threads - 1 {
		h := &helper{wake: make(chan struct{})}
		c.helpers = append(c.helpers, h)
		go c.help(h)
	}
	return c
}

// Threads is how many goroutines there are, the caller's among them.
func (c *Crew) Threads() int { return 1 + len(c.helpers) }

func (c *Crew) help(h *helper) {
	var last *task
	fresh := func() bool { return c.now.Load() != last }
	for {
		if !soon(fresh) {
			h.asleep.Store(true)
			if !fresh() || !h.asleep.CompareAndSwap(true, false) {
				<-h.wake
			}
		}
		if last = c.now.Load(); last.n == 0 {
			return
		}
		last.run()
	}
}

func (c *Crew) start(t *task) {
	c.now.Store(t)
	for _, h := range c.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// Close ends the goroutines.
func (c *Crew) Close() { c.start(new(task)) }

// Do calls do for all i < n and returns when all calls have. Which goroutine takes
// which i is not fixed. A helper that comes late finds nothing left and is not
// waited for.
func (c *Crew) Do(n int, do func(i int)) {
	if len(c.helpers) == 0 || n < 2 {
		for i := range n {
			do(i)
		}
		return
	}
	t := &task{n: n, do: do, end: make(chan struct{})}
	c.start(t)
	t.run()
	if !soon(func() bool { return t.done.Load() == int64(n) }) {
		<-t.end
	}
}
