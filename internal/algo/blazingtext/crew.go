// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"sync"
	"sync/atomic"
)

// crew is goroutines that work through numbered items, again and again, with so
// little ado that a round may last some ten microseconds. Which goroutine takes
// which item is left to chance; what an item does must not hang on it.
type crew struct {
	round   atomic.Uint32 // counts the rounds, so that a sleeper sees a new one
	next    atomic.Int64  // the next item of the round
	pending atomic.Int32  // helpers that have not ended the round
	items   int
	work    func(item int)

	helpers []*helper
	idle    atomic.Bool // the leader sleeps until the helpers have ended
	ended   chan struct{}
	stopped bool
	running sync.WaitGroup
}

// helper is a goroutine beside the one that calls do.
type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// patience is how often a goroutine that waits looks again before it sleeps:
// about as long as it takes to be woken. Rounds follow each other closely.
var patience = 20000

// newCrew gives a crew of so many threads, the caller's among them. close must
// follow.
func newCrew(threads int) *crew {
	c := &crew{ended: make(chan struct{}, 1)}
	for range threads - 1 {
		h := &helper{wake: make(chan struct{}, 1)}
		c.helpers = append(c.helpers, h)
		c.running.Go(func() { c.help(h) })
	}
	return c
}

// do calls work for each item below n and returns when all have ended.
func (c *crew) do(n int, work func(item int)) {
	if len(c.helpers) == 0 || n <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	c.start(n, work)
	c.take()
	for {
		for range patience {
			if c.pending.Load() == 0 {
				return
			}
		}
		c.idle.Store(true)
		if c.pending.Load() == 0 && c.idle.CompareAndSwap(true, false) {
			return
		}
		// The word may come from a helper that ended the round before this one.
		<-c.ended
	}
}

// start begins a round.
func (c *crew) start(n int, work func(item int)) {
	c.items, c.work = n, work
	c.next.Store(0)
	c.pending.Store(int32(len(c.helpers)))
	c.round.Add(1)
	for _, h := range c.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// take works through items until there are no more.
func (c *crew) take() {
	for {
		i := int(c.next.Add(1)) - 1
		if i >= c.items {
			return
		}
		c.work(i)
	}
}

func (c *crew) help(h *helper) {
	for seen := uint32(0); ; {
		seen = c.wait(h, seen)
		if c.stopped {
			return
		}
		c.take()
		if c.pending.Add(-1) == 0 && c.idle.CompareAndSwap(true, false) {
			c.ended <- struct{}{}
		}
	}
}

// wait gives the number of the round that follows the one seen. A helper that is
// quick may be woken for a round that it has ended already, and waits on.
func (c *crew) wait(h *helper, seen uint32) uint32 {
	for {
		for range patience {
			if now := c.round.Load(); now != seen {
				return now
			}
		}
		h.asleep.Store(true)
		if now := c.round.Load(); now != seen && h.asleep.CompareAndSwap(true, false) {
			return now
		}
		<-h.wake
	}
}

// close ends the helpers.
func (c *crew) close() {
	c.stopped = true
	c.start(0, nil)
	c.running.Wait()
}
