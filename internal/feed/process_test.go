// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
)

// TestExitCode is the feeder as a process: its exit code is what tells whether
// an end of file was the end of an epoch.
func TestExitCode(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		read   int // bytes of epoch 0, by a reader that stays; -1 for all, and it goes
		want   int
	}{
		{"stopped before anyone has read", syscall.SIGTERM, 0, 0},
		{"stopped after an epoch", syscall.SIGTERM, -1, 0},
		{"stopped within an epoch", syscall.SIGTERM, 10, 1},
		{"killed within an epoch", syscall.SIGKILL, 10, 128 + 9},
		{"killed between two", syscall.SIGKILL, -1, 128 + 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.channel(Channel{Name: "c"}, l.file("o", big))
			path := filepath.Join(l.dir, "spec.json")
			if err := l.spec.Save(path); err != nil {
				t.Fatal(err)
			}
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe, "feed", path)
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			switch {
			case c.read < 0:
				if got := l.read("c_0"); got != big {
					t.Fatalf("%d bytes", len(got))
				}
			case c.read > 0:
				if _, err := io.ReadFull(l.open("c_0"), make([]byte, c.read)); err != nil {
					t.Fatal(err)
				}
			default:
				for !l.exists("c_0") {
					time.Sleep(time.Millisecond)
				}
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			got := status.ExitStatus()
			if status.Signaled() {
				got = 128 + int(status.Signal())
			}
			if got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

// TestBesideATask runs feeder and container as tasks, as training does: each in
// mount and process namespaces of its own, the feeder without the home but for
// what it needs of it.
func TestBesideATask(t *testing.T) {
	l := newLab(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	tasks, err := process.New(process.Options{Dir: filepath.Join(home, "tasks"), Self: []string{exe, "task"}, Hide: []string{home, l.dir}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	ml, work, objects := filepath.Join(l.dir, "ml"), filepath.Join(l.dir, "feed"), filepath.Join(l.dir, "objects")
	for _, dir := range []string{ml, work, objects} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.channel(Channel{Name: "train", Wrap: RecordIO}, l.file("objects/1", "one"), l.file("objects/2", "two"))
	spec := l.spec
	spec.Failure = filepath.Join(work, "failure.json")
	spec.Channels[0].Dir = filepath.Join(ml, "input", "data")
	spec.Channels[0].List = filepath.Join(work, "train.list")
	if err := os.Rename(filepath.Join(l.dir, "train.list"), spec.Channels[0].List); err != nil {
		t.Fatal(err)
	}
	if err := spec.Save(filepath.Join(work, "spec.json")); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(spec); err != nil {
		t.Fatal(err)
	}
	here := func(path string, readOnly bool) runtime.Mount {
		return runtime.Mount{Source: path, Target: path, ReadOnly: readOnly}
	}
	start := func(task runtime.Task) {
		t.Helper()
		if err := tasks.Start(ctx, task); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tasks.Remove(context.WithoutCancel(ctx), task.ID) })
	}
	start(runtime.Task{ID: "feed", Network: runtime.None, Command: []string{exe, "feed", filepath.Join(work, "spec.json")},
		Mounts: []runtime.Mount{here(spec.Channels[0].Dir, false), here(work, false), here(objects, true), here(filepath.Dir(exe), true)}})
	start(runtime.Task{ID: "train", Command: []string{"/bin/sh", "-c", "cd ${SAGEBRUSH_ML_ROOT:-/opt/ml} && cat input/data/train_0 input/data/train_1 >got"},
		Mounts: []runtime.Mount{{Source: ml, Target: "/opt/ml"}}})

	ended := func(id runtime.ID) runtime.State {
		t.Helper()
		for {
			s, err := tasks.Inspect(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if s.Phase == runtime.Exited {
				return s
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	log := func(id runtime.ID) string {
		r, err := tasks.Logs(ctx, id, 0)
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		b, _ := io.ReadAll(r)
		return string(b)
	}
	if s := ended("train"); s.ExitCode != 0 {
		_ = tasks.Stop(ctx, "feed", time.Second)
		t.Fatalf("the container: %+v\n%s\nthe feeder:\n%s", s, log("train"), log("feed"))
	}
	if err := tasks.Stop(ctx, "feed", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if s := ended("feed"); s.ExitCode != 0 {
		t.Errorf("the feeder: %+v\n%s", s, log("feed"))
	}
	want := strings.Repeat(records(t, "one", "two"), 2)
	if got, err := os.ReadFile(filepath.Join(ml, "got")); string(got) != want || err != nil {
		t.Errorf("the container has read %q (%v), want %q", got, err, want)
	}
	if !strings.Contains(log("feed"), fmt.Sprint("epoch=1 bytes=", len(want)/2)) {
		t.Errorf("the feeder's log: %s", log("feed"))
	}
}
