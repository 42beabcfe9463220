// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"fmt"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// BenchmarkTask is one task from Start to the event of its end, and how long
// its steps take.
func BenchmarkTask(b *testing.B) {
	for _, direct := range []bool{false, true} {
		b.Run(fmt.Sprintf("direct=%v", direct), func(b *testing.B) {
			r, err := New(Options{Dir: b.TempDir(), Self: self(), Direct: direct})
			if err != nil {
				b.Fatal(err)
			}
			told := r.Events(b.Context())
			var up, down time.Duration
			n := 0
			for b.Loop() {
				k := runtime.Task{ID: runtime.ID(fmt.Sprintf("b%d", n)), Command: []string{"/bin/true"}, MilliCPU: 1000, MemoryBytes: 1 << 30}
				began := time.Now()
				if err := r.Start(b.Context(), k); err != nil {
					b.Fatal(err)
				}
				for id := range told {
					if s, _ := r.Inspect(b.Context(), id); id == k.ID && s.Phase == runtime.Exited {
						up += s.Started.Sub(began)
						down += time.Since(s.Ended)
						break
					}
				}
				n++
			}
			b.ReportMetric(float64(up.Microseconds())/1000/float64(n), "ms-to-running")
			b.ReportMetric(float64(down.Microseconds())/1000/float64(n), "ms-end-to-event")
		})
	}
}

// BenchmarkInspect is one look at a running task.
func BenchmarkInspect(b *testing.B) {
	r, err := New(Options{Dir: b.TempDir(), Self: self()})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	if err := r.Start(ctx, shell("look", "exec sleep 1000")); err != nil {
		b.Fatal(err)
	}
	for s, _ := r.Inspect(ctx, "look"); s.Phase != runtime.Running; s, _ = r.Inspect(ctx, "look") {
		time.Sleep(time.Millisecond)
	}
	for b.Loop() {
		if _, err := r.Inspect(ctx, "look"); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	_ = r.Stop(ctx, "look", 0)
	for s, _ := r.Inspect(ctx, "look"); s.Phase != runtime.Exited; s, _ = r.Inspect(ctx, "look") {
		time.Sleep(time.Millisecond)
	}
}
