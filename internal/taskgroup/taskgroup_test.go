// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)

func state(p runtime.Phase, code int, begun, ended int) runtime.State {
	s := runtime.State{Phase: p, ExitCode: code}
	if begun >= 0 {
		s.Started = epoch.Add(time.Duration(begun) * time.Second)
	}
	if p == runtime.Exited {
		s.Ended = epoch.Add(time.Duration(ended) * time.Second)
	}
	return s
}

func TestSum(t *testing.T) {
	missing, pending := state(runtime.Missing, 0, -1, 0), state(runtime.Pending, 0, -1, 0)
	running := state(runtime.Running, 0, 5, 0)
	tests := []struct {
		name   string
		hosts  []runtime.State
		feed   *runtime.State // beside the first host
		phase  runtime.Phase
		failed string
		flags  string // partial, broken, serving
	}{
		{"nothing was begun", []runtime.State{missing, missing}, nil, runtime.Missing, "", ""},
		{"one was begun", []runtime.State{running, missing}, nil, runtime.Pending, "", "partial"},
		{"one is about to run", []runtime.State{running, pending}, nil, runtime.Pending, "", ""},
		{"all run", []runtime.State{running, running}, nil, runtime.Running, "", ""},
		{"one is done", []runtime.State{running, state(runtime.Exited, 0, 5, 9)}, nil, runtime.Running, "", ""},
		{"all are done", []runtime.State{state(runtime.Exited, 0, 5, 8), state(runtime.Exited, 0, 5, 9)}, nil, runtime.Exited, "", ""},
		{"one has failed", []runtime.State{running, state(runtime.Exited, 3, 5, 9)}, nil, runtime.Running, "algo-2", "broken"},
		{"the first failure counts", []runtime.State{state(runtime.Exited, 4, 5, 9), state(runtime.Exited, 3, 5, 8)}, nil, runtime.Exited, "algo-2", ""},
		{"what was stopped for another did not fail first", []runtime.State{state(runtime.Exited, 143, 5, 9), state(runtime.Exited, 3, 5, 9)}, nil, runtime.Exited, "algo-2", ""},
		{"one has ended and the other is gone", []runtime.State{state(runtime.Exited, 0, 5, 9), missing}, nil, runtime.Exited, "", "partial"},
		{"a feed that failed is the job's failure", []runtime.State{running}, new(state(runtime.Exited, 1, 5, 7)), runtime.Running, "algo-1", "broken"},
		{"also when it ended after its host", []runtime.State{state(runtime.Exited, 0, 5, 9)}, new(state(runtime.Exited, 137, 5, 10)), runtime.Exited, "algo-1", ""},
		{"a feed ends after its host", []runtime.State{state(runtime.Exited, 0, 5, 9)}, new(state(runtime.Exited, 0, 5, 10)), runtime.Exited, "", ""},
		{"until then it serves", []runtime.State{state(runtime.Exited, 0, 5, 9)}, new(running), runtime.Exited, "", "serving"},
		{"a feed alone is not the job", []runtime.State{missing}, new(running), runtime.Missing, "", "partial"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var members []Member
			states := map[runtime.ID]runtime.State{}
			for i, s := range tt.hosts {
				m := Member{ID: runtime.ID(fmt.Sprint("t", i+1)), Host: fmt.Sprint("algo-", i+1)}
				members = append(members, m)
				states[m.ID] = s
			}
			if tt.feed != nil {
				members = append(members, Member{ID: "feed", Host: "algo-1", Beside: true})
				states["feed"] = *tt.feed
			}
			got := Sum(members, states)
			failed, flags := "", []string{}
			if got.Failed != nil {
				failed = got.Failed.Host
			}
			if got.Partial {
				flags = append(flags, "partial")
			}
			if got.Broken {
				flags = append(flags, "broken")
			}
			if got.Serving {
				flags = append(flags, "serving")
			}
			if got.Phase != tt.phase || failed != tt.failed || strings.Join(flags, " ") != tt.flags {
				t.Errorf("%s, failed %q, %v", got.Phase, failed, flags)
			}
			if got.Phase == runtime.Exited && got.Failed != nil && got.ExitCode != states[got.Failed.ID].ExitCode {
				t.Errorf("its exit code is %d", got.ExitCode)
			}
		})
	}
}

func TestReasonsFit(t *testing.T) {
	for _, s := range []string{Cut(strings.Repeat("é", 2000)), WithCode(strings.Repeat("é", 2000), 137)} {
		if n := len([]rune(s)); n != 1024 {
			t.Errorf("a reason has %d characters", n)
		}
	}
	if s := WithCode(strings.Repeat("x", 2000), 137); !strings.HasSuffix(s, ", exit code: 137") {
		t.Error("the code is cut")
	}
}

func TestBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Beside
		ctx, cancel := context.WithCancel(t.Context())
		ran, told := 0, 0
		quick := func(context.Context) { ran++ }
		for range 3 {
			b.Go(ctx, "job", "quick", quick, func() { told++ })
			synctest.Wait()
		}
		if ran != 1 || told != 1 || !b.Ended("job", "quick") {
			t.Errorf("it ran %d times, told %d times", ran, told)
		}
		long := func(ctx context.Context) { ran++; <-ctx.Done() }
		b.Go(ctx, "job", "long", long, func() { t.Error("what was cut off is not done") })
		synctest.Wait()
		if b.Ended("job", "long") {
			t.Error("it has not ended")
		}
		b.End("job", "long")
		b.Go(ctx, "job", "long", long, nil) // cut off: begun anew
		synctest.Wait()
		if ran != 3 {
			t.Errorf("it ran %d times", ran)
		}
		b.Forget("job")
		synctest.Wait()
		if b.Ended("job", "quick") {
			t.Error("it is not forgotten")
		}
		b.Go(ctx, "other", "long", long, nil)
		cancel()
		b.Wait()
	})
}
