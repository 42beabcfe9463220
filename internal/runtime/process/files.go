// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Reasons that the runtime itself gives for the end of a task.
const (
	ReasonLost       = "lost"                          // the machine was restarted while the task ran
	ReasonParentDied = "task parent died"              // someone killed the process that watched the task
	ReasonUnstarted  = "stopped before it was started" // Stop came first
)

// Exit codes of tasks that never ran, as shells and container engines give them.
const (
	codeSetup    = 125 // the surroundings could not be made
	codeNoExec   = 126 // the command is no program
	codeNotFound = 127 // there is no such command
	codeTermed   = 128 + 15
	codeKilled   = 128 + 9
	codeFileSize = 128 + 25 // SIGXFSZ: a file was to become larger than it may be
)

// spec is task.json: what the parent needs to know.
type spec struct {
	Task      runtime.Task
	Self      []string  // argv prefix of our own binary
	Isolation isolation // decided by the server, so that it is the same for all tasks
	Overlay   bool      // overlay file systems are possible
	NetNS     bool      // network namespaces are possible
	GPUs      []int     // numbers of the accelerators that it may see
	GPUNames  []string  // and what CUDA_VISIBLE_DEVICES calls them
	Hide      []string  // absolute, symbolic links resolved
	Path      string    // default PATH
	Live      string    // the task's file in _live
	SockDir   string    // host folder of the socket; "" unless Task.Serves
}

// begun is begun.json.
type begun struct {
	PID     int      // of the parent
	Init    int      // process ID of init
	Boot    string   // identity of the machine's run; "" when unknown
	Cgroups []string // to remove
	SockDir string
	GPUs    []int // numbers of the accelerators that it sees
}

// ran is running.json.
type ran struct {
	Started time.Time
	Addr    string
}

// exit is exit.json.
type exit struct {
	Code    int
	Reason  string
	Started time.Time // zero when it never ran
	Ended   time.Time
}

// stopWish is stop.json.
type stopWish struct {
	Deadline time.Time // when to send SIGKILL
}

// taskDir is the folder of one task.
type taskDir string

func (d taskDir) path(name string) string { return filepath.Join(string(d), name) }

// read decodes the JSON file name into v. It reports false when there is none.
func (d taskDir) read(name string, v any) (bool, error) {
	data, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("read %s: %w", d.path(name), err)
	}
	return true, nil
}

func (d taskDir) has(name string) bool {
	_, err := os.Lstat(d.path(name))
	return err == nil
}

// write stores v as JSON under name, whole or not at all. With durable it is
// on the disk when write returns.
func (d taskDir) write(name string, v any, durable bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return os.Rename(f.Name(), d.path(name))
}

// state tells what the files say. It settles the account of a task whose
// parent died, which is why it may write.
func (d taskDir) state(id runtime.ID, live string) (runtime.State, error) {
	for {
		var e exit
		if ok, err := d.read("exit.json", &e); err != nil {
			return runtime.State{}, err
		} else if ok {
			return runtime.State{Phase: runtime.Exited, ExitCode: e.Code, Reason: e.Reason, Started: e.Started, Ended: e.Ended}, nil
		}
		held, err := locked(d.path("lock"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return runtime.State{Phase: runtime.Missing}, nil
		case err != nil:
			return runtime.State{}, fmt.Errorf("inspect task %q: %w", id, err)
		case held:
			var r ran
			if ok, err := d.read("running.json", &r); err != nil {
				return runtime.State{}, err
			} else if ok {
				return runtime.State{Phase: runtime.Running, Started: r.Started, Addr: r.Addr}, nil
			}
			return runtime.State{Phase: runtime.Pending}, nil
		case d.has("exit.json"): // written since we looked
			continue
		case !d.has("begun.json"):
			return runtime.State{Phase: runtime.Missing}, nil
		}
		if err := d.bury(live); err != nil {
			return runtime.State{}, fmt.Errorf("settle task %q: %w", id, err)
		}
	}
}

// bury writes the exit of a task that lost its parent. It does nothing while
// another holds the lock.
func (d taskDir) bury(live string) error {
	lock, err := acquire(d.path("lock"))
	if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return d.buryLocked(live)
}

// buryLocked is bury under the lock.
func (d taskDir) buryLocked(live string) error {
	if d.has("exit.json") {
		return nil
	}
	// A torn begun.json still says that the command may have begun.
	var b begun
	if ok, err := d.read("begun.json", &b); err == nil && !ok {
		return nil
	}
	removeCgroups(b.Cgroups, true)
	e := exit{Code: codeKilled, Reason: ReasonParentDied, Ended: time.Now()}
	if now := bootID(); b.Boot != "" && now != "" && b.Boot != now {
		e.Reason = ReasonLost
	}
	var r ran
	if ok, _ := d.read("running.json", &r); ok {
		e.Started = r.Started
	}
	if e.Reason == ReasonLost { // the end was before this run of the machine; the log knows best when
		if info, err := os.Stat(d.path("log")); err == nil {
			e.Ended = info.ModTime()
		}
	}
	err := d.write("exit.json", e, true)
	d.sweep(b.SockDir, nil)
	if err != nil { // there is room now, if that was the matter
		err = d.write("exit.json", e, true)
	}
	if err != nil {
		return err
	}
	os.Remove(live)
	return nil
}

// netDir is the folder, beside the tasks', of those whose network is a group's.
const netDir = "_net"

// goneDirs and probeDirs begin the names of folders that are being deleted, and
// of those in which New tries things out.
const (
	goneDirs  = "_gone-"
	probeDirs = "_probe-"
)

// sweep removes what an ended task needs no more. When that takes long the
// lock, if it is given, is given up before the end: what is deleted is out of
// the way by then, and New deletes what a kill has left of it.
func (d taskDir) sweep(sockDir string, lock io.Closer) {
	if sockDir != "" {
		os.RemoveAll(sockDir)
	}
	os.Remove(d.path("root"))
	parent, name := filepath.Split(string(d))
	os.Remove(filepath.Join(parent, netDir, name))
	aside, err := os.MkdirTemp(parent, goneDirs)
	if err != nil { // the disk is full, to the last inode
		_ = removeTree(d.path(ownName)) // Remove tries again
		return
	}
	if os.Rename(d.path(ownName), filepath.Join(aside, ownName)) != nil {
		os.Remove(aside) // it has nothing of its own
		return
	}
	if lock != nil {
		defer time.AfterFunc(200*time.Millisecond, func() { lock.Close() }).Stop()
	}
	_ = removeTree(aside) // New tries again
}
