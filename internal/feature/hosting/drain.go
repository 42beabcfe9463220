// SPDX-License-Identifier: Apache-2.0

package hosting

import "time"

// How an instance that is to stop is given time for what it has begun.
const (
	// unrouted is how long it stays after the route without it was set: a request
	// may have read the route before and not be counted yet.
	unrouted = 100 * time.Millisecond
	// drainLimit is when it stops whatever it does: no request takes longer.
	drainLimit = streamTimeout + 5*time.Second
	// asyncDrainLimit is that of asynchronous endpoints.
	asyncDrainLimit = time.Hour + 5*time.Second
	drainPoll       = 20 * time.Millisecond
)

// drain tells whether the instance at a spot may be stopped now, or else after
// which time to ask again. The route without it must be set already.
func (s *Service) drain(o *owner, at spot) (wait time.Duration) {
	first := s.instanceAt(o, at.instance())
	if first == nil {
		return 0
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	if first.target == nil {
		return 0 // it never had a request
	}
	if first.leaving.IsZero() {
		first.leaving = s.Now()
	}
	limit := drainLimit
	if f, _ := o.at(at); f != nil && f.Async != nil {
		limit = asyncDrainLimit
	}
	switch gone := s.Now().Sub(first.leaving); {
	case gone < unrouted:
		return unrouted - gone
	case gone < limit && first.target.outstanding.Load() > 0:
		return drainPoll
	}
	return 0
}

func (s *Service) instanceAt(o *owner, at spot) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[o.taskID(at)]
}
