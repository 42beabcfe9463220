// SPDX-License-Identifier: Apache-2.0

// Package reconcile keeps calling a function for a key until the thing that the
// key names is as it should be.
//
// A loop is level-triggered: a wake-up says only that it is worth looking, never
// what has happened. So wake-ups may be lost, doubled or early without harm, and
// a restart is nothing but a wake-up for every key that is not settled.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Result says when a key wants to be looked at again. The zero value waits for
// a wake-up or for the next listing.
type Result struct {
	// After, when above zero, asks for another look after that time, at the
	// latest.
	After time.Duration
	// Done says that the key is settled: waits for it are dropped.
	Done bool

	retry bool
}

var (
	// Done says that the key is settled.
	Done = Result{Done: true}
	// Retry asks for another look soon, and ever later if that is asked again
	// and again. It is what goes with an error, and without one it suits what
	// is no failure, such as a record that changed meanwhile.
	Retry = Result{retry: true}
)

// Options describe a loop.
type Options[K comparable] struct {
	// Name is the loop's name in logs and metrics: the family it serves.
	Name string
	// Reconcile looks at what key names and brings it one step further. It is
	// never run twice at once for the same key. After an error or a panic it is
	// called again with back-off. Its context ends when that of Run does.
	Reconcile func(ctx context.Context, key K) (Result, error)
	// List answers the keys that are not settled. It is asked when Run begins
	// and every Resync. Nil lists none.
	List func(ctx context.Context) ([]K, error)
	// Resync is the time between two listings; zero means a minute.
	Resync time.Duration
	// Workers is how many keys may be looked at at once; zero means four.
	Workers int
	// Log defaults to slog.Default().
	Log *slog.Logger
	// Metrics may be nil. One Metrics serves all loops.
	Metrics *Metrics
}

// Loop is a running or not yet running loop. Use New to make one.
type Loop[K comparable] struct {
	opts  Options[K]
	meter meter
	// kick tells the scheduler that the queue has changed.
	kick chan struct{}

	mu      sync.Mutex
	queue   queue[K]
	active  int // items that are running
	started bool
}

// New makes a loop. It starts nothing.
func New[K comparable](opts Options[K]) *Loop[K] {
	if opts.Resync <= 0 {
		opts.Resync = time.Minute
	}
	if opts.Workers <= 0 {
		opts.Workers = 4
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	opts.Log = opts.Log.With("family", opts.Name)
	return &Loop[K]{
		opts:  opts,
		meter: opts.Metrics.meter(opts.Name),
		kick:  make(chan struct{}, 1),
		queue: queue[K]{items: map[K]*item[K]{}},
	}
}

// Wake asks for a look at key as soon as possible. Wakes that come before the
// look begins are one; one that comes during a look causes another look. It
// never blocks and may be called before Run.
func (l *Loop[K]) Wake(key K) {
	l.mu.Lock()
	l.queue.wake(key)
	l.changed()
	l.mu.Unlock()
}

// WakeAfter asks for a look at key after d has passed, whatever looks come
// before, unless one of them answers Done. Of several times the first counts.
func (l *Loop[K]) WakeAfter(key K, d time.Duration) {
	if d <= 0 {
		l.Wake(key)
		return
	}
	l.mu.Lock()
	l.queue.wakeAt(key, time.Now().Add(d))
	l.changed()
	l.mu.Unlock()
}

// changed tells the scheduler. It is called with the mutex.
func (l *Loop[K]) changed() {
	l.meter.depth(len(l.queue.ready))
	select {
	case l.kick <- struct{}{}:
	default: // it has been told already
	}
}

// Run runs the loop until ctx ends, waits for the looks that are under way, and
// answers the cause. It may be called again after that, not meanwhile.
func (l *Loop[K]) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.started {
		l.mu.Unlock()
		return fmt.Errorf("reconcile %s: the loop runs already", l.opts.Name)
	}
	l.started = true
	l.mu.Unlock()

	var group sync.WaitGroup
	defer func() {
		group.Wait()
		l.mu.Lock()
		l.started = false
		l.mu.Unlock()
	}()
	if l.opts.List != nil {
		group.Go(func() { l.list(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		for _, it := range l.due(timer) {
			group.Go(func() { l.look(ctx, it) })
		}
		select {
		case <-l.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// due takes the items that may run now and sets the timer for the next one.
func (l *Loop[K]) due(timer *time.Timer) []*item[K] {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.queue.ripen(time.Now())
	if next.IsZero() {
		timer.Stop()
	} else {
		timer.Reset(time.Until(next))
	}
	var items []*item[K]
	for l.active < l.opts.Workers && len(l.queue.ready) > 0 {
		items = append(items, l.queue.take())
		l.active++
	}
	l.meter.depth(len(l.queue.ready))
	return items
}

// errExited is for a Reconcile that ends its goroutine instead of returning.
var errExited = errors.New("reconcile left its goroutine")

// look calls Reconcile for one item and puts the item back.
func (l *Loop[K]) look(ctx context.Context, it *item[K]) {
	var result Result
	err := errExited
	attempt, began := it.failures+1, time.Now()
	defer func() {
		took := time.Since(began)
		if err != nil && ctx.Err() != nil {
			err = nil // it was cut off
		}
		l.meter.looked(took, err)
		if err != nil {
			result = Retry
			l.opts.Log.WarnContext(ctx, "reconcile failed", "name", it.key, "attempt", attempt, "dur", took, "err", err)
		}
		l.mu.Lock()
		l.active--
		l.queue.put(it, result, time.Now())
		l.changed()
		l.mu.Unlock()
	}()
	err = l.guard(ctx, func() (err error) {
		result, err = l.opts.Reconcile(ctx, it.key)
		return err
	})
}

// guard runs fn and makes a panic an error, once its stack is logged.
func (l *Loop[K]) guard(ctx context.Context, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.opts.Log.ErrorContext(ctx, "reconcile panicked", "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// list wakes the keys that are not settled, now and every Resync.
func (l *Loop[K]) list(ctx context.Context) {
	for failures := 0; ; {
		var keys []K
		err := l.guard(ctx, func() (err error) {
			keys, err = l.opts.List(ctx)
			return err
		})
		wait := l.opts.Resync
		if failures++; err == nil {
			failures = 0
			l.relist(keys)
		} else if ctx.Err() == nil {
			wait = min(backoff(failures), wait)
			l.opts.Log.WarnContext(ctx, "listing of unsettled records failed", "attempt", failures, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// relist wakes the keys but for those that wait after a failure: a listing
// tells nothing new about them.
func (l *Loop[K]) relist(keys []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if it := l.queue.items[key]; it == nil || it.failures == 0 {
			l.queue.wake(key)
		}
	}
	l.changed()
}
