// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runInit is the task's first process. It waits for the plan, makes the
// surroundings, starts the command, and from then on only passes signals and
// reaps, until the command ends; its own exit status is the command's.
func runInit() int {
	closeOnExecFrom(ctlFD)
	c := newCtl(os.NewFile(ctlFD, "ctl"))
	var pl plan
	if err := c.dec.Decode(&pl); err != nil {
		return codeKilled // the parent died
	}
	refuse := func(code int, reason string) int {
		_ = c.enc.Encode(report{Reason: reason, Code: code})
		return code
	}
	unix.Umask(0o022)
	if pl.OwnNet {
		if err := furnishNetwork(pl.Listen); err != nil {
			return refuse(codeSetup, "network: "+err.Error())
		}
	}
	if pl.Root != "" {
		if err := enterRoot(pl); err != nil {
			return refuse(codeSetup, err.Error())
		}
	} else {
		adoptOrphans()
	}
	if pl.Nice != 0 {
		lowerPriority(pl.Nice)
	}
	if pl.WorkDir == "" {
		pl.WorkDir = "/"
	}
	if pl.Image != "" { // as container engines do
		_ = os.MkdirAll(pl.WorkDir, 0o755)
	}
	if err := os.Chdir(pl.WorkDir); err != nil {
		return refuse(codeSetup, fmt.Sprintf("work folder %s: %s", pl.WorkDir, plain(err)))
	}
	if err := errors.Join(fenceProcesses(pl.Processes), fenceFiles(pl.FileBytes)); err != nil {
		return refuse(codeSetup, "resource limits: "+err.Error())
	}
	if pl.UID != 0 { // /dev/stdout is opened by name
		_ = unix.Fchown(1, pl.UID, pl.GID)
	}
	if err := dropPrivileges(pl.Root != ""); err != nil {
		return refuse(codeSetup, err.Error())
	}
	// What is sent to PID 1 from inside the task is meant for the command.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	pid, err := spawn(pl)
	if err != nil {
		code := codeNoExec
		if errors.Is(err, fs.ErrNotExist) {
			code = codeNotFound
		}
		why := plain(err)
		if code == codeNotFound && strings.Contains(pl.Command[0], "/") {
			if _, err := os.Stat(pl.Command[0]); err == nil {
				why = "the interpreter or dynamic loader that it names is not there"
			}
		}
		return refuse(code, fmt.Sprintf("exec %s: %s", pl.Command[0], why))
	}
	_ = c.enc.Encode(report{Running: true})
	child := &child{pid: pid}
	go child.obey(c, pl.Root == "")
	go func() {
		for s := range signals {
			child.signal(s.(syscall.Signal))
		}
	}()
	code := child.reap()
	if pl.Root == "" {
		killDescendants(pid)
	}
	return code
}

// plain is the system's word for what went wrong, without the call and path.
func plain(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if errno == syscall.ENOENT {
			return "no such file"
		}
		return errno.Error()
	}
	return err.Error()
}

// spawn starts the command and gives its process ID. The calling thread's
// privileges are the command's.
func spawn(pl plan) (int, error) {
	path, err := lookPath(pl.Command[0], pl.Env)
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, pl.Command, &syscall.ProcAttr{
		Dir: pl.WorkDir, Env: pl.Env, Files: []uintptr{0, 1, 2}, Sys: commandAttr(pl),
	})
}

// lookPath finds name in the PATH of env, as a shell would.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var path string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	refused := error(syscall.ENOENT)
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			continue
		}
		if unix.Access(file, unix.X_OK) == nil {
			if !filepath.IsAbs(file) {
				file = "./" + file
			}
			return file, nil
		}
		refused = syscall.EACCES
	}
	return "", refused
}

// child is the command's process.
type child struct {
	pid int

	mu   sync.Mutex
	gone bool // reaped: its process ID may be another's
}

// obey does as the parent says until the line breaks, which means that the
// parent died: then nothing may live on.
func (c *child) obey(line ctl, direct bool) {
	for {
		var o order
		err := line.dec.Decode(&o)
		if err == nil && !o.Kill {
			c.signal(syscall.Signal(o.Signal))
			continue
		}
		if direct {
			c.signal(unix.SIGKILL)
			killDescendants(c.pid)
		}
		if err != nil {
			os.Exit(codeKilled)
		}
	}
}

func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		_ = syscall.Kill(c.pid, s)
	}
}

// reap waits for every process that becomes our child, until the command has
// ended, and gives its exit code.
func (c *child) reap() int {
	for {
		// Wait without reaping first, so that the process ID is still its own
		// when signal looks at gone.
		pid, err := awaitChild()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return codeKilled // no child left: cannot be before the command is reaped
		}
		c.mu.Lock()
		var status syscall.WaitStatus
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		c.gone = err == nil && got == c.pid
		c.mu.Unlock()
		switch {
		case c.gone:
			return statusCode(status)
		case got == 0: // only where awaitChild cannot wait
			time.Sleep(2 * time.Millisecond)
		case errors.Is(err, syscall.ECHILD) && pid == -1:
			return codeKilled
		}
	}
}
