// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Probe tries out what this machine allows the present user, for "sagebrush
// doctor". self is Options.Self. It takes some 50 ms and leaves nothing behind.
func Probe(self []string) Caps {
	how, can, why := chooseIsolation(self, os.TempDir())
	c := Caps{Isolation: Cap{OK: how != direct, Reason: why}, Overlay: can.overlay, Network: can.network}
	c.UserNamespace = tryFlags(self, func(a *syscall.SysProcAttr) { asUser(a) })
	with := func(flag uintptr) Cap {
		alone := tryFlags(self, func(a *syscall.SysProcAttr) { a.Cloneflags |= flag })
		if alone.OK || !c.UserNamespace.OK {
			return alone
		}
		return tryFlags(self, func(a *syscall.SysProcAttr) { asUser(a); a.Cloneflags |= flag })
	}
	c.MountNamespace, c.PIDNamespace = with(unix.CLONE_NEWNS), with(unix.CLONE_NEWPID)
	c.CPULimit, c.MemoryLimit, c.ProcessLimit = limitCaps()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		c.Rlimits.Reason = err.Error()
	} else {
		c.Rlimits = Cap{OK: true, Reason: fmt.Sprintf("a task may open %d files", lim.Max)}
	}
	return c
}

// tryFlags starts our binary, which does nothing, with the attributes set by with.
func tryFlags(self []string, with func(*syscall.SysProcAttr)) Cap {
	attr := &syscall.SysProcAttr{}
	with(attr)
	cmd := exec.Command(self[0], append(self[1:len(self):len(self)], "probe")...)
	cmd.Env, cmd.SysProcAttr = selfEnv, attr
	if err := cmd.Run(); err != nil {
		return Cap{Reason: explain(err)}
	}
	return Cap{OK: true, Reason: "allowed"}
}

// chooseIsolation gives the strongest isolation that a trial task gets here,
// what else it can have, and why it is that one. dir is a folder of the file
// system that tasks are on, as overlays are not possible on all.
func chooseIsolation(self []string, dir string) (isolation, features, string) {
	tries := []isolation{userNamespaces}
	if os.Geteuid() == 0 {
		tries = []isolation{namespaces, userNamespaces}
	}
	var refused []string
	for _, i := range tries {
		if tryTask(self, dir, i, true, true) == nil {
			yes := Cap{OK: true, Reason: "allowed"}
			return i, features{yes, yes}, string(i)
		}
		err := tryTask(self, dir, i, false, false)
		if err == nil { // which of the two was it?
			can := features{Cap{OK: true, Reason: "allowed"}, Cap{OK: true, Reason: "allowed"}}
			if err := tryTask(self, dir, i, true, false); err != nil {
				can.overlay = Cap{Reason: explain(err)}
			}
			if err := tryTask(self, dir, i, false, true); err != nil {
				can.network = Cap{Reason: explain(err)}
			}
			return i, can, string(i)
		}
		refused = append(refused, explain(err))
	}
	why := strings.Join(refused, "; ")
	return direct, features{Cap{Reason: why}, Cap{Reason: why}}, why
}

// tryTask goes the way of a task as far as its command, of which there is none:
// init has done all its work when it cannot find it. With image its root is an
// empty image, with network it has a network of its own.
func tryTask(self []string, base string, i isolation, image, network bool) error {
	dir, err := os.MkdirTemp(base, probeDirs)
	if err != nil {
		return err
	}
	defer func() { _ = removeTree(dir) }() // New tries again
	mine, theirs, err := ctlPair()
	if err != nil {
		return err
	}
	defer mine.Close()
	pl := plan{Command: []string{"/proc/none"}, Root: dir, Host: "probe", UserNS: i == userNamespaces, OwnNet: network,
		Mounts: []mount{bound(dir, mlRoot, false)}}
	if image {
		pl.Image, pl.Layer = filepath.Join(dir, "image"), dir
		for _, name := range []string{"image", "upper", "work"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				return err
			}
		}
	}
	files := []*os.File{theirs}
	cmd := exec.Command(self[0], append(self[1:len(self):len(self)], "init")...)
	cmd.Dir, cmd.Env = "/", selfEnv
	cmd.SysProcAttr = namespaceAttr(i)
	cmd.SysProcAttr.Pdeathsig = 0 // this thread may end before the trial does
	if network {
		ours, sockets, err := pair(unix.SOCK_SEQPACKET)
		if err != nil {
			return err
		}
		defer ours.Close()
		defer sockets.Close()
		files = append(files, sockets, sockets) // the first stands where the lock does
		ownNetwork(cmd.SysProcAttr)
	}
	cmd.ExtraFiles = files
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line := newCtl(mine)
	if err := line.enc.Encode(pl); err != nil {
		return err
	}
	var rep report
	if err := line.dec.Decode(&rep); err != nil {
		return fmt.Errorf("init ended: %w", err)
	}
	if rep.Code != codeNotFound {
		return errors.New(rep.Reason)
	}
	return nil
}

// explain says in plain words why namespaces were refused.
func explain(err error) string {
	text := err.Error()
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		text = errno.Error()
		switch errno {
		case syscall.ENOSPC:
			return text + ": the limit in /proc/sys/user is reached or 0"
		case syscall.EINVAL:
			return text + ": the kernel was built without this kind of namespace"
		}
	}
	for file, hint := range map[string]string{
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "AppArmor keeps ordinary programs from using user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns)",
		"/proc/sys/kernel/unprivileged_userns_clone":             "user namespaces are for root only (sysctl kernel.unprivileged_userns_clone)",
	} {
		data, readErr := os.ReadFile(file)
		value := strings.TrimSpace(string(data))
		if os.Geteuid() != 0 && readErr == nil && (value == "1") == strings.Contains(file, "apparmor") {
			return text + ": " + hint
		}
	}
	return text
}
