// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// gates are those of all serverless variants. A gate outlives the routes.
type gates struct {
	idle time.Duration
	wake func(resource.Key)
	mu   sync.Mutex
	all  map[gateKey]*gate
}

type gateKey struct {
	owner               resource.Key
	seed                string
	generation, variant int
}

func (g *gates) of(o *owner, generation, variant int, c *serverless) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := gateKey{o.key, o.Seed, generation, variant}
	if g.all == nil {
		g.all = map[gateKey]*gate{}
	}
	at := g.all[k]
	if at == nil {
		at = &gate{idle: g.idle, wake: func() { g.wake(o.key) }, busy: map[*target]bool{}, used: map[*target]time.Time{}, highest: c.MaxConcurrency}
		g.all[k] = at
	}
	at.mu.Lock()
	at.limit, at.provisioned = c.MaxConcurrency, c.Provisioned
	at.mu.Unlock()
	return at
}

// forget drops the gates of a deleted owner.
func (g *gates) forget(key resource.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k := range g.all {
		if k.owner == key {
			delete(g.all, k)
		}
	}
}

// gate lets requests through to the instances of a serverless variant, one at a
// time to each, and tells how many instances are wanted. Source: "Deploy models
// with Amazon SageMaker Serverless Inference", concurrent invocations.
type gate struct {
	idle time.Duration
	wake func()

	mu                 sync.Mutex
	limit, provisioned int
	targets            []*target // in service
	busy               map[*target]bool
	used               map[*target]time.Time // when one was last given back
	using              int                   // requests that have an instance or wait for one
	waiting            []chan *target
	due                time.Time // when the loop looks again by itself
	highest            int
}

func notReady(format string, args ...any) error {
	return fault.New("ModelNotReadyException", http.StatusTooManyRequests, format, args...)
}

func throttled(endpoint string, limit int) error {
	return fault.New("ThrottlingException", http.StatusTooManyRequests,
		"Rate exceeded: endpoint %s has %d requests under way, which is its MaxConcurrency. Try again later.", endpoint, limit)
}

// acquire gives an instance that has no request; cold says that it was waited
// for. It answers ThrottlingException where MaxConcurrency is reached.
func (g *gate) acquire(ctx context.Context, endpoint string) (t *target, cold bool, err error) {
	g.mu.Lock()
	if g.using >= g.limit {
		g.mu.Unlock()
		return nil, false, throttled(endpoint, g.limit)
	}
	g.using++
	if t := g.free(); t != nil {
		g.busy[t] = true
		g.mu.Unlock()
		return t, false, nil
	}
	come := make(chan *target, 1)
	g.waiting = append(g.waiting, come)
	g.mu.Unlock()
	g.wake()
	select {
	case t := <-come:
		if t == nil {
			return nil, true, errRetired
		}
		return t, true, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, come); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.using--
	} else if t := <-come; t != nil { // it came at the same moment
		g.put(t, time.Time{})
	}
	return nil, true, notReady("The model of endpoint %s is not ready: no instance could be started in time. Try again later.", endpoint)
}

// errRetired says that the gate's fleet gets no more requests.
var errRetired = errors.New("the fleet has gone out of the route")

// retire sends those who wait for instances of a fleet that is in no route any
// more to look for another; its gate stays for the requests that it has.
func (g *gates) retire(owner resource.Key, routed []fleetRoute) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, at := range g.all {
		if k.owner == owner && !slices.ContainsFunc(routed, func(f fleetRoute) bool { return f.generation == k.generation }) {
			at.mu.Lock()
			for _, come := range at.waiting {
				come <- nil
			}
			at.using -= len(at.waiting)
			at.waiting = nil
			at.mu.Unlock()
		}
	}
}

// free is the lowest instance without a request: the higher ones may go idle.
func (g *gate) free() *target {
	for _, t := range g.targets {
		if !g.busy[t] {
			return t
		}
	}
	return nil
}

// release takes an instance back whose request is over.
func (g *gate) release(t *target, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.put(t, now)
}

func (g *gate) put(t *target, now time.Time) {
	if !g.busy[t] {
		return // given up by lose
	}
	delete(g.busy, t)
	g.using--
	if now.After(g.used[t]) {
		g.used[t] = now
	}
	g.hand()
	if idle := g.used[t].Add(g.idle); !g.busy[t] && g.due.After(idle) { // the loop saw it busy, and means to sleep for long
		g.due = idle
		g.wake()
	}
}

// lose is release of an instance that cannot be reached.
func (g *gate) lose(t *target, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.targets = slices.DeleteFunc(g.targets, func(x *target) bool { return x == t })
	g.put(t, now)
	g.wake()
}

// hand gives free instances to those who wait.
func (g *gate) hand() {
	for len(g.waiting) > 0 {
		t := g.free()
		if t == nil {
			return
		}
		g.busy[t] = true
		g.waiting[0] <- t
		g.waiting = g.waiting[1:]
	}
}

// offer tells which instances are in service now, in the order of their index.
func (g *gate) offer(targets []*target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.targets = slices.Clone(targets) // the route reads its own without a lock, and lose takes one out
	for t := range g.used {
		if !slices.Contains(targets, t) {
			delete(g.used, t)
		}
	}
	g.hand()
}

// wanted is how many instances there should be, and when to ask again: those
// that have or wait for requests, those that had one not long ago, and the
// provisioned. A new fleet has one at least, which shows that it can serve. The
// end of a request that leaves one idle sooner wakes the loop.
func (g *gate) wanted(now time.Time, first bool) (n int, again time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	again = time.Hour
	n = max(g.provisioned, g.using)
	if first {
		n = max(n, 1)
	}
	for _, t := range g.targets {
		used, ok := g.used[t]
		if !ok {
			used = now // it has just come
			g.used[t] = now
		}
		left := g.idle - now.Sub(used)
		if g.busy[t] || left > 0 {
			n = max(n, t.at.index+1)
		}
		if !g.busy[t] && left > 0 {
			again = min(again, left)
		}
	}
	g.due = now.Add(again)
	return min(n, max(g.limit, g.provisioned)), again
}

func (g *gate) high() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.highest
}

func (g *gate) noteHigh(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.highest = n
}
