// SPDX-License-Identifier: Apache-2.0

// Package fake is a runtime that runs nothing: a task's own environment says
// what becomes of it. It keeps time by the time package, so that in a
// testing/synctest bubble hours pass at once.
//
//	FAKE_START_AFTER  how long it is Pending, a Go duration; 0
//	FAKE_RUN_FOR      how long it runs, a Go duration or "forever"; 0, of a serving task forever
//	FAKE_EXIT         exit code; 0
//	FAKE_REASON       State.Reason at its end
//	FAKE_LOG          what it prints when it begins to run
//	FAKE_IGNORE_TERM  not empty: SIGTERM does nothing
//	FAKE_FILES        a JSON object from paths inside the task to contents, written into the mounts' sources before it exits by itself
//	FAKE_ADDR         State.Addr of a serving task, of an httptest server say
//	FAKE_CPU          processors that it keeps busy, "1.5"; without it and FAKE_MEMORY it is not measured
//	FAKE_MEMORY       bytes of memory that it has
//	FAKE_DISK         bytes that it has written
//	FAKE_GPU          percent to which each of Task.GPUs is busy, and its memory used
//
// It has no files, limits or networks, and so needs nothing of Task.Root, Image,
// Network, Reach and the like; what no runtime could do is refused all the same.
package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Runtime is a runtime in memory. The zero value is ready for use.
type Runtime struct {
	mu       sync.Mutex
	tasks    map[runtime.ID]*task
	watchers map[*watcher]bool
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)
)

// New makes an empty runtime.
func New() *Runtime { return &Runtime{} }

// task is guarded by Runtime.mu.
type task struct {
	spec    runtime.Task
	script  script
	state   runtime.State
	log     []byte
	changed chan struct{} // closed and replaced at each change
	timers  []*time.Timer
	deadAt  time.Time // when SIGKILL comes, zero if not
	gone    bool      // removed
}

// script is what the environment asks for.
type script struct {
	after, run time.Duration
	forever    bool
	code       int
	files      map[string]string
	use        *use // nil when it is not measured
}

func parse(t runtime.Task) (s script, err error) {
	if v := t.Env["FAKE_START_AFTER"]; v != "" {
		if s.after, err = time.ParseDuration(v); err != nil {
			return s, fmt.Errorf("FAKE_START_AFTER: %w", err)
		}
	}
	switch v := t.Env["FAKE_RUN_FOR"]; {
	case v == "forever" || v == "" && t.Serves:
		s.forever = true
	case v != "":
		if s.run, err = time.ParseDuration(v); err != nil {
			return s, fmt.Errorf("FAKE_RUN_FOR: %w", err)
		}
	}
	if v := t.Env["FAKE_EXIT"]; v != "" {
		if s.code, err = strconv.Atoi(v); err != nil {
			return s, fmt.Errorf("FAKE_EXIT: %w", err)
		}
	}
	if v := t.Env["FAKE_FILES"]; v != "" {
		if err := json.Unmarshal([]byte(v), &s.files); err != nil {
			return s, fmt.Errorf("FAKE_FILES: %w", err)
		}
	}
	s.use, err = parseUse(t)
	return s, err
}

func checkID(id runtime.ID) error {
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	}
	if id == "" || len(id) > 100 || id[0] == '.' || strings.ContainsFunc(string(id), bad) {
		return fmt.Errorf("task ID %q is not 1 to 100 letters, digits, '-' and '.'", id)
	}
	return nil
}

// Start begins t as its environment says. An environment that says nonsense
// is an error.
func (r *Runtime) Start(ctx context.Context, t runtime.Task) error {
	if err := errors.Join(checkID(t.ID), ctx.Err()); err != nil {
		return err
	}
	if len(t.Command) == 0 {
		return fmt.Errorf("start task %q: it has no command", t.ID)
	}
	if len(t.Hosts) > 0 && !slices.Contains(t.Hosts, t.Host) {
		return fmt.Errorf("start task %q: host %q is none of its group's: %q", t.ID, t.Host, t.Hosts)
	}
	if t.Network != runtime.Open && t.Network != runtime.None {
		return fmt.Errorf("start task %q: network %q is not known", t.ID, t.Network)
	}
	s, err := parse(t)
	if err != nil {
		return fmt.Errorf("start task %q: %w", t.ID, err)
	}
	t.Env, t.Command, t.Mounts = maps.Clone(t.Env), slices.Clone(t.Command), slices.Clone(t.Mounts)
	t.Hosts, t.Reach = slices.Clone(t.Hosts), slices.Clone(t.Reach)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tasks[t.ID] != nil {
		return nil
	}
	if r.tasks == nil {
		r.tasks = map[runtime.ID]*task{}
	}
	k := &task{spec: t, script: s, state: runtime.State{Phase: runtime.Pending}, changed: make(chan struct{})}
	r.tasks[t.ID] = k
	r.tell(k)
	r.later(k, s.after, r.begin)
	return nil
}

// later calls do with the mutex held after d, unless the task ended first.
func (r *Runtime) later(k *task, d time.Duration, do func(*task)) {
	k.timers = append(k.timers, time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if k.state.Phase != runtime.Exited {
			do(k)
		}
	}))
}

func (r *Runtime) begin(k *task) {
	now := time.Now()
	k.state.Phase, k.state.Started = runtime.Running, now
	if k.spec.Serves {
		k.state.Addr = k.spec.Env["FAKE_ADDR"]
	}
	if text := k.spec.Env["FAKE_LOG"]; text != "" {
		for line := range strings.Lines(text) {
			k.log = fmt.Appendf(k.log, "%d\t%s\n", now.UnixMilli(), strings.TrimSuffix(line, "\n"))
		}
	}
	r.tell(k)
	if !k.script.forever {
		r.later(k, k.script.run, r.finish)
	}
}

// finish is the end that the environment asked for.
func (r *Runtime) finish(k *task) {
	reason := k.spec.Env["FAKE_REASON"]
	for path, content := range k.script.files {
		if err := writeInside(k.spec.Mounts, path, content); err != nil {
			r.end(k, 1, fmt.Sprintf("FAKE_FILES: %v", err))
			return
		}
	}
	r.end(k, k.script.code, reason)
}

// writeInside writes the file that the task sees at path, where the host has it.
func writeInside(mounts []runtime.Mount, path, content string) error {
	host, deepest := "", -1
	for _, m := range mounts {
		target := filepath.Clean(m.Target)
		if rel, err := filepath.Rel(target, path); err == nil && filepath.IsLocal(rel) && len(target) > deepest {
			host, deepest = filepath.Join(m.Source, rel), len(target)
		}
	}
	if host == "" {
		return fmt.Errorf("%s lies in no mount", path)
	}
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return err
	}
	return os.WriteFile(host, []byte(content), 0o644)
}

func (r *Runtime) end(k *task, code int, reason string) {
	for _, t := range k.timers {
		t.Stop()
	}
	k.state = runtime.State{Phase: runtime.Exited, ExitCode: code, Reason: reason, Started: k.state.Started, Ended: time.Now()}
	r.tell(k)
}

// tell wakes log readers and watchers.
func (r *Runtime) tell(k *task) {
	close(k.changed)
	k.changed = make(chan struct{})
	for w := range r.watchers {
		w.add(k.spec.ID)
	}
}

// Inspect tells how far the task is.
func (r *Runtime) Inspect(_ context.Context, id runtime.ID) (runtime.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.tasks[id]; k != nil {
		return k.state, nil
	}
	return runtime.State{Phase: runtime.Missing}, nil
}

// Stop ends the task with 143 at once, or with 137 after grace when it ignores
// SIGTERM.
func (r *Runtime) Stop(_ context.Context, id runtime.ID, grace time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.tasks[id]
	if k == nil || k.state.Phase == runtime.Exited {
		return nil
	}
	if k.spec.Env["FAKE_IGNORE_TERM"] == "" {
		r.end(k, 128+15, "")
		return nil
	}
	if at := time.Now().Add(grace); k.deadAt.IsZero() || at.Before(k.deadAt) {
		k.deadAt = at
		r.later(k, grace, func(k *task) { r.end(k, 128+9, "") })
	}
	return nil
}

// Remove forgets an ended task.
func (r *Runtime) Remove(_ context.Context, id runtime.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.tasks[id]
	if k == nil {
		return nil
	}
	if k.state.Phase != runtime.Exited {
		return fmt.Errorf("remove task %q: it has not ended", id)
	}
	delete(r.tasks, id)
	k.gone = true
	r.tell(k)
	return nil
}

// Kill ends a task from outside, as a crash of the machine would, with the
// given exit code and reason. It reports whether there was one to end.
func (r *Runtime) Kill(id runtime.ID, code int, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.tasks[id]
	if k == nil || k.state.Phase == runtime.Exited {
		return false
	}
	r.end(k, code, reason)
	return true
}

// Tasks gives the tasks that were started and not removed, sorted by ID, so
// that a test can see what was asked for.
func (r *Runtime) Tasks() []runtime.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []runtime.Task
	for _, id := range slices.Sorted(maps.Keys(r.tasks)) {
		all = append(all, r.tasks[id].spec)
	}
	return all
}

// missing is the error of a log that is not there.
func missing(id runtime.ID) error { return fmt.Errorf("logs of task %q: %w", id, fs.ErrNotExist) }
