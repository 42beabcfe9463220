// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"errors"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Drive takes one step of a job after the other until there is nothing to do but
// wait. step answers rest true when the loop is to look again after the result.
// A step that met resource.ErrStale or ErrNotFound is no failure: someone stopped
// or deleted the job meanwhile, and the next step sees it.
func Drive[D, P any](ctx context.Context, jobs *resource.Store[D, P], key resource.Key,
	step func(context.Context, resource.Record[D, P]) (after reconcile.Result, rest bool, err error)) (reconcile.Result, error) {
	for {
		j, err := jobs.Get(ctx, key)
		switch {
		case errors.Is(err, resource.ErrNotFound):
			return reconcile.Done, nil
		case err != nil:
			return reconcile.Retry, err
		case jobs.Family.Life.Settled(j.Status):
			return reconcile.Done, nil
		}
		switch after, rest, err := step(ctx, j); {
		case errors.Is(err, resource.ErrStale), errors.Is(err, resource.ErrNotFound):
		case err != nil:
			return reconcile.Retry, err
		case rest:
			return after, nil
		}
		if err := ctx.Err(); err != nil {
			return reconcile.Retry, err
		}
	}
}

// Cutoffs cut off what takes long before a job has tasks, such as fetching its
// data. The zero value is ready.
type Cutoffs struct {
	mu   sync.Mutex
	jobs map[resource.Key]context.CancelFunc
}

// Cut cuts off what is done for a job, if anything is.
func (c *Cutoffs) Cut(key resource.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.jobs[key]; cancel != nil {
		cancel()
	}
}

// Staging does something for a job that Cut may cut off. The answer is
// resource.ErrStale when it did, or when the record is no longer the one seen.
func Staging[D, P any](ctx context.Context, c *Cutoffs, jobs *resource.Store[D, P], seen resource.Record[D, P], do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.jobs == nil {
		c.jobs = map[resource.Key]context.CancelFunc{}
	}
	c.jobs[seen.Key] = cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.jobs, seen.Key)
		c.mu.Unlock()
	}()
	// It may have been told to stop before it could be cut off.
	now, err := jobs.Get(ctx, seen.Key)
	if err != nil {
		return err
	}
	if now.Version != seen.Version {
		return resource.ErrStale
	}
	if err := do(ctx); err != nil {
		if ctx.Err() != nil {
			return resource.ErrStale
		}
		return err
	}
	return nil
}
