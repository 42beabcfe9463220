// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// BenchmarkTask is one task from Start to the event of its end, and how long
// its steps take: on the machine's files, without namespaces, in an image, and
// in an image without network.
func BenchmarkTask(b *testing.B) {
	dir, err := guestDir()
	if err != nil {
		b.Fatal(err)
	}
	for name, k := range map[string]runtime.Task{
		"host":    {Command: []string{"/bin/true"}},
		"direct":  {Command: []string{"/bin/true"}},
		"image":   {Command: []string{"/guest", "whoami"}, Root: dir},
		"no-net":  {Command: []string{"/guest", "whoami"}, Root: dir, Network: runtime.None},
		"scratch": {Command: []string{"/bin/true"}, Mounts: []runtime.Mount{{Source: dir, Target: "/opt/env", Scratch: true}}},
	} {
		b.Run(name, func(b *testing.B) {
			r, err := New(Options{Dir: b.TempDir(), Self: self(), Direct: name == "direct"})
			if err != nil {
				b.Fatal(err)
			}
			told := r.Events(b.Context())
			var up, down time.Duration
			n := 0
			for b.Loop() {
				k.ID, k.MilliCPU, k.MemoryBytes = runtime.ID(fmt.Sprintf("b%d", n)), 1000, 1<<30
				began := time.Now()
				if err := r.Start(b.Context(), k); err != nil {
					b.Fatal(err)
				}
				for id := range told {
					if s, _ := r.Inspect(b.Context(), id); id == k.ID && s.Phase == runtime.Exited {
						if s.ExitCode != 0 {
							b.Fatalf("it ended as %+v", s)
						}
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

// BenchmarkServing is one small request over a connection that is kept open: to
// a task that listens on the socket it was given, and to one that listens on a
// port in a network of its own; and the flow of one large request.
func BenchmarkServing(b *testing.B) {
	r, err := New(Options{Dir: b.TempDir(), Self: self()})
	if err != nil {
		b.Fatal(err)
	}
	if r.isolation == direct || !r.can.network.OK {
		b.Skip("no namespaces here")
	}
	dir, err := guestDir()
	if err != nil {
		b.Fatal(err)
	}
	mounts := []runtime.Mount{{Source: dir, Target: "/opt/guest", ReadOnly: true}}
	for name, k := range map[string]runtime.Task{
		"socket": {Command: []string{self()[0], "http"}},
		"port":   {Command: []string{"/opt/guest/guest", "http", "127.0.0.1:8080"}, Port: 8080, Mounts: mounts},
	} {
		k.ID, k.Serves = runtime.ID(name), true
		if err := r.Start(b.Context(), k); err != nil {
			b.Fatal(err)
		}
		var s runtime.State
		for s, _ = r.Inspect(b.Context(), k.ID); s.Phase != runtime.Running; s, _ = r.Inspect(b.Context(), k.ID) {
			time.Sleep(time.Millisecond)
		}
		c := client(s.Addr)
		post := func(size int) error {
			resp, err := c.Post("http://task/invocations", "application/octet-stream", bytes.NewReader(make([]byte, size)))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			return err
		}
		for post(1) != nil {
			time.Sleep(time.Millisecond)
		}
		for _, size := range []int{100, 64 << 20} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					if err := post(size); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		c.CloseIdleConnections()
		_ = r.Stop(b.Context(), k.ID, 0)
		for s, _ := r.Inspect(b.Context(), k.ID); s.Phase != runtime.Exited; s, _ = r.Inspect(b.Context(), k.ID) {
			time.Sleep(time.Millisecond)
		}
	}
}
