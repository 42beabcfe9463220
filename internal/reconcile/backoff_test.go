// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wantGrowth checks the waits between looks: each between half and all of a
// time that doubles from 10 ms and stays at 30 s.
func wantGrowth(t *testing.T, at []time.Duration) {
	t.Helper()
	full := 10 * time.Millisecond
	for i := 1; i < len(at); i++ {
		if wait := at[i] - at[i-1]; wait < full/2 || wait > full {
			t.Errorf("wait %d is %v, want %v to %v", i, wait, full/2, full)
		}
		full = min(2*full, 30*time.Second)
	}
}

func backoffGrows(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		switch n := seen.add(key); {
		case n <= 20 || 22 <= n && n <= 30:
			return Done, errTest // the error counts, not the result
		case n == 21:
			return Result{After: time.Hour}, nil
		}
		return Done, nil
	}})
	l.Wake("a")
	time.Sleep(24 * time.Hour)
	wantIdle(t, l)
	at := seen.at["a"]
	if len(at) != 31 {
		t.Fatalf("%d looks, want 31", len(at))
	}
	wantGrowth(t, at[:21])
	if wait := at[21] - at[20]; wait != time.Hour {
		t.Errorf("after the success the wait is %v, want an hour", wait)
	}
	wantGrowth(t, at[21:]) // from the beginning again
}

func retryBacksOff(t *testing.T) {
	var log bytes.Buffer
	seen := newLooks()
	l := start(t, Options[string]{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Reconcile: func(_ context.Context, key string) (Result, error) {
			if seen.add(key) < 8 {
				return Retry, nil
			}
			return Done, nil
		},
	})
	l.Wake("a")
	time.Sleep(time.Hour)
	wantIdle(t, l)
	if n := len(seen.at["a"]); n != 8 {
		t.Fatalf("%d looks, want 8", n)
	}
	wantGrowth(t, seen.at["a"])
	if log.Len() != 0 {
		t.Errorf("logged: %s", &log)
	}
}

func wakeEndsBackoff(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Reconcile: func(_ context.Context, key string) (Result, error) {
		if seen.add(key) <= 15 {
			return Result{}, errTest
		}
		return Done, nil
	}})
	l.Wake("a")
	for seen.count("a") < 15 {
		time.Sleep(time.Second)
	}
	woken := time.Since(seen.began) // at least 14 s of back-off are left
	l.Wake("a")
	synctest.Wait()
	if at := seen.at["a"]; len(at) != 16 || at[15] != woken {
		t.Fatalf("looked at after %v, want the last after %v", at, woken)
	}
	wantIdle(t, l)
}

func failingSelfWake(t *testing.T) {
	seen := newLooks()
	var l *Loop[string]
	l = New(Options[string]{Log: quiet, Reconcile: func(_ context.Context, key string) (Result, error) {
		seen.add(key)
		l.Wake(key) // as the store does for a record that a look writes
		return Result{}, errTest
	}})
	run(t, l)
	l.Wake("a")
	time.Sleep(time.Minute)
	synctest.Wait()
	at := seen.at["a"]
	if n := len(at); n < 60 || n > 140 {
		t.Fatalf("%d looks in a minute, want about one each second", n)
	}
	wantGrowth(t, at[:7])
}

func panicRetries(t *testing.T) {
	var log bytes.Buffer
	seen := newLooks()
	l := start(t, Options[string]{
		Name: "training-job",
		Log:  slog.New(slog.NewTextHandler(&log, nil)),
		Reconcile: func(_ context.Context, key string) (Result, error) {
			if seen.add(key) <= 5 {
				panic("index out of luck")
			}
			return Done, nil
		},
	})
	l.Wake("a")
	time.Sleep(time.Minute)
	wantIdle(t, l)
	if len(seen.at["a"]) != 6 {
		t.Fatalf("%d looks, want 6", len(seen.at["a"]))
	}
	wantGrowth(t, seen.at["a"])
	for _, want := range []string{"index out of luck", "family=training-job", "name=a", "attempt=5", "panicRetries"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
}

func exitRetries(t *testing.T) {
	seen := newLooks()
	l := start(t, Options[string]{Workers: 1, Reconcile: func(_ context.Context, key string) (Result, error) {
		if seen.add(key) <= 3 {
			runtime.Goexit()
		}
		return Done, nil
	}})
	l.Wake("a")
	time.Sleep(time.Minute)
	wantIdle(t, l)
	if len(seen.at["a"]) != 4 {
		t.Fatalf("%d looks, want 4", len(seen.at["a"]))
	}
	wantGrowth(t, seen.at["a"])
}
