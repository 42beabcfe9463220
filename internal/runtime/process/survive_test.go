// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// running lists the processes of this machine whose command line holds word.
func running(word string) []int {
	var pids []int
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		data, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(data, []byte(word)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits until no process holds word in its command line.
func gone(t *testing.T, word string) {
	t.Helper()
	var left []int
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if left = running(word); len(left) == 0 {
			return
		}
	}
	t.Errorf("processes %v with %q live on", left, word)
}

func TestTaskOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(self()[0], "server", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started <nil>\n" {
		t.Fatalf("server says %q, %v", line, err)
	}
	// The whole process group, as a terminal or a supervisor would.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	r := open(t, options(dir))
	t.Cleanup(func() { finish(t, r, "orphan") })
	told := r.Events(t.Context())
	if s, _ := r.Inspect(t.Context(), "orphan"); s.Phase != runtime.Running && s.Phase != runtime.Pending {
		t.Fatalf("the new server finds %+v", s)
	}
	for id := range told {
		if s, _ := r.Inspect(t.Context(), id); s.Phase == runtime.Exited {
			break
		}
	}
	if s := await(t, r, "orphan", runtime.Exited); s.ExitCode != 9 || s.Reason != "" {
		t.Errorf("it ended as %+v", s)
	}
	if got := logText(t, r, "orphan"); got != "begin\nend\n" {
		t.Errorf("log is %q", got)
	}
}

func TestAnotherServerStopsTheTask(t *testing.T) {
	a := fresh(t)
	start(t, a, shell("shared", "exec sleep 1000"))
	b := open(t, options(a.dir))
	if err := b.Stop(t.Context(), "shared", time.Minute); err != nil {
		t.Fatal(err)
	}
	if s := await(t, b, "shared", runtime.Exited); s.ExitCode != 143 {
		t.Errorf("it ended as %+v", s)
	}
}

func TestTwoServersStartATaskOnce(t *testing.T) {
	a := fresh(t)
	b := open(t, options(a.dir))
	marks := t.TempDir()
	var wg sync.WaitGroup
	for i := range 10 {
		k := shell(runtime.ID(fmt.Sprintf("once-%d", i)), fmt.Sprintf("echo x >>%s/%d", marks, i))
		k.Mounts = []runtime.Mount{{Source: marks, Target: marks}}
		for _, r := range []*Runtime{a, b, a, b} {
			wg.Go(func() {
				if err := r.Start(t.Context(), k); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for i := range 10 {
		id := runtime.ID(fmt.Sprintf("once-%d", i))
		if s := await(t, b, id, runtime.Exited); s.ExitCode != 0 {
			t.Errorf("task %d ended as %+v", i, s)
		}
		if data, err := os.ReadFile(filepath.Join(marks, strconv.Itoa(i))); string(data) != "x\n" {
			t.Errorf("task %d left %q, %v", i, data, err)
		}
		finish(t, a, id)
	}
}

// Whenever the parent is killed, the command has run to the end of its life at
// most once, nothing of it lives on, and the state is final and true.
func TestParentKilledAtAnyMoment(t *testing.T) {
	for _, how := range []isolation{namespaces, direct} {
		t.Run(string(how), func(t *testing.T) {
			o := options(t.TempDir())
			o.Direct = how == direct
			r := open(t, o)
			if how != direct && r.isolation == direct {
				t.Skip("no namespaces here")
			}
			marks := t.TempDir()
			for i := range 16 {
				id := runtime.ID(fmt.Sprintf("k%d", i))
				k := shell(id, fmt.Sprintf("echo x >>%s/%s; sleep 987%d; :", marks, id, i))
				k.Mounts = []runtime.Mount{{Source: marks, Target: marks}}
				if err := r.Start(t.Context(), k); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(i) * 2 * time.Millisecond)
				for _, pid := range running("task\x00" + string(r.task(id))) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				s := await(t, r, id, runtime.Exited, runtime.Missing)
				gone(t, fmt.Sprintf("sleep\x00987%d", i))
				mark, _ := os.ReadFile(filepath.Join(marks, string(id)))
				switch {
				case s.Phase == runtime.Missing && len(mark) > 0:
					t.Errorf("after %d ms it is missing but has run", 2*i)
				case s.Phase == runtime.Exited && (s.ExitCode != 137 || s.Reason != ReasonParentDied):
					t.Errorf("after %d ms it ended as %+v", 2*i, s)
				}
				if s.Phase == runtime.Exited { // and not again
					if err := r.Start(t.Context(), k); err != nil {
						t.Fatal(err)
					}
					if again, _ := r.Inspect(t.Context(), id); again != s {
						t.Errorf("Start made %+v of %+v", again, s)
					}
				}
				finish(t, r, id)
			}
		})
	}
}

// A server that did not start the task learns of its parent's death too.
func TestDeathOfAnAdoptedParentIsAnEvent(t *testing.T) {
	a := fresh(t)
	k := shell("adopted", "exec sleep 9871")
	start(t, a, k)
	await(t, a, "adopted", runtime.Running)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	told := open(t, options(a.dir)).Events(ctx)
	var b begun
	if ok, err := a.task("adopted").read("begun.json", &b); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := syscall.Kill(b.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for id := range told {
		if s, _ := a.Inspect(ctx, id); s.Phase == runtime.Exited {
			if s.Reason != ReasonParentDied || s.ExitCode != 137 || s.Started.IsZero() {
				t.Errorf("it ended as %+v", s)
			}
			return
		}
	}
	t.Error("nothing was told")
}

func TestTaskOfAnEarlierRunOfTheMachineIsLost(t *testing.T) {
	r := fresh(t)
	d := r.task("old")
	if err := os.Mkdir(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path("lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"task.json": spec{Task: shell("old", "exit 0")}, "begun.json": begun{PID: 1, Boot: "another"}, "running.json": ran{Started: time.Unix(1, 0)}} {
		if err := d.write(name, v, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Start(t.Context(), shell("old", "exit 0")); err != nil {
		t.Fatal(err)
	}
	s := await(t, r, "old", runtime.Exited)
	if s.ExitCode != 137 || s.Reason != ReasonLost || !s.Started.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v", s)
	}
	if err := r.Remove(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if got := output(t, r, shell("old", "echo anew")); got != "anew\n" {
		t.Errorf("after Remove it prints %q", got)
	}
}

func TestStartCutShortIsMissing(t *testing.T) {
	r := fresh(t)
	d := r.task("half")
	if err := os.Mkdir(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"lock", "task.json", "stop.json"} { // torn, all of them
		if err := os.WriteFile(d.path(file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := r.Inspect(t.Context(), "half"); err != nil || s.Phase != runtime.Missing {
			t.Errorf("after %s it is %+v, %v", file, s, err)
		}
	}
	if got := output(t, r, shell("half", "echo whole")); got != "whole\n" {
		t.Errorf("it prints %q", got)
	}
}

func TestGrandchildrenEndWithTheTask(t *testing.T) {
	for _, how := range []string{"isolated", "direct"} {
		t.Run(how, func(t *testing.T) {
			o := options(t.TempDir())
			o.Direct = how == "direct"
			r := open(t, o)
			word := fmt.Sprintf("98%d%d", os.Getpid(), len(how)) // a time that nobody else sleeps for
			output(t, r, shell("family", "setsid sleep "+word+" & (setsid sleep "+word+" &) ; sleep 0.05; echo done"))
			if left := running("sleep\x00" + word); len(left) > 0 {
				t.Errorf("%v live on", left)
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	r := fresh(t)
	for i := range 3 {
		k := shell(runtime.ID(fmt.Sprintf("clean-%d", i)), "echo x >/tmp/x; exit 1")
		k.MilliCPU, k.MemoryBytes, k.Serves = 500, 256<<20, true
		if err := r.Start(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		await(t, r, k.ID, runtime.Running, runtime.Exited)
		var b begun
		if ok, err := r.task(k.ID).read("begun.json", &b); !ok || err != nil {
			t.Fatal(ok, err)
		}
		await(t, r, k.ID, runtime.Exited)
		finish(t, r, k.ID)
		for _, dir := range append(b.Cgroups, b.SockDir, string(r.task(k.ID)), r.liveFile(k.ID)) {
			if _, err := os.Lstat(dir); err == nil {
				t.Errorf("%s is still there", dir)
			}
		}
	}
	if entries, _ := os.ReadDir(r.dir); len(entries) != 1 || entries[0].Name() != "_live" {
		t.Errorf("the folder holds %v", entries)
	}
}
