// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// instance watches one task: it asks /ping, ships the log and counts crashes.
// What it knows is lost with the server and found out again after a start.
type instance struct {
	id        runtime.ID
	owner     resource.Key
	at        spot
	variant   string
	container string // its name in streams, "" for an only one
	backend   *serving.Backend
	target    *target // of the instance, kept with its first container

	mu       sync.Mutex
	started  time.Time // which incarnation of the task is watched
	ended    bool
	stopping bool // we asked it to stop: its end is no crash
	healthy  bool
	sick     bool
	crashes  int
	notUntil time.Time
	problem  string
	leaving  time.Time // when it was taken out of the route, to be stopped
	drained  bool      // the log of the ended task is shipped to its end
	cancel   context.CancelFunc
}

// Ping rules. Source: "How Containers Serve Requests" and "Health check".
const (
	sickAfter    = 3 // pings failed in a row
	crashBackoff = 250 * time.Millisecond
	backoffLimit = 30 * time.Second
	steadyAfter  = time.Minute // a run this long forgives earlier crashes
)

// watch finds or makes the watcher of a task and lets it take note of state.
func (s *Service) watch(o *owner, at spot, id runtime.ID, state runtime.State) *instance {
	s.mu.Lock()
	in := s.instances[id]
	if in == nil {
		_, v := o.at(at)
		in = &instance{id: id, owner: o.key, at: at, variant: v.Name, container: containerName(&v.Model, at.container), cancel: func() {}}
		s.instances[id] = in
	}
	s.mu.Unlock()

	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case state.Phase == runtime.Running && !state.Started.Equal(in.started):
		in.cancel()
		var ctx context.Context
		ctx, in.cancel = context.WithCancel(s.background.ctx)
		in.started, in.ended, in.stopping, in.healthy, in.sick, in.drained, in.leaving = state.Started, false, false, false, false, false, time.Time{}
		in.backend = serving.Dial(state.Addr)
		s.background.do(func(context.Context) { s.probe(ctx, in, in.backend) })
		s.ship(o, in, state.Started)
		_, v := o.at(at)
		s.background.do(func(context.Context) { s.measure(ctx, o.key, in, v.Name, v.limits(id)) })
	case state.Phase == runtime.Exited && !(in.ended && state.Started.Equal(in.started)):
		switch {
		case !state.Started.Equal(in.started): // it ended while no server was there to see
			in.started = state.Started
			s.ship(o, in, state.Started)
		case state.Started.IsZero(): // it was stopped before it began, and has no log
			in.drained = true
		}
		in.cancel()
		in.ended, in.healthy = true, false
		if !in.stopping {
			if !in.started.IsZero() && state.Ended.Sub(in.started) > steadyAfter {
				in.crashes = 0
			}
			in.crashes++
			back := min(crashBackoff<<min(in.crashes-1, 10), backoffLimit)
			in.notUntil = s.Now().Add(back)
			s.Log.Warn("serving task ended by itself", "name", o.key.Name, "task", string(id), "exit", state.ExitCode, "reason", state.Reason, "crashes", in.crashes)
		}
	}
	return in
}

func (in *instance) look(state runtime.State) look {
	in.mu.Lock()
	defer in.mu.Unlock()
	l := look{phase: state.Phase, started: state.Started, crashes: in.crashes, notUntil: in.notUntil, problem: in.problem}
	if state.Phase == runtime.Running {
		l.healthy, l.sick = in.healthy, in.sick
	}
	return l
}

// probe asks /ping, quickly at first and then at leisure, and wakes the loop
// when the answer changes.
func (s *Service) probe(ctx context.Context, in *instance, b *serving.Backend) {
	fails, wait := 0, 2*time.Millisecond
	for ctx.Err() == nil {
		ok := b.Ping(ctx)
		in.mu.Lock()
		was, wasSick := in.healthy, in.sick
		if ok {
			fails, in.healthy, in.sick = 0, true, false
		} else if fails++; in.healthy && fails >= sickAfter {
			in.healthy, in.sick = false, true
		}
		changed := was != in.healthy || wasSick != in.sick
		healthy := in.healthy
		in.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if changed {
			s.wake(in.owner)
		}
		if healthy {
			wait = s.PingEvery
		} else {
			wait = min(wait*3/2, 250*time.Millisecond)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// ship copies the task's log to the endpoint's log group until the task has
// ended, and then lets the loop go on.
func (s *Service) ship(o *owner, in *instance, started time.Time) {
	stream := telemetry.Stream{Account: o.key.Account, Region: o.key.Region, Group: o.logGroup(), Name: in.variant + "/" + instanceName(in.id, started)}
	if in.container != "" {
		stream.Name += "/" + in.container
	}
	s.background.do(func(ctx context.Context) {
		err := telemetry.Ship(ctx, telemetry.Shipment{Logs: s.Logs, At: stream,
			Open: func(ctx context.Context, from int64) (io.ReadCloser, error) { return s.Runtime.Logs(ctx, in.id, from) }})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.Log.Error("log of serving task not shipped", "task", string(in.id), "err", err)
		}
		in.mu.Lock()
		if in.started.Equal(started) {
			in.drained = true
		}
		in.mu.Unlock()
		s.wake(in.owner)
	})
}

// containerName is how a container of several is called.
func containerName(m *serving.Model, container int) string {
	if len(m.Containers) == 1 {
		return ""
	}
	return m.Containers[container].Hostname
}

// instanceName is i-… as in a log stream's name; a restarted task is another
// instance.
func instanceName(id runtime.ID, started time.Time) string {
	return "i-0" + seedOf(string(id), started)
}

// drained tells whether the log of an ended task has been shipped.
func (s *Service) drained(id runtime.ID) bool {
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in == nil {
		return true
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.drained
}

// expectStop notes that the end of a task is our doing.
func (s *Service) expectStop(id runtime.ID) {
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in != nil {
		in.mu.Lock()
		in.stopping = true
		in.mu.Unlock()
	}
}

// forget drops the watchers of a deleted endpoint.
func (s *Service) forget(key resource.Key) {
	s.gates.forget(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, in := range s.instances {
		if in.owner == key {
			in.mu.Lock()
			in.cancel()
			in.mu.Unlock()
			delete(s.instances, id)
		}
	}
}
