// SPDX-License-Identifier: Apache-2.0

// Package choose is a runtime over two: the process runtime of this machine and
// a container engine. It keeps no account of who has which task: a task is
// where it is found.
package choose

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Options is what New needs.
type Options struct {
	// Process runs tasks of this machine's own programs, and of unpacked images.
	// It is asked first, so it should answer from files.
	Process runtime.Runtime
	// Engine runs tasks that have an Image.
	Engine runtime.Runtime
	// Prefer gives the engine the tasks that both could run; else it has only
	// those that were not unpacked.
	Prefer bool
}

// Runtime passes each task to the one that runs it.
type Runtime struct {
	process, engine runtime.Runtime
	prefer          bool
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)
)

// New makes a runtime of two. Both must be given.
func New(o Options) (*Runtime, error) {
	if o.Process == nil || o.Engine == nil {
		return nil, errors.New("choose between runtimes: one of the two is missing")
	}
	return &Runtime{process: o.Process, engine: o.Engine, prefer: o.Prefer}, nil
}

// Chosen says who is to run t if nobody has it yet.
func (r *Runtime) Chosen(t runtime.Task) runtime.Runtime {
	if t.Image != "" && (t.Root == "" || r.prefer) {
		return r.engine
	}
	return r.process
}

// other is the one of the two that rt is not.
func (r *Runtime) other(rt runtime.Runtime) runtime.Runtime {
	if rt == r.engine {
		return r.process
	}
	return r.engine
}

// owner finds who has the task: the process runtime, else the engine, whose
// state then is what there is to tell of the task, even that it is missing.
// While the engine does not answer, a task that the process runtime does not
// have is not known to be missing, and that is an error.
func (r *Runtime) owner(ctx context.Context, id runtime.ID) (runtime.Runtime, runtime.State, error) {
	s, err := r.process.Inspect(ctx, id)
	if err != nil || s.Phase != runtime.Missing {
		return r.process, s, err
	}
	s, err = r.engine.Inspect(ctx, id)
	return r.engine, s, err
}

// Start begins t where it is to run. A task that is found in the other runtime,
// because the choice was another when it was started, is left there as it is.
func (r *Runtime) Start(ctx context.Context, t runtime.Task) error {
	rt := r.Chosen(t)
	if t.Image != "" { // else it can never have been the engine's
		s, err := r.other(rt).Inspect(ctx, t.ID)
		if err != nil {
			return err
		}
		if s.Phase != runtime.Missing {
			return nil
		}
	}
	return rt.Start(ctx, t)
}

// Inspect tells of the task from whoever has it.
func (r *Runtime) Inspect(ctx context.Context, id runtime.ID) (runtime.State, error) {
	_, s, err := r.owner(ctx, id)
	return s, err
}

// Stop stops the task wherever it is.
func (r *Runtime) Stop(ctx context.Context, id runtime.ID, grace time.Duration) error {
	rt, _, err := r.owner(ctx, id)
	if err != nil {
		return err
	}
	return rt.Stop(ctx, id, grace)
}

// Remove forgets the task in both, for what a start that was cut off has left
// may be missing to Inspect and yet be there.
func (r *Runtime) Remove(ctx context.Context, id runtime.ID) error {
	if err := r.process.Remove(ctx, id); err != nil {
		return err
	}
	return r.engine.Remove(ctx, id)
}

// Logs follows the log of the task.
func (r *Runtime) Logs(ctx context.Context, id runtime.ID, from int64) (io.ReadCloser, error) {
	rt, _, err := r.owner(ctx, id)
	if err != nil {
		return nil, err
	}
	return rt.Logs(ctx, id, from)
}

// Events tells of the tasks of both.
func (r *Runtime) Events(ctx context.Context) <-chan runtime.ID {
	out := make(chan runtime.ID)
	var both sync.WaitGroup
	for _, rt := range []runtime.Runtime{r.process, r.engine} {
		told := rt.Events(ctx)
		both.Go(func() {
			for id := range told {
				select {
				case out <- id:
				case <-ctx.Done(): // told closes, too
				}
			}
		})
	}
	go func() {
		both.Wait()
		close(out)
	}()
	return out
}

// Usage measures the task if whoever has it can.
func (r *Runtime) Usage(ctx context.Context, id runtime.ID) (runtime.Usage, bool, error) {
	rt, s, err := r.owner(ctx, id)
	meter, ok := rt.(runtime.Meter)
	if err != nil || !ok || s.Phase != runtime.Running {
		return runtime.Usage{}, false, err
	}
	return meter.Usage(ctx, id)
}
