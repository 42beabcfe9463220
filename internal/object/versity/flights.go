// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"sync"
	"time"
)

// flights counts requests in work and can wait for the last.
type flights struct {
	mu      sync.Mutex
	count   int
	closing bool
	none    chan struct{} // closed when closing and count is 0
}

func newFlights() *flights { return &flights{none: make(chan struct{})} }

// begin takes up a request, unless no more are taken. Each true one ends once.
func (f *flights) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return false
	}
	f.count++
	return true
}

func (f *flights) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count--
	if f.closing && f.count == 0 {
		close(f.none)
	}
}

// drain takes no more requests, and waits until none is in work or the time is
// over. It is called once.
func (f *flights) drain(most time.Duration) {
	f.mu.Lock()
	f.closing = true
	if f.count == 0 {
		close(f.none)
	}
	f.mu.Unlock()
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-f.none:
	case <-late.C:
	}
}
