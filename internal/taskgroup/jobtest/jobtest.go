// SPDX-License-Identifier: Apache-2.0

// Package jobtest is what the tests of job families have in common: what stands
// for the parts around a service, in memory.
package jobtest

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// Role is the one role that exists.
type Role string

// Assumable is nil for the role itself.
func (r Role) Assumable(_ context.Context, arn string) error {
	if arn != string(r) {
		return errors.New("no such role")
	}
	return nil
}

// Logs is a telemetry.Logs in memory. The zero value is ready.
type Logs struct {
	mu      sync.Mutex
	streams map[string]*stream
}

type stream struct {
	offset int64
	lines  []string
}

// Offset is how far a stream has come.
func (l *Logs) Offset(_ context.Context, at telemetry.Stream) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[at.Group+" "+at.Name]; s != nil {
		return s.offset, nil
	}
	return 0, nil
}

// Append keeps events.
func (l *Logs) Append(_ context.Context, at telemetry.Stream, from, to int64, events []telemetry.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = map[string]*stream{}
	}
	s := l.streams[at.Group+" "+at.Name]
	if s == nil {
		s = &stream{}
		l.streams[at.Group+" "+at.Name] = s
	}
	if s.offset != from {
		return telemetry.ErrOffset
	}
	s.offset = to
	for _, e := range events {
		s.lines = append(s.lines, e.Message)
	}
	return nil
}

// All are the lines by "group name" of their streams.
func (l *Logs) All() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string][]string{}
	for name, s := range l.streams {
		out[name] = slices.Clone(s.lines)
	}
	return out
}

// Run runs a service until ctx, the test or stop ends it. Stop waits for it.
func Run(ctx context.Context, t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run answers %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// Clean reports tasks, and working folders in dir, that are left once all of the
// bubble waits.
func Clean(t *testing.T, tasks *fake.Runtime, dir string) {
	t.Helper()
	synctest.Wait()
	if left := tasks.Tasks(); len(left) != 0 {
		t.Errorf("%d tasks are left", len(left))
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d working folders are left, %v", len(left), err)
	}
}

// Refusal checks that err is the service's with that code and text.
func Refusal(t *testing.T, err error, code, text string) {
	t.Helper()
	f := fault.Of(err)
	if f == nil || f.Code != code || !strings.Contains(f.Message, text) || f.Status != 400 {
		t.Errorf("refused with %v, want %s: …%s…", err, code, text)
	}
}
