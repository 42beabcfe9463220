// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// mountpoint makes the folder path of the task and gives the host's path of it.
func (r *root) mountpoint(path string) (string, error) {
	at, err := r.at(path)
	if err != nil {
		return "", err
	}
	if at == r.base { // an image may have any link
		return "", fmt.Errorf("%s leads to the root folder", path)
	}
	return at, os.MkdirAll(at, 0o755)
}

// makeProc mounts the /proc of this PID namespace.
func (r *root) makeProc() error {
	at, err := r.mountpoint("/proc")
	if err != nil {
		return err
	}
	if err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	r.guard(at)
	return nil
}

// makeSys gives an image a read-only /sys: with a network of its own one that
// shows that, else the host's.
func (r *root) makeSys(ownNet bool) error {
	at, err := r.mountpoint("/sys")
	if err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if ownNet && unix.Mount("sysfs", at, "sysfs", flags|unix.MS_RDONLY, "") == nil {
		// Programs look here for the limits that they have.
		groups := filepath.Join(at, "fs/cgroup")
		if unix.Mount("/sys/fs/cgroup", groups, "", unix.MS_BIND|unix.MS_REC, "") == nil {
			return readOnly(groups)
		}
		return nil
	}
	if unix.Mount("/sys", at, "", unix.MS_BIND|unix.MS_REC, "") == nil {
		return readOnly(at)
	}
	return nil // it stays empty
}

// makeDev gives the task the devices that are harmless, those of the
// accelerators that it may see, and terminals and shared memory of its own.
func (r *root) makeDev(gpus []int, shmBytes int64) error {
	dev, err := r.mountpoint("/dev")
	if err != nil {
		return err
	}
	if err := tmpfs(dev, "mode=0755,size=1m", 0); err != nil {
		return err
	}
	names := []string{"null", "zero", "full", "random", "urandom", "tty", "infiniband"}
	if len(gpus) > 0 {
		names = append(names, "dri", "kfd", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
	}
	for _, n := range gpus {
		names = append(names, "nvidia"+strconv.Itoa(n))
	}
	for _, name := range names {
		fd, err := unix.Open(filepath.Join("/dev", name), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // this machine has none
		}
		err = r.bind(fd, filepath.Join("/dev", name), false)
		unix.Close(fd)
		if err != nil && name == "null" { // nothing works without it
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"shm", "pts"} {
		if err := os.Mkdir(filepath.Join(dev, name), 0o755); err != nil {
			return err
		}
	}
	// A task without terminals is still a task.
	_ = unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	r.freeze = append(r.freeze, dev)
	options := "mode=1777"
	if shmBytes > 0 {
		options += ",size=" + strconv.FormatInt(shmBytes, 10)
	}
	return tmpfs(filepath.Join(dev, "shm"), options, 0)
}

// guard shuts what in /proc and /sys acts on the machine or tells its secrets;
// what is not there needs no guard. For a root without a user namespace the
// mode bits of these files are all that stands before them.
func (r *root) guard(proc string) {
	for _, name := range []string{"sys", "sysrq-trigger", "irq", "bus", "fs"} {
		p := filepath.Join(proc, name)
		if unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, "") == nil {
			_ = readOnly(p)
		}
	}
	for _, name := range []string{"kcore", "keys", "timer_list", "sched_debug"} {
		_ = unix.Mount("/dev/null", filepath.Join(proc, name), "", unix.MS_BIND, "")
	}
	closed := []string{filepath.Join(proc, "acpi"), filepath.Join(proc, "scsi")}
	if at, err := r.at("/sys/firmware"); err == nil {
		closed = append(closed, at)
	}
	for _, p := range closed {
		if info, err := os.Lstat(p); err == nil && info.IsDir() {
			_ = tmpfs(p, "mode=0755,size=4k", unix.MS_RDONLY)
		}
	}
}
