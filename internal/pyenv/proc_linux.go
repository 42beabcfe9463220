// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tie makes a child die with this process, and with what it began itself when
// it is killed. The kernel counts the death of the thread that started it, so
// that the caller must stay on its thread until the child has ended: that is
// what release ends.
func tie(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return runtime.UnlockOSThread
}
