// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// heirs is how long the lock of a server that was killed may live on: a child
// that it had forked holds the lock too, until it becomes its task.
const heirs = time.Second

// lockHome makes this process the only server of a home. The lock goes with
// the process, however it ends.
func lockHome(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for end := time.Now().Add(heirs); err != nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		f.Close()
		at := ""
		if r, err := FindRunning(home); err == nil {
			at = fmt.Sprintf(" (pid %d, %s)", r.PID, r.URL)
		}
		return nil, fmt.Errorf("another server runs on the home %s already%s", home, at)
	}
	return f, nil
}
