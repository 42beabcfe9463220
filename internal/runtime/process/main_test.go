// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// TestMain lets the test's own binary be all that a task needs: its parent and
// init ("task"), a server to be killed ("server"), and commands.
func TestMain(m *testing.M) {
	// What is built with the race detector sleeps a second before it exits.
	selfEnv = append(selfEnv, "GORACE=atexit_sleep_ms=0")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "task":
			os.Exit(RunTask(os.Args[2:]))
		case "server":
			serverMain(os.Args[2])
		case "http":
			httpMain()
		case "eat":
			eat()
		case "lines":
			printLines()
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if guestBuilt != "" {
			os.RemoveAll(guestBuilt)
		}
		os.Exit(code)
	}))
}

// serverMain starts one task and waits to be killed.
func serverMain(dir string) {
	r, err := New(Options{Dir: dir, Self: self()})
	if err == nil {
		err = r.Start(context.Background(), runtime.Task{ID: "orphan", Command: []string{"/bin/sh", "-c", "echo begin; sleep 0.5; echo end; exit 9"}})
	}
	fmt.Println("started", err)
	select {}
}

// httpMain serves on SAGEBRUSH_LISTEN.
func httpMain() {
	path, ok := strings.CutPrefix(os.Getenv("SAGEBRUSH_LISTEN"), "unix://")
	if !ok {
		os.Exit(3)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		os.Exit(4)
	}
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, "pong")
	}))
	os.Exit(0)
}

// eat takes memory until it is killed, or has taken 1 GiB.
func eat() {
	var all [][]byte
	for range 1024 {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		all = append(all, piece)
	}
	fmt.Println("ate", len(all))
	os.Exit(0)
}

// printLines prints 200,000 numbered lines.
func printLines() {
	var b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&b, "line %d of a job's output, as long as such lines are\n", i)
		if i%7 == 0 {
			_, _ = os.Stdout.WriteString(b.String())
			b.Reset()
		}
	}
	_, _ = os.Stdout.WriteString(b.String())
	os.Exit(0)
}

func self() []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, "task"}
}

func options(dir string) Options { return Options{Dir: dir, Self: self()} }

func open(t *testing.T, o Options) *Runtime {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fresh is a runtime on a folder of its own.
func fresh(t *testing.T) *Runtime {
	t.Helper()
	return open(t, options(t.TempDir()))
}

// isolated is a fresh runtime whose tasks are isolated, or the test is skipped.
func isolated(t *testing.T) *Runtime {
	t.Helper()
	r := fresh(t)
	if r.isolation == direct {
		_, _, why := chooseIsolation(self(), t.TempDir())
		t.Skip("no namespaces: " + why)
	}
	return r
}

func shell(id runtime.ID, script string) runtime.Task {
	return runtime.Task{ID: id, Command: []string{"/bin/sh", "-c", script}}
}

// start starts k and sees to its end.
func start(t *testing.T, r *Runtime, k runtime.Task) {
	t.Helper()
	if err := r.Start(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, r, k.ID) })
}

func finish(t *testing.T, r *Runtime, id runtime.ID) {
	t.Helper()
	_ = r.Stop(context.Background(), id, 0)
	await(t, r, id, runtime.Exited, runtime.Missing)
	if err := r.Remove(context.Background(), id); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, r *Runtime, id runtime.ID, phases ...runtime.Phase) runtime.State {
	t.Helper()
	var s runtime.State
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var err error
		if s, err = r.Inspect(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		for _, p := range phases {
			if s.Phase == p {
				return s
			}
		}
	}
	diag, _ := os.ReadFile(r.task(id).path("parent.log"))
	t.Fatalf("task %s is %+v, not %v; its parent says %q", id, s, phases, diag)
	return s
}

// logText is the log of an ended task without the times.
func logText(t *testing.T, r *Runtime, id runtime.ID) string {
	t.Helper()
	l, err := r.Logs(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data, err := io.ReadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		_, text, _ := strings.Cut(line, "\t")
		b.WriteString(text)
	}
	return b.String()
}

// output runs k to its end, which must be 0, and gives what it printed.
func output(t *testing.T, r *Runtime, k runtime.Task) string {
	t.Helper()
	start(t, r, k)
	out := logText(t, r, k.ID)
	if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != 0 {
		t.Fatalf("it ended as %+v and printed %q", s, out)
	}
	return out
}

// client speaks HTTP over a task's socket.
func client(addr string) *http.Client {
	path, _ := strings.CutPrefix(addr, "unix://")
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}
