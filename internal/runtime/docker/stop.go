// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

const (
	// settle is how long after its start a container is left alone by SIGTERM:
	// until the engine's init is ready, the kernel drops the signal.
	settle = 500 * time.Millisecond
	// retry is how long after a failure the engine is asked again.
	retry = time.Second
	// cleanUp is how long it may take to remove what a failed start has left.
	cleanUp = 10 * time.Second
)

// Stop sends SIGTERM and remembers when to send SIGKILL; see runtime.Runtime.
// Of several wishes the earliest deadline counts. The deadline is on disk, so
// that the next server keeps it.
func (r *Runtime) Stop(ctx context.Context, id runtime.ID, grace time.Duration) error {
	if !r.notes.has(id) {
		return nil
	}
	defer r.hold(id, false)()
	c, ok, err := r.look(ctx, id, false)
	if err != nil {
		return err
	}
	if !ok || !running(c) {
		return nil
	}
	deadline := time.Now().Add(grace)
	n, err := r.notes.change(id, func(n *note) {
		if n.Deadline.IsZero() || deadline.Before(n.Deadline) {
			n.Deadline = deadline
		}
	})
	if err != nil {
		return fmt.Errorf("stop task %q: %w", id, err)
	}
	if err := r.press(ctx, id, c, n); err != nil {
		r.later(id, retry)
		return fmt.Errorf("stop task %q: %w", id, err)
	}
	return nil
}

func running(c container.InspectResponse) bool {
	return c.State.Running || c.State.Status == container.StatePaused
}

// press does what the note of a running task asks for by now, and sees to it
// that the rest is done in time. The caller holds the task.
func (r *Runtime) press(ctx context.Context, id runtime.ID, c container.InspectResponse, n note) error {
	ready := moment(c.State.StartedAt).Add(settle)
	switch now := time.Now(); {
	case !now.Before(n.Deadline):
		r.later(id, retry) // should it live on
		return r.signal(ctx, id, "SIGKILL")
	case !n.Told && now.Before(ready):
		r.later(id, min(ready.Sub(now), n.Deadline.Sub(now)))
		return nil
	case !n.Told:
		if err := r.signal(ctx, id, "SIGTERM"); err != nil {
			return err
		}
		if _, err := r.notes.change(id, func(n *note) { n.Told = true }); err != nil {
			return err
		}
	}
	r.later(id, time.Until(n.Deadline))
	return nil
}

// signal sends a signal; that the container has just ended is no error.
func (r *Runtime) signal(ctx context.Context, id runtime.ID, name string) error {
	if _, err := r.api.ContainerKill(ctx, r.name(id), client.ContainerKillOptions{Signal: name}); err != nil && !hasEnded(err) {
		return fmt.Errorf("send %s to task %q: %w", name, id, err)
	}
	return nil
}

// later looks after the task's wish to stop again when d is over.
func (r *Runtime) later(id runtime.ID, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if t := r.timers[id]; t != nil {
		t.Stop()
	}
	r.timers[id] = time.AfterFunc(d, func() {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return
		}
		r.work.Add(1)
		r.mu.Unlock()
		defer r.work.Done()
		if err := r.lookAfter(id); err != nil && r.ctx.Err() == nil {
			r.log.Warn("a task cannot be stopped for now", "task", id, "error", err)
			r.later(id, retry)
		}
	})
}

// lookAfter does what the task's note asks for.
func (r *Runtime) lookAfter(id runtime.ID) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	defer r.hold(id, false)()
	n, err := r.notes.read(id)
	if err != nil || n.Deadline.IsZero() {
		return err
	}
	c, ok, err := r.look(ctx, id, false)
	if err != nil {
		return err
	}
	if !ok || !running(c) {
		r.atEase(id)
		return nil
	}
	return r.press(ctx, id, c, n)
}

// atEase ends the looking after a task.
func (r *Runtime) atEase(id runtime.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.timers[id]; t != nil {
		t.Stop()
		delete(r.timers, id)
	}
}

// Remove removes the container of a task that has ended, or was never started,
// and all that was made for it; see runtime.Runtime.
func (r *Runtime) Remove(ctx context.Context, id runtime.ID) error {
	if !r.notes.has(id) {
		return nil
	}
	defer r.hold(id, false)()
	c, ok, err := r.look(ctx, id, false)
	if err != nil {
		return err
	}
	var net string
	if ok {
		if running(c) {
			return fmt.Errorf("remove task %q: it has not ended", id)
		}
		net = c.Config.Labels[labelNet]
	}
	if err := r.forget(ctx, id, net); err != nil {
		return fmt.Errorf("remove task %q: %w", id, err)
	}
	return nil
}

// forget removes all that was made for a task that does not run. The note goes
// last: while it is there, the rest may be.
func (r *Runtime) forget(ctx context.Context, id runtime.ID, net string) error {
	r.atEase(id)
	err := r.dropContainer(ctx, id)
	if err == nil {
		err = errors.Join(r.dropVolumes(ctx, id), r.dropNetwork(ctx, net))
	}
	if err == nil {
		err = r.notes.remove(id)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.measured, id)
	return nil
}

// dropContainer removes the container, and waits until it is gone: an engine
// may be about to do so already.
func (r *Runtime) dropContainer(ctx context.Context, id runtime.ID) error {
	for {
		_, err := r.api.ContainerRemove(ctx, r.name(id), client.ContainerRemoveOptions{RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		c, ok, look := r.look(ctx, id, false)
		if look != nil || ok && c.State.Status != container.StateRemoving {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
