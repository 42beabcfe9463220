// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// isolation is how a task is kept apart from the machine.
type isolation string

const (
	namespaces     isolation = "namespaces"      // by the right of root
	userNamespaces isolation = "user-namespaces" // by a user namespace, as an ordinary user
	direct         isolation = "none"
)

// plan is what the parent asks of init: one message, the first.
type plan struct {
	Command []string
	Env     []string
	WorkDir string
	Host    string // "" leaves the name as it is
	Nice    int    // added to the priority, where no CPU limit can be set

	Root   string // host folder on which the new root is built; "" for the host's own root
	Mounts []runtime.Mount
	Hide   []string
}

// order is what the parent asks of init later.
type order struct {
	Signal int  // pass it to the command
	Kill   bool // kill all; only without namespaces, where the parent cannot
}

// report is what init tells the parent. Exit codes come by its own exit.
type report struct {
	Running bool
	Reason  string // why the command could not run; Code is then set as well
	Code    int
}

// selfEnv is the whole environment of our own processes: nothing of the
// server's, and few threads. Tests add to it.
var selfEnv = []string{"GOMAXPROCS=2"}

// ctlFD is init's end of the line to the parent. The descriptor after it is
// the lock, which init only holds.
const ctlFD = 3

// ctlPair makes the two ends of the line between parent and init.
func ctlPair() (mine, theirs *os.File, err error) {
	syscall.ForkLock.RLock() // no child is forked before both are marked
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "ctl"), os.NewFile(uintptr(fds[1]), "ctl"), nil
}

// ctl is one end of the line: JSON values, one after another.
type ctl struct {
	enc *json.Encoder
	dec *json.Decoder
}

func newCtl(f *os.File) ctl { return ctl{json.NewEncoder(f), json.NewDecoder(f)} }
