// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// root is the file system of a task while it is built.
type root struct {
	base   string   // host folder on which it is built
	image  bool     // it is an image's, not the host's
	freeze []string // tmpfs of ours that become read-only in the end
}

// enterRoot makes this process, which has a mount namespace of its own, see
// the task's file system instead of the host's, and sets the host name.
//
// The new root is either an image under a layer for what the task writes, or a
// small tmpfs with the host's top folders bound into it, read-only. What the
// task sees differently is mounted over that. All of it is done from outside,
// on paths without symbolic links (see resolveIn), before the root is entered:
// so nothing in an image can lead us astray.
func enterRoot(pl plan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	r := &root{base: pl.Root, image: pl.Image != ""}
	type step struct {
		what string
		do   func() error
	}
	var steps []step
	if r.image {
		steps = []step{{"mount the image", func() error { return mountImage(pl) }}, {"make /sys", func() error { return r.makeSys(pl.OwnNet) }}}
	} else {
		steps = []step{{"bind the host's folders", func() error { return bindHost(pl.Root) }}}
	}
	steps = append(steps, []step{
		{"make /proc", r.makeProc},
		{"make /dev", func() error { return r.makeDev(pl.GPUs, pl.ShmBytes) }},
		{"make /tmp and /run", r.makeTmp},
		{"hide", func() error { return r.hideAll(pl.Hide) }},
		{"mount", func() error { return r.mountAll(pl.Mounts, pl.UserNS) }},
		{"close the root", r.close},
		{"enter the root", func() error { return pivot(pl.Root) }},
		{"set host name", func() error {
			if pl.Host == "" {
				return nil
			}
			return unix.Sethostname([]byte(pl.Host))
		}},
	}...)
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// at is the host's path of what the task will know as path.
func (r *root) at(path string) (string, error) { return resolveIn(r.base, path) }

// pivot makes dir the root and leaves the old one, which lies under the new
// one for as long as that takes (pivot_root(2)).
func pivot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's: %w", err)
	}
	return unix.Chdir("/")
}

// tmpfs mounts a fresh, empty file system at path.
func tmpfs(path, options string, flags uintptr) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|flags, options); err != nil {
		return fmt.Errorf("tmpfs at %s: %w", path, err)
	}
	return nil
}

// mountAll mounts what the task asks for. Sources are paths of the host, seen
// as it sees them: what is hidden is hidden below base only.
func (r *root) mountAll(mounts []mount, userNS bool) error {
	for _, m := range mounts {
		if err := r.mount(m, userNS); err != nil {
			return fmt.Errorf("%s at %s: %w", m.Source, m.Target, err)
		}
	}
	return nil
}

func (r *root) mount(m mount, userNS bool) error {
	fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if m.Layer == "" {
		return r.bind(fd, m.Target, m.ReadOnly)
	}
	target, err := r.ensure(m.Target, true)
	if err != nil {
		return err
	}
	return overlay(m.Source, m.Layer, target, userNS)
}

// bind shows the open source at target, a path of the task.
func (r *root) bind(source int, target string, ro bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return err
	}
	at, err := r.ensure(target, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", source), at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if ro {
		return readOnly(at)
	}
	return nil
}

// ensure makes that there is something to mount on, and gives the host's path
// of it.
func (r *root) ensure(target string, dir bool) (string, error) {
	target, err := r.at(filepath.Clean(target))
	if err != nil {
		return "", err
	}
	if target == r.base {
		return "", errors.New("it leads to the root folder")
	}
	if info, err := os.Stat(target); err == nil {
		if info.IsDir() != dir {
			return "", errors.New("one is a folder, the other is not")
		}
		return target, nil
	}
	made := target
	if !dir {
		made = filepath.Dir(target)
	}
	if err := os.MkdirAll(made, 0o755); err != nil {
		if !refusedWrite(err) || r.image {
			return "", err
		}
		if err := r.loosen(made); err != nil {
			return "", err
		}
		if err := os.MkdirAll(made, 0o755); err != nil {
			return "", err
		}
	}
	if dir {
		return target, nil
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if refusedWrite(err) && !r.image {
		if err := r.loosen(target); err != nil {
			return "", err
		}
		f, err = os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	}
	if err != nil {
		return "", err
	}
	return target, f.Close()
}

func refusedWrite(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

// makeTmp gives the task the folders that everything takes for granted. An
// image's are its own; for the host's, a small /run, and /tmp is a mount.
func (r *root) makeTmp() error {
	if !r.image {
		return tmpfs(filepath.Join(r.base, "run"), "mode=0755,size=64m", 0)
	}
	for path, mode := range map[string]os.FileMode{"/tmp": 0o777 | os.ModeSticky, "/run": 0o755} {
		at, err := r.at(path)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(at); err == nil {
			continue
		}
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(at, mode); err != nil { // past the umask
			return err
		}
	}
	return nil
}

// close makes the scaffolding read-only.
func (r *root) close() error {
	if !r.image {
		r.freeze = append(r.freeze, r.base)
	}
	for _, p := range r.freeze {
		if err := unix.Mount("", p, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}
