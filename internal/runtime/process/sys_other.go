// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func closeOnExecFrom(first int) {
	for fd := first; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}

func selfExe(argv0 string) string { return argv0 }

func growPipe(*os.File) {}

func namespaceAttr(isolation) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func commandAttr(plan) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func adoptOrphans() {}

func lowerPriority(by int) {
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, min(now+by, 20))
	}
}

// awaitChild gives -1, any child: without waitid there is a moment in which a
// signal may go to a process that has just been reaped.
func awaitChild() (int, error) { return -1, nil }

// killDescendants kills the command's process group. What left the group gets
// away.
func killDescendants(group int) {
	_ = syscall.Kill(-group, syscall.SIGKILL)
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

func dropPrivileges(bool) error { return nil }

func enterRoot(plan) error { return errors.New("namespaces exist on Linux only") }

func ownNetwork(*syscall.SysProcAttr) {}

func furnishNetwork([]string) error { return errors.New("namespaces exist on Linux only") }

func (p *parent) startShared(*exec.Cmd) error { return errors.New("namespaces exist on Linux only") }

func cloneFile(_, _ *os.File) bool { return false }

// fileSystem tells nothing here: the disk is watched by the size of files.
func fileSystem(string) (total, free, avail int64, ok bool) { return 0, 0, 0, false }

func tree(int) []int { return nil }

func treeUsage(int) (cpu time.Duration, memory int64, ok bool) { return 0, 0, false }

func unlinked([]int, map[inode]bool) int64 { return 0 }
