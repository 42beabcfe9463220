// SPDX-License-Identifier: Apache-2.0

// Package runtime runs one container's worth of work: a Task. The process
// runtime starts it in namespaces on this machine, others in Docker or on
// Kubernetes. Each method may be called again after a crash of the server;
// that is how recovery works.
package runtime

import (
	"context"
	"io"
	"time"
)

// ID names a task for ever. It derives from the identity of the job that wants
// it ("train-<arn hash>-algo-1"), so that a repeated Start is the same task.
// Letters, digits, '-', '.', at most 100.
type ID string

// Task is what to run and with what.
type Task struct {
	ID    ID
	Group string // tasks of one multi-instance job; "" for a single one
	Host  string // host name inside, "algo-1"

	Command []string          // argv inside the task; Command[0] an absolute path or found in PATH
	Env     map[string]string // the whole environment but what the runtime adds (PATH, HOME, HOSTNAME)
	WorkDir string            // "" for /

	Mounts []Mount // where the host's folders appear inside

	MilliCPU    int64 // 2000 = two vCPU; 0 unlimited
	MemoryBytes int64 // 0 unlimited

	// Serves says that the task answers HTTP; State.Addr then tells where.
	// The task learns where to listen from SAGEBRUSH_LISTEN
	// ("unix:///path/inside" or "tcp://127.0.0.1:8080").
	Serves bool
}

// Mount shows the host path Source at Target inside the task.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Phase is how far a task has come.
type Phase string

// The phases. Missing is a task that was never started or was removed.
const (
	Missing Phase = "Missing"
	Pending Phase = "Pending"
	Running Phase = "Running"
	Exited  Phase = "Exited"
)

// State is what is seen of a task.
type State struct {
	Phase    Phase
	ExitCode int       // of an Exited task; 128+n when signal n ended it
	Reason   string    // why it could not start or was ended: "OOMKilled", "exec: no such file"; "" else
	Started  time.Time // zero before Running
	Ended    time.Time // zero before Exited
	Addr     string    // of a serving task: "unix:///host/path" or "tcp://127.0.0.1:34567"
}

// Runtime runs tasks.
type Runtime interface {
	// Start begins t. A task that runs or ran is left as it is.
	Start(ctx context.Context, t Task) error
	// Inspect tells the truth about a task; never an error for a missing one.
	Inspect(ctx context.Context, id ID) (State, error)
	// Stop sends SIGTERM and, after grace, SIGKILL. It does not wait.
	Stop(ctx context.Context, id ID, grace time.Duration) error
	// Remove forgets an ended task and its log. Removing a missing one is no error.
	Remove(ctx context.Context, id ID) error
	// Logs follows the task's log from a byte offset of it until the task has
	// ended and all is read, or ctx is done. The log is a sequence of lines
	// "<unix milliseconds>\t<text>\n", stdout and stderr merged.
	Logs(ctx context.Context, id ID, from int64) (io.ReadCloser, error)
	// Events tells of tasks that changed. It may repeat and may miss:
	// Inspect is the truth. The channel closes when ctx is done.
	Events(ctx context.Context) <-chan ID
}
