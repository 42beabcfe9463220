// SPDX-License-Identifier: Apache-2.0

package hostmetrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// metered is a runtime whose one task uses so many processors.
type metered struct {
	*fake.Runtime
	begun      time.Time
	runs       time.Duration // zero for ever
	processors float64
	gpus       []runtime.GPUUsage
	fail       func(n int) error
	calls      int
}

func (m *metered) Usage(context.Context, runtime.ID) (runtime.Usage, bool, error) {
	m.calls++
	if m.fail != nil {
		if err := m.fail(m.calls); err != nil {
			return runtime.Usage{}, false, err
		}
	}
	since := time.Since(m.begun)
	if m.runs > 0 && since >= m.runs {
		return runtime.Usage{}, false, nil
	}
	return runtime.Usage{At: time.Now(), CPU: time.Duration(m.processors * float64(since)), MemoryBytes: 256 << 20, DiskBytes: 1 << 30, GPUs: m.gpus}, true, nil
}

// store is a telemetry.Metrics in memory.
type store struct {
	mu   sync.Mutex
	data []telemetry.Datum
	puts int
	fail error
}

func (s *store) Put(ctx context.Context, account, region, namespace string, data []telemetry.Datum) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || account != "1" || region != "r" || namespace != "/aws/sagemaker/TrainingJobs" {
		return fmt.Errorf("%v: %s %s %s", ctx.Err(), account, region, namespace)
	}
	s.puts++
	s.data = append(s.data, data...)
	return s.fail
}

// of are the values of a metric, each of which has its second.
func (s *store) of(name string) (values []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.data {
		if d.Name == name && d.Unit == "Percent" && slices.Equal(d.Dimensions, []telemetry.Dimension{{Name: "Host", Value: "job/algo-1"}}) {
			values = append(values, d.Value)
		}
	}
	return values
}

func host(r runtime.Runtime, s *store) Host {
	return Host{Runtime: r, Metrics: s, Account: "1", Region: "r", Namespace: "/aws/sagemaker/TrainingJobs", Name: "job/algo-1",
		Task: runtime.Task{ID: "t", MilliCPU: 2000, MemoryBytes: 1 << 30, DiskBytes: 4 << 30}}
}

func about(t *testing.T, name string, got []float64, n int, want float64) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%s has %d values, want %d", name, len(got), n)
	}
	for _, v := range got {
		if math.Abs(v-want) > 0.01 {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

func TestWatch(t *testing.T) {
	two := []runtime.GPUUsage{{Utilization: 90, MemoryUtilization: 50}, {Utilization: 60, MemoryUtilization: 25}}
	for _, c := range []struct {
		name                          string
		m                             metered
		limits                        func(*runtime.Task)
		measured                      int
		cpu, memory, disk, gpu, gpuMe float64
	}{
		// The first five measurements are within the first second.
		{"a task of a minute", metered{runs: 60 * time.Second, processors: 1.5}, nil, 64, 150, 25, 25, 0, 0},
		{"a task that is seen once", metered{runs: 10 * time.Millisecond, processors: 1}, nil, 1, 0, 25, 25, 0, 0},
		{"no more than its processors", metered{runs: time.Second, processors: 2.1}, nil, 5, 200, 25, 25, 0, 0},
		{"accelerators are added up", metered{runs: time.Second, processors: 1, gpus: two}, nil, 5, 100, 25, 25, 150, 75},
		{"what has no limit has no share", metered{runs: time.Second, processors: 4}, func(k *runtime.Task) { *k = runtime.Task{ID: "t"} }, 5, 400, 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				c.m.Runtime, c.m.begun = fake.New(), time.Now()
				h := host(&c.m, s)
				if c.limits != nil {
					c.limits(&h.Task)
				}
				if err := Watch(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				times := func(want float64) int {
					if want == 0 {
						return 0
					}
					return c.measured
				}
				about(t, "CPUUtilization", s.of("CPUUtilization"), c.measured-1, c.cpu)
				about(t, "MemoryUtilization", s.of("MemoryUtilization"), times(c.memory), c.memory)
				about(t, "DiskUtilization", s.of("DiskUtilization"), times(c.disk), c.disk)
				about(t, "GPUUtilization", s.of("GPUUtilization"), times(c.gpu), c.gpu)
				about(t, "GPUMemoryUtilization", s.of("GPUMemoryUtilization"), times(c.gpuMe), c.gpuMe)
				if s.puts > c.measured/publishEvery+1 {
					t.Errorf("%d measurements were published %d times", c.measured, s.puts)
				}
			})
		})
	}
}

// What was measured before the end of the server is published.
func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 8200*time.Millisecond)
		defer cancel()
		s := &store{}
		if err := Watch(ctx, host(&metered{Runtime: fake.New(), begun: time.Now(), processors: 1}, s)); err != nil {
			t.Fatal(err)
		}
		about(t, "CPUUtilization", s.of("CPUUtilization"), 11, 100)
	})
}

func TestWatchOfWhatCannotBeMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		unable := struct{ runtime.Runtime }{fake.New()} // no Meter
		if err := Watch(t.Context(), host(unable, &store{})); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// A task that does not come up, and one that cannot be asked about.
		if err := Watch(t.Context(), host(&metered{Runtime: fake.New(), begun: time.Now(), runs: 1}, &store{})); err != nil {
			t.Errorf("%v", err)
		}
		broken := errors.New("broken")
		always := &metered{Runtime: fake.New(), begun: time.Now(), fail: func(int) error { return broken }}
		if err := Watch(t.Context(), host(always, &store{})); !errors.Is(err, broken) || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// What fails now and then leaves its values out and no others.
func TestWatchGoesOnAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		m := &metered{Runtime: fake.New(), begun: time.Now(), runs: time.Minute, processors: 1, fail: func(n int) error {
			if n%10 < 3 {
				return broken
			}
			return nil
		}}
		s := &store{}
		if err := Watch(t.Context(), host(m, s)); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if n := len(s.of("CPUUtilization")); n < 40 || n > 50 {
			t.Errorf("%d values", n)
		}
		full := &store{fail: broken}
		if err := Watch(t.Context(), host(&metered{Runtime: fake.New(), begun: time.Now(), runs: time.Minute}, full)); !errors.Is(err, broken) || full.puts < 12 {
			t.Errorf("%v after %d publications", err, full.puts)
		}
	})
}
