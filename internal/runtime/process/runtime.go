// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Options is what New needs.
type Options struct {
	// Dir is the absolute folder below which tasks keep their state. It is
	// made when it is not there, for its owner only.
	Dir string
	// Self is the argv prefix that makes our own binary call RunTask:
	// {"/path/sagebrush", "task"}.
	Self []string
	// Hide names absolute paths that no task may see, such as the server's
	// home. Dir is always hidden.
	Hide []string
	// Direct runs tasks without namespaces even where they are possible.
	Direct bool
	// Log takes what the operator must know; nil for none.
	Log *slog.Logger
}

// Runtime runs tasks as processes of this machine. Any number of them may
// stand on the same Dir, in one process or in several.
type Runtime struct {
	dir       string
	live      string // <Dir>/_live
	self      []string
	hide      []string
	isolation isolation
	can       features
	gpus      gpus
	log       *slog.Logger
}

var _ runtime.Runtime = (*Runtime)(nil)

// New makes the runtime that keeps its tasks in o.Dir and finds again those
// that an earlier one left there. It tries out which namespaces this machine
// allows, which takes some 20 ms, and logs once what is not possible.
func New(o Options) (*Runtime, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("process runtime: Dir %q is not absolute", o.Dir)
	}
	if len(o.Self) == 0 || !filepath.IsAbs(o.Self[0]) {
		return nil, fmt.Errorf("process runtime: Self %q does not start with an absolute path", o.Self)
	}
	r := &Runtime{dir: filepath.Clean(o.Dir), self: o.Self, log: o.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.live = filepath.Join(r.dir, "_live")
	if err := os.MkdirAll(r.live, 0o700); err != nil {
		return nil, fmt.Errorf("process runtime: %w", err)
	}
	gone, _ := filepath.Glob(filepath.Join(r.dir, goneDirs+"*"))
	for _, dir := range gone { // an earlier Remove was cut short
		_ = removeTree(dir)
	}
	tried, _ := filepath.Glob(filepath.Join(r.dir, probeDirs+"*"))
	for _, dir := range tried { // an earlier New was; another's may be at work this moment
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = removeTree(dir)
		}
	}
	if real, err := filepath.EvalSymlinks(r.dir); err == nil {
		r.hide = append(r.hide, real)
	}
	for _, p := range append(credentialPaths(), o.Hide...) {
		if real, err := filepath.EvalSymlinks(p); err == nil && real != "/" && filepath.IsAbs(real) {
			r.hide = append(r.hide, real)
		}
	}
	slices.Sort(r.hide)
	var why string
	if o.Direct {
		r.isolation, why = direct, "asked for"
	} else {
		r.isolation, r.can, why = chooseIsolation(r.self, r.dir)
	}
	if r.isolation == direct {
		r.log.Warn("tasks run without namespaces: they see this machine's files, and /opt/ml only by SAGEBRUSH_ML_ROOT", "reason", why)
	}
	if r.isolation != direct && !r.can.overlay.OK {
		r.log.Warn("images are copied for each task that runs one", "reason", r.can.overlay.Reason)
	}
	if r.isolation != direct && !r.can.network.OK {
		r.log.Warn("tasks cannot have a network of their own", "reason", r.can.network.Reason)
	}
	if cpu, mem, pids := limitCaps(); !cpu.OK || !mem.OK || !pids.OK {
		r.log.Warn("tasks run without hard resource limits", "cpu", cpu.Reason, "memory", mem.Reason, "processes", pids.Reason)
	}
	return r, nil
}

// Isolated says that tasks run in namespaces, so that images can be run.
func (r *Runtime) Isolated() bool { return r.isolation != direct }

// credentialPaths are where the user who runs the server is likely to keep
// secrets that are nobody else's business.
func credentialPaths() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	var paths []string
	for _, name := range []string{".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".config/gcloud", ".netrc", ".pgpass", ".git-credentials"} {
		paths = append(paths, filepath.Join(home, name))
	}
	return paths
}

func (r *Runtime) task(id runtime.ID) taskDir    { return taskDir(filepath.Join(r.dir, string(id))) }
func (r *Runtime) liveFile(id runtime.ID) string { return filepath.Join(r.live, string(id)) }
func (r *Runtime) state(id runtime.ID) (runtime.State, error) {
	return r.task(id).state(id, r.liveFile(id))
}

// Start begins t; see runtime.Runtime. A task whose command may have begun and
// that lost its parent since is settled as Exited, never run again.
func (r *Runtime) Start(ctx context.Context, t runtime.Task) error {
	if err := t.ID.Check(); err != nil {
		return err
	}
	if err := checkTask(t); err != nil {
		return fmt.Errorf("start task %q: %w", t.ID, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d := r.task(t.ID)
	lock, err := r.claim(d)
	if errors.Is(err, errLocked) {
		return nil // it runs, or another Start is about to make it so
	}
	if err != nil {
		return fmt.Errorf("start task %q: %w", t.ID, err)
	}
	defer lock.Close() // the parent has its own copy then
	if d.has("exit.json") {
		return nil
	}
	if d.has("begun.json") {
		return d.buryLocked(r.liveFile(t.ID))
	}
	if err := r.launch(ctx, d, t, lock); err != nil {
		os.Remove(r.liveFile(t.ID))
		return fmt.Errorf("start task %q: %w", t.ID, err)
	}
	return nil
}

// claim makes the task's folder and takes its lock.
func (r *Runtime) claim(d taskDir) (*os.File, error) {
	for {
		if err := os.Mkdir(string(d), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil {
			f.Close()
			f, err = acquire(d.path("lock"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // Remove took the folder from under us
		}
		if err != nil {
			return nil, err
		}
		mine, err1 := f.Stat()
		there, err2 := os.Stat(d.path("lock"))
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			return f, nil
		}
		f.Close()
	}
}

// launch writes what the parent needs and starts it with the locked file.
func (r *Runtime) launch(ctx context.Context, d taskDir, t runtime.Task, lock *os.File) error {
	os.Remove(d.path("stop.json")) // of an attempt that never began
	s := spec{Task: t, Self: r.self, Isolation: r.isolation, Hide: r.hide, Path: os.Getenv("PATH"), Live: r.liveFile(t.ID),
		Overlay: r.can.overlay.OK, NetNS: r.can.network.OK}
	s.GPUs, s.GPUNames = r.assign(ctx, t.GPUs)
	if s.Path == "" {
		s.Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	if t.Serves {
		dir, err := socketDir(d)
		if err != nil {
			return err
		}
		s.SockDir = dir
	}
	if err := d.write("task.json", s, false); err != nil {
		return err
	}
	if err := os.WriteFile(s.Live, nil, 0o600); err != nil {
		return err
	}
	diag, err := os.OpenFile(d.path("parent.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer diag.Close()
	cmd := exec.Command(r.self[0], append(r.self[1:len(r.self):len(r.self)], string(d))...)
	cmd.Dir = "/"
	cmd.Env = selfEnv
	cmd.Stderr = diag
	cmd.ExtraFiles = []*os.File{lock} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go r.reap(cmd, t.ID)
	return nil
}

// reap waits for a parent that this process started and settles the task
// should the parent have died early. It ends with the parent.
func (r *Runtime) reap(cmd *exec.Cmd, id runtime.ID) {
	_ = cmd.Wait()  // how it ended is in exit.json
	for range 400 { // init holds the lock a moment longer than a killed parent
		s, err := r.state(id)
		if err == nil && (s.Phase == runtime.Exited || s.Phase == runtime.Missing) {
			os.Remove(r.liveFile(id))
			if s.Phase == runtime.Missing && !cmd.ProcessState.Success() {
				r.log.Error("task parent could not begin", "task", id, "see", r.task(id).path("parent.log"))
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Inspect tells how far the task is, from files only.
func (r *Runtime) Inspect(_ context.Context, id runtime.ID) (runtime.State, error) {
	if id.Check() != nil {
		return runtime.State{Phase: runtime.Missing}, nil
	}
	return r.state(id)
}

// Stop writes down the wish to stop and wakes the parent; see runtime.Runtime.
// Of several wishes the earliest deadline counts. To stop a task that is
// missing or has ended does nothing.
func (r *Runtime) Stop(_ context.Context, id runtime.ID, grace time.Duration) error {
	if id.Check() != nil {
		return nil
	}
	s, err := r.state(id)
	if err != nil || s.Phase == runtime.Missing || s.Phase == runtime.Exited {
		return err
	}
	d, wish := r.task(id), stopWish{Deadline: time.Now().Add(grace)}
	var old stopWish
	if ok, err := d.read("stop.json", &old); err != nil || !ok || wish.Deadline.Before(old.Deadline) {
		if err := d.write("stop.json", wish, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stop task %q: %w", id, err)
		}
	}
	// The parent looks for stop.json after it has written begun.json: when we
	// find none, it will find ours.
	var b begun
	if ok, err := d.read("begun.json", &b); err != nil || !ok {
		return nil
	}
	p, err := os.FindProcess(b.PID) // holds on to this very process where the system can
	if err != nil {
		return nil
	}
	defer p.Release()
	if held, err := locked(d.path("lock")); err == nil && held && !d.has("exit.json") {
		_ = p.Signal(syscall.SIGUSR1) // it has just ended if this fails
	}
	return nil
}

// Remove deletes the folder of an ended task.
func (r *Runtime) Remove(ctx context.Context, id runtime.ID) error {
	if id.Check() != nil {
		return nil
	}
	s, err := r.state(id)
	if err != nil {
		return err
	}
	d := r.task(id)
	if s.Phase != runtime.Exited && s.Phase != runtime.Missing {
		return fmt.Errorf("remove task %q: it has not ended", id)
	}
	if !d.has("lock") {
		return nil
	}
	// The parent lives a few milliseconds longer than it takes to write
	// exit.json; a new task of this name must not meet it.
	for range 5000 {
		lock, err := acquire(d.path("lock"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			defer lock.Close()
			return r.discard(d, id)
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("remove task %q: %w", id, err)
		}
		if s.Phase == runtime.Missing {
			return fmt.Errorf("remove task %q: it has just been started", id)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return fmt.Errorf("remove task %q: its parent does not end", id)
}

// discard moves the folder aside in one step, so that nobody sees half of it,
// then deletes it.
func (r *Runtime) discard(d taskDir, id runtime.ID) error {
	var s spec
	if ok, _ := d.read("task.json", &s); ok {
		d.sweep(s.SockDir, nil)
	}
	removeCgroups(leftCgroups(d), true)
	os.Remove(r.liveFile(id))
	aside, err := os.MkdirTemp(r.dir, goneDirs)
	if err != nil {
		return fmt.Errorf("remove task %q: %w", id, err)
	}
	if err := os.Rename(string(d), filepath.Join(aside, "task")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove task %q: %w", id, err)
	}
	return removeTree(aside)
}
