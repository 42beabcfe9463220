// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package pyenv

import (
	"os/exec"
	"syscall"
)

// tie makes that a child is killed with what it began itself. Outside of Linux
// a child cannot be made to die with this process.
func tie(cmd *exec.Cmd) (release func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return func() {}
}
