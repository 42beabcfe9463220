// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// lookAround is how often all tasks are looked at beside the engine's events,
// for a stream that has died may seem to be a quiet one.
const lookAround = 30 * time.Second

// Events passes on what the engine tells of our containers. When the stream
// breaks it is begun anew where it ended, and all tasks are told of.
func (r *Runtime) Events(ctx context.Context) <-chan runtime.ID {
	out := make(chan runtime.ID)
	go func() {
		defer close(out)
		w := watcher{r: r, out: out, seen: map[runtime.ID]string{}, since: time.Now()}
		for pause := retry / 10; ; pause = min(2*pause, 10*retry) {
			began := time.Now()
			err := w.follow(ctx)
			if ctx.Err() != nil {
				return
			}
			if time.Since(began) > lookAround {
				pause = retry / 10
			}
			r.log.Debug("the container engine's events have ended", "error", err, "again_in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// watcher is one reader of Events.
type watcher struct {
	r     *Runtime
	out   chan<- runtime.ID
	seen  map[runtime.ID]string // the status that was last seen of each task
	since time.Time             // of the last event
}

// follow tells of events until the stream breaks.
func (w *watcher) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filters := w.r.ours().Add("type", string(events.ContainerEventType)).
		Add("event", string(events.ActionCreate), string(events.ActionStart), string(events.ActionDie), string(events.ActionOOM), string(events.ActionDestroy))
	stream := w.r.api.Events(ctx, client.EventsListOptions{Filters: filters, Since: strconv.FormatInt(w.since.Unix(), 10)})
	defer func() {
		cancel()
		for range stream.Err { // its goroutine ends with it
		}
	}()
	if err := w.tellAll(ctx); err != nil {
		return err
	}
	again := time.NewTicker(lookAround)
	defer again.Stop()
	for {
		select {
		case m := <-stream.Messages:
			w.since = time.Unix(m.Time, 0)
			if id := m.Actor.Attributes[labelTask]; id != "" && !w.tell(ctx, runtime.ID(id)) {
				return ctx.Err()
			}
		case err := <-stream.Err:
			return err
		case <-again.C:
			if err := w.tellAll(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *watcher) tell(ctx context.Context, id runtime.ID) bool {
	select {
	case w.out <- id:
		return true
	case <-ctx.Done():
		return false
	}
}

// tellAll tells of the tasks that are not as they were last seen here.
func (w *watcher) tellAll(ctx context.Context) error {
	list, err := w.r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: w.r.ours()})
	if err != nil {
		return err
	}
	now := map[runtime.ID]string{}
	for _, c := range list.Items {
		id := runtime.ID(c.Labels[labelTask])
		now[id] = string(c.State) + strconv.FormatInt(c.Created, 10)
		if w.seen[id] != now[id] && !w.tell(ctx, id) {
			return ctx.Err()
		}
	}
	for id := range w.seen {
		if now[id] == "" && !w.tell(ctx, id) {
			return ctx.Err()
		}
	}
	w.seen = now
	return nil
}
