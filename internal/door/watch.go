// SPDX-License-Identifier: Apache-2.0

package door

import "time"

// watchEvery is how often the door looks whether callers are still there:
// requests that take less are not looked at.
const watchEvery = 50 * time.Millisecond

// watchOn is how many times it looks in vain before it stops.
const watchOn = 20

// watch makes sure that somebody looks after the callers: the context of a lane
// whose caller went away ends. net/http reads from the connection meanwhile; to
// look at it now and then costs a short request nothing.
func (d *Door) watch() {
	if d.watching.Load() || !d.watching.CompareAndSwap(false, true) {
		return
	}
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for idle := 0; ; {
			<-tick.C
			if d.look() {
				idle = 0
				continue
			}
			if idle++; idle < watchOn {
				continue
			}
			d.watching.Store(false)
			// A request may have begun just before, and have seen that it is watched.
			if !d.look() || !d.watching.CompareAndSwap(false, true) {
				return
			}
			idle = 0
		}
	}()
}

// look tells whether a request is under way, and ends the contexts of those that
// were so the last time and whose callers have gone.
func (d *Door) look() (any bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.lanes {
		if l.state.Load() != busy {
			continue
		}
		any = true
		if turn := l.turn.Load(); turn != l.seen {
			l.seen = turn
		} else if gone(l.Conn) {
			l.cancel()
		}
	}
	return any
}
