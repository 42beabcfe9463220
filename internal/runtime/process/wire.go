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
	Image  string // host folder of the image; "" shows the host's files
	Layer  string // where what is written to the image goes, see overlay; "" when Image may be written to
	UserNS bool   // root is so in a user namespace only
	Mounts []mount
	Hide   []string
	GPUs   []int // which accelerators it may see; nil for none

	ShmBytes  int64 // 0 for the kernel's default
	FileBytes int64 // of the largest file; 0 for no limit
	Processes int64 // by RLIMIT_NPROC, where no control group counts them; 0 for no limit

	UID, GID int
	Groups   []int

	OwnNet bool     // the network namespace is its own, or its group's
	Listen []string // addresses on which init listens for the parent
}

// mount is one of the task's, made ready.
type mount struct {
	runtime.Mount
	Layer string // where what is written to a Scratch mount goes; "" when Source is shown itself
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

// Descriptors that init finds open: its end of the line to the parent, the
// lock, which it only holds, and its end of the line for sockets, if its
// network is not the machine's.
const (
	ctlFD = 3
	netFD = 5
)

// ctlPair makes the two ends of the line between parent and init.
func ctlPair() (mine, theirs *os.File, err error) { return pair(unix.SOCK_STREAM) }

// pair makes two connected sockets.
func pair(kind int) (mine, theirs *os.File, err error) {
	syscall.ForkLock.RLock() // no child is forked before both are marked
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
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
