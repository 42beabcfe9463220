// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"os"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// sweepEvery is how soon it is noticed that the parent of a task that an
// earlier server started was killed. All else is told at once.
const sweepEvery = 500 * time.Millisecond

// Events tells of tasks that started, began to run or ended, within a few
// milliseconds; see runtime.Runtime. The goroutines behind it end with ctx.
func (r *Runtime) Events(ctx context.Context) <-chan runtime.ID {
	out := make(chan runtime.ID)
	seen := make(chan runtime.ID, 64)
	watch := r.watch() // is in place when Events returns: nothing after is missed
	go func() {
		defer close(seen)
		watch(ctx, func(id runtime.ID) {
			select {
			case seen <- id:
			case <-ctx.Done():
			}
		})
	}()
	go func() {
		defer close(out)
		r.relay(ctx, seen, out)
		for range seen { // the watcher has ended when this does
		}
	}()
	return out
}

// relay passes IDs on, each at most once while nobody takes it.
func (r *Runtime) relay(ctx context.Context, seen <-chan runtime.ID, out chan<- runtime.ID) {
	var queue []runtime.ID
	queued := map[runtime.ID]bool{}
	add := func(id runtime.ID) {
		if !queued[id] {
			queued[id] = true
			queue = append(queue, id)
		}
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		var head runtime.ID
		var to chan<- runtime.ID // nil, and so never chosen, while the queue is empty
		if len(queue) > 0 {
			head, to = queue[0], out
		}
		select {
		case to <- head:
			queue = queue[1:]
			delete(queued, head)
		case id, ok := <-seen:
			if !ok {
				seen = nil
				continue
			}
			add(id)
		case <-tick.C:
			for _, id := range r.sweepLive() {
				add(id)
			}
		case <-ctx.Done():
			return
		}
	}
}

// liveIDs lists the tasks that have not ended, as far as their files say.
func (r *Runtime) liveIDs() []runtime.ID {
	entries, _ := os.ReadDir(r.live)
	ids := make([]runtime.ID, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, runtime.ID(e.Name()))
	}
	return ids
}

// sweepLive finds tasks whose parent ended without a word.
func (r *Runtime) sweepLive() []runtime.ID {
	var ended []runtime.ID
	for _, id := range r.liveIDs() {
		s, err := r.state(id)
		if err == nil && (s.Phase == runtime.Exited || s.Phase == runtime.Missing) {
			os.Remove(r.liveFile(id))
			ended = append(ended, id)
		}
	}
	return ended
}

// poll looks at the live files every 20 ms, where the system cannot tell of
// their changes.
func (r *Runtime) poll(ctx context.Context, emit func(runtime.ID)) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	known := r.liveTimes()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := r.liveTimes()
		for id, at := range now {
			if was, ok := known[id]; !ok || !was.Equal(at) {
				emit(id)
			}
		}
		for id := range known {
			if _, ok := now[id]; !ok {
				emit(id)
			}
		}
		known = now
	}
}

func (r *Runtime) liveTimes() map[runtime.ID]time.Time {
	times := map[runtime.ID]time.Time{}
	for _, id := range r.liveIDs() {
		if info, err := os.Stat(r.liveFile(id)); err == nil {
			times[id] = info.ModTime()
		}
	}
	return times
}
