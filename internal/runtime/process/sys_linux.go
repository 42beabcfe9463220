// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// closeOnExecFrom marks every descriptor from first on, so that none that a
// careless ancestor left open reaches a child.
func closeOnExecFrom(first int) {
	if unix.CloseRange(uint(first), ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, _ := os.ReadDir("/proc/self/fd") // kernels before 5.11
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
}

// selfExe is the file of this very process, even if a newer one has taken its
// place on the disk.
func selfExe(string) string { return "/proc/self/exe" }

// growPipe gives a fast task room to write on; more than the system allows is
// refused, and then the pipe stays as it is.
func growPipe(w *os.File) {
	if raw, err := w.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}

// namespaceAttr is how init is started.
func namespaceAttr(i isolation) *syscall.SysProcAttr {
	if i == direct {
		return &syscall.SysProcAttr{} // it ends by itself, and ends others first, when the parent dies
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if i == userNamespaces {
		asUser(attr)
	}
	return attr
}

// asUser adds a user namespace in which the present user is root.
func asUser(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
}

// commandAttr is how init starts the command.
func commandAttr(pl plan) *syscall.SysProcAttr {
	if pl.Root != "" {
		attr := &syscall.SysProcAttr{}
		if pl.UID != 0 || pl.GID != 0 || len(pl.Groups) > 0 {
			attr.Credential = &syscall.Credential{Uid: uint32(pl.UID), Gid: uint32(pl.GID)}
			for _, g := range pl.Groups {
				attr.Credential.Groups = append(attr.Credential.Groups, uint32(g))
			}
		}
		return attr
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// cloneFile makes dst share the blocks of src, where the file system can.
func cloneFile(dst, src *os.File) bool {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
}

// adoptOrphans makes this process the parent of its descendants' orphans.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// lowerPriority makes this thread, and what it starts, give way to others.
func lowerPriority(by int) {
	// The raw call gives 20 minus the nice value.
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-raw+by, 19))
	}
}

// awaitChild blocks until a child has ended and gives its process ID without
// reaping it.
func awaitChild() (int, error) {
	var info [128]byte // siginfo_t; its si_pid is at 16 on 64-bit systems, 12 on 32-bit ones
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info[0])), unix.WEXITED|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	at := 12
	if unsafe.Sizeof(uintptr(0)) == 8 {
		at = 16
	}
	return int(*(*int32)(unsafe.Pointer(&info[at]))), nil
}

// killDescendants kills all below this process until none is left, for a
// second at most. It needs adoptOrphans: what is killed hands its children to
// us. The command's group first, which is most of them at once.
func killDescendants(group int) {
	_ = syscall.Kill(-group, syscall.SIGKILL)
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pids := children()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// children lists the direct children of this process.
func children() []int {
	var pids []int
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// keptCaps are the capabilities of a root that is root of a task only, as
// container engines choose them, without those for raw sockets and devices.
var keptCaps = map[uintptr]bool{
	unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true, unix.CAP_KILL: true,
	unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true, unix.CAP_NET_BIND_SERVICE: true,
	unix.CAP_SYS_CHROOT: true, unix.CAP_AUDIT_WRITE: true, unix.CAP_SETFCAP: true,
}

// dropPrivileges makes that nothing started by this thread can gain rights
// over the machine, and that no process of the task can look into this one,
// which keeps its own.
func dropPrivileges(isolated bool) error {
	if !isolated {
		return nil // the user's own rights, as if they had typed the command
	}
	for c := uintptr(0); ; c++ {
		if keptCaps[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // past the last that this kernel knows
		} else if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set dumpable: %w", err)
	}
	return filterCalls()
}
