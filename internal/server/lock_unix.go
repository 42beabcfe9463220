// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockHome makes this process the only server of a home. The lock goes with
// the process, however it ends.
func lockHome(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		at := ""
		if r, err := FindRunning(home); err == nil {
			at = fmt.Sprintf(" (pid %d, %s)", r.PID, r.URL)
		}
		return nil, fmt.Errorf("another server runs on the home %s already%s", home, at)
	}
	return f, nil
}
