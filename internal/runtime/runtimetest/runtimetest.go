// SPDX-License-Identifier: Apache-2.0

// Package runtimetest is the suite that every runtime passes.
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Traits says what a runtime can be asked for.
type Traits struct {
	// Runs says that commands really run: /bin/sh and the usual programs, or
	// with Image the guest.
	Runs bool
	// Isolates says that a task has its own root, processes and host name.
	Isolates bool
	// Why tells why one of the two is missing; it is printed with the skip.
	Why string

	// Image makes a task run the suite's image: it sets Root or Image of it, see
	// ImageRoot. Without, tasks are scripts of the machine's shell, and what only
	// an image can show is skipped.
	Image func(*runtime.Task)
	// Lacks tells of each ability that is missing why it is.
	Lacks map[Ability]string
	// Reopen gives another runtime on the state of first, as a new server would.
	// It may be nil.
	Reopen func(t *testing.T, first runtime.Runtime) runtime.Runtime
	// Outside is an address of this machine, without port, that a task with an
	// open network can connect to.
	Outside string
}

// Ability is what a runtime can do on some machines only.
type Ability string

// The abilities.
const (
	Users          Ability = "users other than root"
	Memory         Ability = "a limit of memory"
	Processes      Ability = "a limit of processes"
	Disk           Ability = "a limit of the disk"
	Isolation      Ability = "tasks without network"
	Groups         Ability = "hosts that find each other"
	IsolatedGroups Ability = "hosts without network that find each other"
	Serving        Ability = "serving on a port"
	Metering       Ability = "measuring"
)

// patience is how long anything may take on a slow, busy machine.
const patience = 30 * time.Second

// Run runs the suite. open gives a runtime without tasks, or one of which no
// task has a name that starts with "rt-".
func Run(t *testing.T, open func(*testing.T) runtime.Runtime, traits Traits) {
	cases := []struct {
		name string
		do   func(*suite)
	}{
		{"a task that was never started is missing", missing},
		{"a bad ID is refused by Start and missing to the rest", badIDs},
		{"a task without a command is refused", noCommand},
		{"a task runs, ends with 0, and its times are in order", runsToEnd},
		{"the exit code is kept", exitCode},
		{"a second Start leaves the task as it is", secondStart},
		{"of many Starts at once one runs", manyStarts},
		{"Stop sends SIGTERM", stopTerm},
		{"a task that ignores SIGTERM is killed after the grace", stopKill},
		{"Stop at once after Start takes effect", stopEarly},
		{"Stop of an ended task changes nothing", stopEnded},
		{"a running task is not removed", removeRunning},
		{"a removed task is missing and can start again", removeEnded},
		{"the log has the lines of the contract", logLines},
		{"the log is read from an offset", logOffset},
		{"a reader follows until the task ends", logFollow},
		{"a reader ends with its context, and by Close", logCancel},
		{"events tell of the end", events},
		{"the channel of events closes with its context", eventsClose},
	}
	running := []struct {
		name string
		do   func(*suite)
	}{
		{"a command that is not there ends with 127 and a reason", notFound},
		{"a signal's end is 128 and its number", signalled},
		{"the environment is what was asked for and no more", environment},
		{"the work folder is used", workDir},
	}
	isolating := []struct {
		name string
		do   func(*suite)
	}{
		{"mounts appear at their targets", mounts},
		{"a read-only mount refuses writing", readOnlyMount},
		{"the host name is the task's", hostName},
		{"the task sees its own processes only", ownProcesses},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.do(newSuite(t, open, traits)) })
	}
	for _, c := range running {
		t.Run(c.name, func(t *testing.T) {
			if !traits.Runs {
				t.Skip("no commands run: " + traits.Why)
			}
			c.do(newSuite(t, open, traits))
		})
	}
	for _, c := range isolating {
		t.Run(c.name, func(t *testing.T) {
			if !traits.Isolates {
				t.Skip("tasks are not isolated: " + traits.Why)
			}
			c.do(newSuite(t, open, traits))
		})
	}
	for _, c := range imageCases {
		t.Run(c.name, func(t *testing.T) {
			if traits.Image == nil {
				t.Skip("the runtime was given no image")
			}
			for _, a := range c.needs {
				if why, ok := traits.Lacks[a]; ok {
					t.Skipf("it lacks %s: %s", a, why)
				}
			}
			c.do(newSuite(t, open, traits))
		})
	}
}

// suite is one case at work.
type suite struct {
	*testing.T
	rt     runtime.Runtime
	ctx    context.Context
	traits Traits
}

func newSuite(t *testing.T, open func(*testing.T) runtime.Runtime, traits Traits) *suite {
	return &suite{t, open(t), t.Context(), traits}
}

// scripted is a task for all kinds of runtime: the shell, or the guest by its
// steps, does what the environment tells the fake.
func (s *suite) scripted(id, script, steps string, fake ...string) runtime.Task {
	t := runtime.Task{ID: runtime.ID(id), Command: []string{"/bin/sh", "-c", script}, Env: map[string]string{}}
	if s.traits.Image != nil {
		t.Command = append([]string{"/guest"}, words(steps)...)
		s.traits.Image(&t)
	}
	for i := 0; i < len(fake); i += 2 {
		t.Env[fake[i]] = fake[i+1]
	}
	return t
}

func (s *suite) forever(id string) runtime.Task {
	return s.scripted(id, "exec sleep 1000", "pause", "FAKE_RUN_FOR", "forever")
}

// start starts t and has it ended and removed with the test.
func (s *suite) start(t runtime.Task) {
	s.Helper()
	s.Cleanup(func() {
		ctx := context.Background()
		_ = s.rt.Stop(ctx, t.ID, 0)
		(&suite{s.T, s.rt, ctx, s.traits}).until(t.ID, runtime.Exited, runtime.Missing)
		if err := s.rt.Remove(ctx, t.ID); err != nil {
			s.Errorf("remove %s: %v", t.ID, err)
		}
	})
	if err := s.rt.Start(s.ctx, t); err != nil {
		s.Fatalf("start %s: %v", t.ID, err)
	}
}

func (s *suite) inspect(id runtime.ID) runtime.State {
	s.Helper()
	st, err := s.rt.Inspect(s.ctx, id)
	if err != nil {
		s.Fatalf("inspect %s: %v", id, err)
	}
	return st
}

// until waits until the task is in one of the phases.
func (s *suite) until(id runtime.ID, phases ...runtime.Phase) runtime.State {
	s.Helper()
	var st runtime.State
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		st = s.inspect(id)
		for _, p := range phases {
			if st.Phase == p {
				return st
			}
		}
	}
	s.Fatalf("task %s is %+v, not %v", id, st, phases)
	return st
}

// log reads the whole log of a task, to its end.
func (s *suite) log(id runtime.ID, from int64) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	l, err := s.rt.Logs(ctx, id, from)
	if err != nil {
		s.Fatalf("logs of %s: %v", id, err)
	}
	defer l.Close()
	data, err := io.ReadAll(l)
	if err != nil {
		s.Fatalf("read log of %s: %v", id, err)
	}
	return string(data)
}

// text is the log without its times; a line without one fails the test.
func (s *suite) text(log string) string {
	s.Helper()
	var b strings.Builder
	for line := range strings.Lines(log) {
		ms, text, ok := strings.Cut(line, "\t")
		n, err := strconv.ParseInt(ms, 10, 64)
		if at := time.UnixMilli(n); !ok || err != nil || time.Since(at).Abs() > time.Hour || !strings.HasSuffix(line, "\n") {
			s.Errorf("log line %q is not \"<unix ms>\\t<text>\\n\"", line)
		}
		b.WriteString(text)
	}
	return b.String()
}

// output runs a task to its end and gives what it printed.
func (s *suite) output(t runtime.Task) string {
	s.Helper()
	s.start(t)
	out := s.text(s.log(t.ID, 0))
	if st := s.until(t.ID, runtime.Exited); st.ExitCode != 0 {
		s.Fatalf("task %s ended as %+v and printed %q", t.ID, st, out)
	}
	return out
}

func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if got != want {
		s.Errorf("%s is %#v, not %#v", what, got, want)
	}
}

func missing(s *suite) {
	s.equal("state", s.inspect("rt-none"), runtime.State{Phase: runtime.Missing})
	if err := s.rt.Stop(s.ctx, "rt-none", time.Second); err != nil {
		s.Errorf("stop: %v", err)
	}
	if err := s.rt.Remove(s.ctx, "rt-none"); err != nil {
		s.Errorf("remove: %v", err)
	}
	if _, err := s.rt.Logs(s.ctx, "rt-none", 0); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("logs: %v, not fs.ErrNotExist", err)
	}
}

func badIDs(s *suite) {
	for _, id := range []runtime.ID{"", ".", "..", "a/b", "a_b", "a b", "ä", runtime.ID(strings.Repeat("x", 101))} {
		t := s.scripted("", "exit 0", "exit 0")
		t.ID = id
		if err := s.rt.Start(s.ctx, t); err == nil {
			s.Errorf("start %q is accepted", id)
		}
		s.equal(fmt.Sprintf("phase of %q", id), s.inspect(id).Phase, runtime.Missing)
	}
}

func noCommand(s *suite) {
	if err := s.rt.Start(s.ctx, runtime.Task{ID: "rt-empty"}); err == nil {
		s.Error("it is accepted")
	}
	s.equal("phase", s.inspect("rt-empty").Phase, runtime.Missing)
}

func runsToEnd(s *suite) {
	before := time.Now().Add(-time.Second)
	s.start(s.scripted("rt-end", "exit 0", "exit 0"))
	st := s.until("rt-end", runtime.Exited)
	s.equal("exit code", st.ExitCode, 0)
	s.equal("reason", st.Reason, "")
	if st.Started.Before(before) || st.Ended.Before(st.Started) || st.Ended.After(time.Now().Add(time.Second)) {
		s.Errorf("started %v, ended %v, asked for after %v", st.Started, st.Ended, before)
	}
}

func exitCode(s *suite) {
	for _, code := range []int{1, 42, 255} {
		id := fmt.Sprintf("rt-code-%d", code)
		s.start(s.scripted(id, fmt.Sprintf("exit %d", code), fmt.Sprintf("exit %d", code), "FAKE_EXIT", strconv.Itoa(code)))
		s.equal("exit code", s.until(runtime.ID(id), runtime.Exited).ExitCode, code)
	}
}

func secondStart(s *suite) {
	s.start(s.forever("rt-twice"))
	first := s.until("rt-twice", runtime.Running)
	other := s.scripted("rt-twice", "exit 3", "exit 3", "FAKE_EXIT", "3")
	if err := s.rt.Start(s.ctx, other); err != nil {
		s.Fatal(err)
	}
	s.equal("state", s.inspect("rt-twice"), first)
	if err := s.rt.Stop(s.ctx, "rt-twice", 0); err != nil {
		s.Fatal(err)
	}
	ended := s.until("rt-twice", runtime.Exited)
	if err := s.rt.Start(s.ctx, other); err != nil {
		s.Fatal(err)
	}
	s.equal("state of the ended task", s.inspect("rt-twice"), ended)
}

func manyStarts(s *suite) {
	t := s.scripted("rt-many", "echo ran", "say ran", "FAKE_LOG", "ran\n")
	s.start(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := s.rt.Start(s.ctx, t); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	s.equal("log", s.text(s.log(t.ID, 0)), "ran\n")
}

func stopTerm(s *suite) {
	s.start(s.forever("rt-term"))
	s.until("rt-term", runtime.Running)
	for range 2 {
		if err := s.rt.Stop(s.ctx, "rt-term", patience); err != nil {
			s.Fatal(err)
		}
	}
	s.equal("exit code", s.until("rt-term", runtime.Exited).ExitCode, 143)
}

func stopKill(s *suite) {
	s.start(s.scripted("rt-kill", "trap '' TERM; echo ready; while :; do sleep 0.05; done", "deaf ready",
		"FAKE_RUN_FOR", "forever", "FAKE_IGNORE_TERM", "1", "FAKE_LOG", "ready\n"))
	s.firstLine("rt-kill")
	const grace = 300 * time.Millisecond
	asked := time.Now()
	if err := s.rt.Stop(s.ctx, "rt-kill", grace); err != nil {
		s.Fatal(err)
	}
	st := s.until("rt-kill", runtime.Exited)
	s.equal("exit code", st.ExitCode, 137)
	if took := st.Ended.Sub(asked); took < grace-20*time.Millisecond {
		s.Errorf("it was killed after %v of %v", took, grace)
	}
}

func stopEarly(s *suite) {
	s.start(s.forever("rt-early"))
	if err := s.rt.Stop(s.ctx, "rt-early", patience); err != nil {
		s.Fatal(err)
	}
	s.equal("exit code", s.until("rt-early", runtime.Exited).ExitCode, 143)
}

func stopEnded(s *suite) {
	s.start(s.scripted("rt-over", "exit 5", "exit 5", "FAKE_EXIT", "5"))
	before := s.until("rt-over", runtime.Exited)
	if err := s.rt.Stop(s.ctx, "rt-over", 0); err != nil {
		s.Fatal(err)
	}
	s.equal("state", s.inspect("rt-over"), before)
}

func removeRunning(s *suite) {
	s.start(s.forever("rt-held"))
	s.until("rt-held", runtime.Running)
	if err := s.rt.Remove(s.ctx, "rt-held"); err == nil {
		s.Error("it was removed")
	}
	s.equal("phase", s.inspect("rt-held").Phase, runtime.Running)
}

func removeEnded(s *suite) {
	for code := range 3 {
		s.start(s.scripted("rt-again", fmt.Sprintf("exit %d", code), fmt.Sprintf("exit %d", code), "FAKE_EXIT", strconv.Itoa(code)))
		s.equal("exit code", s.until("rt-again", runtime.Exited).ExitCode, code)
		for range 2 {
			if err := s.rt.Remove(s.ctx, "rt-again"); err != nil {
				s.Fatal(err)
			}
		}
		s.equal("state", s.inspect("rt-again"), runtime.State{Phase: runtime.Missing})
	}
}
