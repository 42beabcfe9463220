// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// measured is what a command took.
type measured struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"` // of it and of the children that it waited for
	PeakBytes  int64   `json:"peakBytes"`  // resident, of the largest process
}

// measure runs a command. Its output goes to our standard error. This process
// is small, so that the peak is the command's: a child begins with the memory
// of the one that starts it.
func measure(args []string) (any, error) {
	f := flags("measure")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, errors.New("no command is given")
	}
	cmd := exec.Command(f.Arg(0), f.Args()[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w", f.Arg(0), err)
	}
	out := measured{Seconds: time.Since(begin).Seconds()}
	used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, errors.New("this system does not tell what a process used")
	}
	out.CPUSeconds = processorSeconds(used)
	out.PeakBytes = used.Maxrss
	if runtime.GOOS == "linux" { // which counts in KiB; macOS counts in bytes
		out.PeakBytes *= 1024
	}
	return out, nil
}

func processorSeconds(u *syscall.Rusage) float64 {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
