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
	Group string   // tasks that belong together; "" for a single one
	Host  string   // host name inside, "algo-1"; one of Hosts, if there are any
	Hosts []string // all hosts of the Group, in order; each name resolves in every task of it

	// Root is the host folder of an unpacked image that is the task's root file
	// system: it is never written to, what the task writes is its own and goes
	// with it. "" shows the machine's own files, read-only. Image names the same
	// image to a container engine ("127.0.0.1:8080/mine@sha256:…"); "" when only
	// a process of this machine can be meant.
	Root  string
	Image string

	Command []string          // argv inside the task; Command[0] an absolute path or found in PATH
	Env     map[string]string // the whole environment but what the runtime adds (PATH, HOME, HOSTNAME)
	WorkDir string            // "" for /
	User    string            // "name", "uid", "name:group" or "uid:gid" as in an image's configuration; "" for root

	Mounts []Mount // where the host's folders appear inside

	MilliCPU     int64 // 2000 = two vCPU; 0 unlimited
	MemoryBytes  int64 // 0 unlimited
	ShmBytes     int64 // size of /dev/shm; 0 for the runtime's default
	DiskBytes    int64 // what it may write in all: its own root, /tmp, writable mounts; 0 unlimited
	MaxProcesses int64 // processes and threads; 0 for the runtime's default, which stops a fork bomb
	GPUs         int   // how many it may see; 0 none

	Network Network

	// Serves says that the task answers HTTP; State.Addr then tells where.
	// With Port 0 the task learns where to listen from SAGEBRUSH_LISTEN
	// ("unix:///path/inside" or "tcp://127.0.0.1:8080"); otherwise it listens on
	// that TCP port whatever others do, for images that know no better.
	Serves bool
	Port   int
	// Reach are TCP addresses of this machine ("127.0.0.1:8080") that the task
	// must be able to connect to by that very address, where its network is not
	// the machine's own and not None.
	Reach []string
}

// Network says what a task can connect to.
type Network string

// The networks. Open is all that the machine can reach, and the other hosts of
// the group; None is the other hosts of the group only.
const (
	Open Network = ""
	None Network = "none"
)

// Mount shows the host path Source at Target inside the task.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// Scratch lets the task write without changing Source: what it writes is its
	// own and goes with it.
	Scratch bool
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

// Usage is what a task has taken of the machine so far.
type Usage struct {
	At          time.Time
	CPU         time.Duration // processor time of all its processes since its start
	MemoryBytes int64         // now, without what the kernel can give back at once
	DiskBytes   int64         // what it has written and not deleted, see Task.DiskBytes
	GPUs        []GPUUsage
}

// GPUUsage is one accelerator's, in percent.
type GPUUsage struct{ Utilization, MemoryUtilization float64 }

// Meter is a Runtime that can tell what a task takes.
type Meter interface {
	// Usage measures a running task; ok is false when it does not run or cannot
	// be measured.
	Usage(ctx context.Context, id ID) (u Usage, ok bool, err error)
}

// NotListening is what a connection to State.Addr may get before it is closed
// when the task itself does not listen, so that nothing of a request came to it.
const NotListening = "\x00nobody listens\n"

// Reasons in State.Reason that every runtime uses.
const (
	ReasonOOM  = "OOMKilled"         // it exceeded MemoryBytes
	ReasonDisk = "DiskLimitExceeded" // it exceeded DiskBytes, or the machine's disk is nearly full
)
