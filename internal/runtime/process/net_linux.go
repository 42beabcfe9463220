// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// furnishNetwork makes the network namespace that init is in usable: its
// loopback goes up, and for each address of listen, a TCP address, the parent
// gets a socket that listens there. Then the parent gets a socket whenever it
// asks for one.
func furnishNetwork(listen []string) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring the loopback up: %w", err)
	}
	for i, addr := range listen {
		fd, err := listenAt(addr, i)
		if err != nil {
			return fmt.Errorf("listen on %s inside: %w", addr, err)
		}
		err = lend(fd)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("hand over a socket: %w", err)
		}
	}
	go func() {
		asked := make([]byte, 1)
		for {
			n, err := unix.Read(netFD, asked)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				return // the parent died, and so do we
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				_, _ = unix.Write(netFD, []byte{0}) // without a descriptor
				continue
			}
			_ = lend(fd)
			unix.Close(fd)
		}
	}()
	return nil
}

func lend(fd int) error { return unix.Sendmsg(netFD, []byte{1}, unix.UnixRights(fd), nil, 0) }

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// listenAt listens on addr. One that is not of the loopback's own becomes so,
// under the i-th alias.
func listenAt(addr string, i int) (int, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0, err
	}
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Unmap().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().Unmap().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if ip := at.Addr().Unmap(); err == nil && ip.Is4() && !ip.IsLoopback() {
		err = alias(fd, "lo:"+strconv.Itoa(i), ip)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func alias(fd int, name string, ip netip.Addr) error {
	lo, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	for _, set := range []struct {
		request uint
		addr    [4]byte
	}{{unix.SIOCSIFADDR, ip.As4()}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 255}}} {
		if err := lo.SetInet4Addr(set.addr[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, lo); err != nil {
			return err
		}
	}
	return nil
}

// groupNet is a file of <Dir>/_net: a task of a group whose hosts share a
// network namespace that is not the machine's. The namespace is found by the
// tasks that live in it, and so needs no mount, and ends with the last of them
// whatever befalls their parents.
type groupNet struct {
	Group string
	Init  int    // process ID of the task's init
	Inode uint64 // of its network namespace: a process ID may come to be another's
}

// startShared starts cmd, an init, in the network namespace of the group, or in
// a new one when none of the group lives. It must run on the main thread, with
// which init lives and dies.
func (p *parent) startShared(cmd *exec.Cmd) error {
	dir := filepath.Join(filepath.Dir(string(p.dir)), netDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	lock, err := acquireWaiting(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	shared, err := p.findShared(dir)
	if err != nil {
		return err
	}
	if shared == nil {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
		err = cmd.Start()
	} else {
		err = startIn(shared, cmd)
		shared.Close()
	}
	if err != nil {
		return err
	}
	inode, err := netInode(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err == nil {
		err = taskDir(dir).write(filepath.Base(string(p.dir)), groupNet{p.spec.Task.Group, cmd.Process.Pid, inode}, false)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return err
}

// findShared opens the network namespace of a living task of the group, nil
// when there is none.
func (p *parent) findShared(dir string) (*os.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		var g groupNet
		if ok, err := taskDir(dir).read(e.Name(), &g); err != nil || !ok || g.Group != p.spec.Task.Group || e.Name() == filepath.Base(string(p.dir)) {
			continue
		}
		if held, err := locked(filepath.Join(filepath.Dir(dir), e.Name(), "lock")); err != nil || !held {
			continue // left by a parent that was killed
		}
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", g.Init))
		if err != nil {
			continue // it has just ended
		}
		if inode, err := netInode(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || inode != g.Inode {
			f.Close()
			continue
		}
		return f, nil
	}
	return nil, nil
}

func netInode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// startIn starts cmd in the network namespace ns and leaves this thread, which
// must be locked to its goroutine, where it was.
func startIn(ns *os.File, cmd *exec.Cmd) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the group's network: %w", err)
	}
	err = cmd.Start()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The rest of the parent's work is not for that network.
		if err == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		return fmt.Errorf("leave the group's network: %w", back)
	}
	return err
}

// ownNetwork adds a fresh network namespace to what init is started with.
func ownNetwork(attr *syscall.SysProcAttr) { attr.Cloneflags |= unix.CLONE_NEWNET }
