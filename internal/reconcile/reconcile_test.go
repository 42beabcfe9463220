// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errTest = errors.New("not yet")
	quiet   = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// start runs a loop in the test's bubble and ends it with the test.
func start(t *testing.T, opts Options[string]) *Loop[string] {
	t.Helper()
	if opts.Log == nil {
		opts.Log = quiet
	}
	l := New(opts)
	run(t, l)
	return l
}

func run(t *testing.T, l *Loop[string]) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run answers %v", err)
		}
	})
}

// looks records when each key was looked at. In a bubble time moves only when
// all wait, so the times are exact.
type looks struct {
	mu    sync.Mutex
	began time.Time
	at    map[string][]time.Duration
}

func newLooks() *looks { return &looks{began: time.Now(), at: map[string][]time.Duration{}} }

func (s *looks) add(key string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[key] = append(s.at[key], time.Since(s.began))
	return len(s.at[key])
}

// count is how often a key was looked at, once nothing moves any more.
func (s *looks) count(key string) int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at[key])
}

func (s *looks) want(t *testing.T, key string, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.at[key], want) {
		t.Fatalf("%q was looked at after %v, want %v", key, s.at[key], want)
	}
}

// wantIdle checks that a loop with nothing before it remembers no key.
func wantIdle(t *testing.T, l *Loop[string]) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue.items) != 0 || len(l.queue.later) != 0 || len(l.queue.ready) != 0 || l.active != 0 {
		t.Fatalf("left over: keys %v, %d later, %d ready, %d active",
			slices.Collect(maps.Keys(l.queue.items)), len(l.queue.later), len(l.queue.ready), l.active)
	}
}

// TestLoop runs each case in a synctest bubble of its own.
func TestLoop(t *testing.T) {
	for _, c := range []struct {
		name  string
		check func(t *testing.T)
	}{
		{"wakes before a look are one", wakesCoalesce},
		{"a wake during a look causes one more", wakeDuringLook},
		{"a key is never looked at twice at once", exclusive},
		{"no more keys than workers are looked at at once", workers},
		{"keys are served first come, first served", inOrder},
		{"After asks for another look", after},
		{"a wake outdates the After before it", wakeOutdatesAfter},
		{"WakeAfter outlasts looks and the first time counts", wakeAfter},
		{"WakeAfter during a look is kept", wakeAfterDuringLook},
		{"Done drops what was waited for", doneForgets},
		{"errors back off, doubling to 30 seconds, until a success", backoffGrows},
		{"Retry backs off without an error", retryBacksOff},
		{"a wake ends the wait after an error", wakeEndsBackoff},
		{"a failing look that wakes its own key does not spin", failingSelfWake},
		{"a panic is logged with its stack and looked at again", panicRetries},
		{"a look that leaves its goroutine is looked at again", exitRetries},
		{"a start wakes what is not settled", startLists},
		{"a listing that fails is asked again soon", listRetries},
		{"a resync wakes again but not what is failing", resync},
		{"the end waits for looks that are under way", endWaits},
		{"a loop may run again after its end, not meanwhile", runTwice},
	} {
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, c.check) })
	}
}

func wakesCoalesce(t *testing.T) {
	seen := newLooks()
	l := New(Options[string]{Log: quiet, Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		return Result{}, nil
	}})
	for range 100 {
		l.Wake("a")
	}
	run(t, l)
	seen.want(t, "a", 0)
	wantIdle(t, l)
}

func wakeDuringLook(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		time.Sleep(time.Second)
		return Done, nil
	}})
	l.Wake("a")
	synctest.Wait()
	for range 10 {
		l.Wake("a")
	}
	time.Sleep(time.Hour)
	seen.want(t, "a", 0, time.Second)
	wantIdle(t, l)
}

func exclusive(t *testing.T) {
	var running [3]atomic.Int32
	var total atomic.Int32
	l := start(t, Options[string]{Workers: 8, Reconcile: func(_ context.Context, key string) (Result, error) {
		n := &running[key[0]-'a']
		if n.Add(1) > 1 {
			t.Errorf("%q is looked at twice at once", key)
		}
		defer n.Add(-1)
		total.Add(1)
		time.Sleep(rand.N(10 * time.Millisecond))
		switch rand.IntN(4) {
		case 0:
			return Result{}, errTest
		case 1:
			return Result{After: rand.N(5 * time.Millisecond)}, nil
		case 2:
			return Retry, nil
		}
		return Done, nil
	}})
	for range 1000 {
		key := string(rune('a' + rand.IntN(3)))
		if rand.IntN(3) == 0 {
			l.WakeAfter(key, rand.N(10*time.Millisecond))
		} else {
			l.Wake(key)
		}
		time.Sleep(rand.N(3 * time.Millisecond))
	}
	time.Sleep(24 * time.Hour)
	wantIdle(t, l)
	if n := total.Load(); n < 100 {
		t.Fatalf("only %d looks", n)
	}
}

func workers(t *testing.T) {
	var running, most atomic.Int32
	seen := newLooks()
	l := start(t, Options[string]{Workers: 3, Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(time.Second)
		return Done, nil
	}})
	for _, key := range []string{"a", "b", "c", "d"} {
		l.Wake(key)
	}
	time.Sleep(time.Minute)
	if got := most.Load(); got != 3 {
		t.Fatalf("%d keys at once, want 3", got)
	}
	seen.want(t, "d", time.Second)
}

func inOrder(t *testing.T) {
	var order strings.Builder
	l := New(Options[string]{Workers: 1, Log: quiet, Reconcile: func(_ context.Context, key string) (Result, error) {
		order.WriteString(key)
		return Done, nil
	}})
	for _, key := range strings.Split("cabdaec", "") {
		l.Wake(key)
	}
	run(t, l)
	synctest.Wait()
	if got := order.String(); got != "cabde" {
		t.Fatalf("order is %s, want cabde", got)
	}
}

func after(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		if seen.add(key) == 3 {
			return Done, nil
		}
		return Result{After: time.Minute}, nil
	}})
	l.Wake("a")
	time.Sleep(time.Hour)
	seen.want(t, "a", 0, time.Minute, 2*time.Minute)
	wantIdle(t, l)
}

func wakeOutdatesAfter(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		if seen.add(key) == 1 {
			return Result{After: time.Minute}, nil
		}
		return Result{}, nil
	}})
	l.Wake("a")
	time.Sleep(time.Second)
	l.Wake("a")
	time.Sleep(time.Hour)
	seen.want(t, "a", 0, time.Second)
	wantIdle(t, l)
}

func wakeAfter(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		return Result{}, nil
	}})
	l.WakeAfter("a", 3*time.Minute)
	l.WakeAfter("a", time.Minute)
	l.WakeAfter("a", 2*time.Minute)
	l.WakeAfter("b", 2*time.Minute)
	l.WakeAfter("c", 0)
	l.Wake("a")
	time.Sleep(time.Second)
	l.Wake("a")
	time.Sleep(time.Hour)
	seen.want(t, "a", 0, time.Second, time.Minute)
	seen.want(t, "b", 2*time.Minute)
	seen.want(t, "c", 0)
	wantIdle(t, l)
}

func wakeAfterDuringLook(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		time.Sleep(time.Minute)
		return Result{}, nil
	}})
	l.Wake("a") // until the first minute
	l.Wake("b")
	synctest.Wait()
	l.WakeAfter("a", 90*time.Second)
	l.WakeAfter("b", 30*time.Second) // falls due while b is looked at
	time.Sleep(time.Hour)
	seen.want(t, "a", 0, 90*time.Second)
	seen.want(t, "b", 0, 60*time.Second)
	wantIdle(t, l)
}

func doneForgets(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		return Done, nil
	}})
	l.WakeAfter("a", time.Minute)
	l.Wake("a")
	time.Sleep(time.Hour)
	seen.want(t, "a", 0)
	wantIdle(t, l)
}

func startLists(t *testing.T) {
	seen := newLooks()
	settled := map[string]bool{"old": true}
	l := start(t, Options[string]{
		List: func(context.Context) ([]string, error) {
			var keys []string
			for _, key := range []string{"a", "b", "old"} {
				if !settled[key] {
					keys = append(keys, key)
				}
			}
			return keys, nil
		},
		Reconcile: func(_ context.Context, key string) (Result, error) {
			seen.add(key)
			return Done, nil
		},
	})
	seen.want(t, "a", 0)
	seen.want(t, "b", 0)
	seen.want(t, "old")
	wantIdle(t, l)
}

func listRetries(t *testing.T) {
	seen := newLooks()
	start(t, Options[string]{
		List: func(context.Context) ([]string, error) {
			switch seen.add("list") {
			case 1, 2:
				return nil, errTest
			case 3:
				panic("the store is upset")
			}
			return []string{"a"}, nil
		},
		Reconcile: func(_ context.Context, key string) (Result, error) {
			seen.add(key)
			return Done, nil
		},
	})
	time.Sleep(time.Second)
	synctest.Wait()
	wantGrowth(t, seen.at["list"])
	if len(seen.at["list"]) != 4 || len(seen.at["a"]) != 1 {
		t.Fatalf("looks are %v", seen.at)
	}
}

func resync(t *testing.T) {
	seen := newLooks()
	start(t, Options[string]{
		Resync: 10 * time.Second,
		List:   func(context.Context) ([]string, error) { return []string{"waits", "fails"}, nil },
		Reconcile: func(_ context.Context, key string) (Result, error) {
			seen.add(key)
			if key == "fails" {
				return Result{}, errTest
			}
			return Result{After: time.Hour}, nil
		},
	})
	time.Sleep(65 * time.Second)
	seen.want(t, "waits", 0, 10*time.Second, 20*time.Second, 30*time.Second, 40*time.Second, 50*time.Second, 60*time.Second)
	wantGrowth(t, seen.at["fails"])
}

func endWaits(t *testing.T) {
	var log bytes.Buffer
	var ended atomic.Bool
	l := New(Options[string]{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Reconcile: func(ctx context.Context, _ string) (Result, error) {
			<-ctx.Done()
			time.Sleep(time.Minute) // puts its things in order
			ended.Store(true)
			return Result{}, ctx.Err()
		},
	})
	cause := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	l.Wake("a")
	time.AfterFunc(time.Second, func() { cancel(cause) })
	if err := l.Run(ctx); !errors.Is(err, cause) {
		t.Fatalf("Run answers %v", err)
	}
	if !ended.Load() {
		t.Fatal("Run did not wait")
	}
	if log.Len() != 0 {
		t.Errorf("a look that was cut off was logged as failed: %s", &log)
	}
	l.Wake("b") // after the end: of no effect, and of no harm
}

func runTwice(t *testing.T) {
	seen := newLooks()
	l := New(Options[string]{Log: quiet, Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		return Done, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	synctest.Wait()
	if err := l.Run(ctx); err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("a second Run answers %v", err)
	}
	cancel()
	<-done
	l.Wake("a") // kept for the next run
	run(t, l)
	seen.want(t, "a", 0)
}
