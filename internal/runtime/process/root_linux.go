// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// hostDir is where the host's root is found while the new one is built.
const hostDir = "/.host"

// root is the file system of a task while it is built.
type root struct {
	freeze []string // tmpfs of ours that become read-only in the end
}

// enterRoot makes this process, which has a mount namespace of its own, see
// the task's file system instead of the host's, and sets the host name.
//
// The new root is a small tmpfs with the host's top folders bound into it, and
// then what the task sees differently mounted over it. All binds of the host's
// files are read-only, in mounts below them too.
func enterRoot(pl plan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Sources are opened as the host sees them, before anything moves.
	sources := make([]int, len(pl.Mounts))
	for i, m := range pl.Mounts {
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Source, err)
		}
		defer unix.Close(fd)
		sources[i] = fd
	}
	r := &root{}
	steps := []struct {
		what string
		do   func() error
	}{
		{"bind the host's folders", func() error { return bindHost(pl.Root) }},
		{"change root", func() error { return pivot(pl.Root) }},
		{"make /dev", r.makeDev},
		{"make /run", func() error { return tmpfs("/run", "mode=0755,size=64m", 0) }},
		{"guard /proc", func() error { guardProc(); return nil }},
		{"hide", func() error { return r.hideAll(pl.Hide) }},
		{"mount", func() error {
			for i, m := range pl.Mounts {
				if err := r.bind(sources[i], filepath.Clean(m.Target), m.ReadOnly); err != nil {
					return fmt.Errorf("%s at %s: %w", m.Source, m.Target, err)
				}
			}
			return nil
		}},
		{"leave the host's root", func() error { return unix.Unmount(hostDir, unix.MNT_DETACH) }},
		{"close the root", r.close},
		{"set host name", func() error {
			if pl.Host == "" {
				return nil
			}
			return unix.Sethostname([]byte(pl.Host))
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// tmpfs mounts a fresh, empty file system at path.
func tmpfs(path, options string, flags uintptr) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|flags, options); err != nil {
		return fmt.Errorf("tmpfs at %s: %w", path, err)
	}
	return nil
}

// bindHost makes a tmpfs at dir that shows the host's root folders read-only,
// and a /proc of this PID namespace.
func bindHost(dir string) error {
	if err := tmpfs(dir, "mode=0755,size=4m", 0); err != nil {
		return err
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := "/"+e.Name(), filepath.Join(dir, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			if target, err := os.Readlink(from); err == nil {
				_ = os.Symlink(target, to)
			}
		case !e.IsDir() || e.Name() == "lost+found":
			// Files in / are leftovers; nothing needs them.
		case slices.Contains([]string{"proc", "dev", "tmp", "run"}, e.Name()):
			// made below
		default:
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
			// A folder that cannot be bound (a dead network mount, say) stays empty.
			if unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "") == nil {
				if err := readOnly(to); err != nil {
					return fmt.Errorf("make %s read-only: %w", from, err)
				}
			}
		}
	}
	for _, name := range []string{"proc", "dev", "tmp", "run", hostDir} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", filepath.Join(dir, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	return nil
}

// pivot makes dir the root and the old one hostDir.
func pivot(dir string) error {
	if err := unix.PivotRoot(dir, filepath.Join(dir, hostDir)); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// makeDev gives the task the devices that are harmless, those of accelerators,
// and terminals and shared memory of its own.
func (r *root) makeDev() error {
	if err := tmpfs("/dev", "mode=0755,size=1m", 0); err != nil {
		return err
	}
	names := []string{"null", "zero", "full", "random", "urandom", "tty", "dri", "kfd", "infiniband"}
	nvidia, _ := filepath.Glob(hostDir + "/dev/nvidia*")
	for _, n := range nvidia {
		names = append(names, filepath.Base(n))
	}
	for _, name := range names {
		fd, err := unix.Open(filepath.Join(hostDir, "dev", name), unix.O_PATH|unix.O_CLOEXEC, 0)
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
		if err := os.Symlink(to, filepath.Join("/dev", name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"shm", "pts"} {
		if err := os.Mkdir(filepath.Join("/dev", name), 0o755); err != nil {
			return err
		}
	}
	// A task without terminals is still a task.
	_ = unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	r.freeze = append(r.freeze, "/dev")
	return tmpfs("/dev/shm", "mode=1777", 0)
}

// guardProc shuts what in /proc and /sys acts on the machine or tells its
// secrets; what is not there needs no guard. For a root without a user
// namespace the mode bits of these files are all that stands before them.
func guardProc() {
	for _, p := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} {
		if unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, "") == nil {
			_ = readOnly(p)
		}
	}
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"} {
		_ = unix.Mount("/dev/null", p, "", unix.MS_BIND, "")
	}
	for _, p := range []string{"/proc/acpi", "/proc/scsi", "/sys/firmware"} {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			_ = tmpfs(p, "mode=0755,size=4k", unix.MS_RDONLY)
		}
	}
}

// hideAll puts an empty folder over each path, or an empty file.
func (r *root) hideAll(paths []string) error {
	for i, p := range paths {
		if below(p, paths[:i]...) {
			continue // they are sorted
		}
		info, err := os.Stat(p)
		if err != nil {
			continue // not there
		}
		if !info.IsDir() {
			if err := unix.Mount("/dev/null", p, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			continue
		}
		if err := tmpfs(p, "mode=0755,size=1m", 0); err != nil {
			return err
		}
		r.freeze = append(r.freeze, p)
	}
	return nil
}

// bind shows the open source at target.
func (r *root) bind(source int, target string, ro bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return err
	}
	if err := r.ensure(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", source), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if ro {
		return readOnly(target)
	}
	return nil
}

// ensure makes that there is something to mount on.
func (r *root) ensure(target string, dir bool) error {
	if info, err := os.Stat(target); err == nil {
		if info.IsDir() != dir {
			return errors.New("one is a folder, the other is not")
		}
		return nil
	}
	made := target
	if !dir {
		made = filepath.Dir(target)
	}
	if err := os.MkdirAll(made, 0o755); err != nil {
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return err
		}
		if err := r.loosen(made); err != nil {
			return err
		}
		if err := os.MkdirAll(made, 0o755); err != nil {
			return err
		}
	}
	if dir {
		return nil
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		if err := r.loosen(target); err != nil {
			return err
		}
		f, err = os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// loosen replaces the deepest folder above path that exists by a tmpfs with
// the same entries, so that there can be new ones: how /opt/ml comes to be on
// a machine that has none.
func (r *root) loosen(path string) error {
	for path = filepath.Dir(path); ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
	}
	if path == "/" {
		return errors.New("cannot be made in /")
	}
	old, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) > 4096 { // each becomes a mount
		return fmt.Errorf("%s has too many entries to add one", path)
	}
	if err := tmpfs(path, "mode=0755,size=4m", 0); err != nil {
		return err
	}
	r.freeze = append(r.freeze, path)
	for _, e := range entries {
		from, to := fmt.Sprintf("/proc/self/fd/%d/%s", old, e.Name()), filepath.Join(path, e.Name())
		if e.Type()&os.ModeSymlink != 0 {
			if target, err := os.Readlink(from); err == nil {
				_ = os.Symlink(target, to)
			}
			continue
		}
		if err := touch(to, e.IsDir()); err != nil {
			return err
		}
		_ = unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "") // what refuses stays empty
	}
	return nil
}

func touch(path string, dir bool) error {
	if dir {
		return os.Mkdir(path, 0o755)
	}
	return os.WriteFile(path, nil, 0o644)
}

// close makes the scaffolding read-only.
func (r *root) close() error {
	_ = os.Remove(hostDir)
	for _, p := range append(r.freeze, "/") {
		if err := unix.Mount("", p, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}
