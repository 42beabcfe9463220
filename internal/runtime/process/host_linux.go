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

// bindHost makes a tmpfs at dir that shows the host's root folders read-only.
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
	for _, name := range []string{"proc", "dev", "tmp", "run"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// hideAll puts an empty folder over each path, or an empty file.
func (r *root) hideAll(paths []string) error {
	if r.image {
		return nil // nothing of the host's is there to be hidden
	}
	for i, p := range paths {
		if below(p, paths[:i]...) {
			continue // they are sorted
		}
		info, err := os.Stat(r.base + p) // symbolic links are resolved in it
		if err != nil {
			continue // not there
		}
		p = r.base + p
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

// loosen replaces the deepest folder above path that exists by a tmpfs with
// the same entries, so that there can be new ones: how /opt/ml comes to be on
// a machine that has none.
func (r *root) loosen(path string) error {
	for path = filepath.Dir(path); ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
	}
	if path == r.base {
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
