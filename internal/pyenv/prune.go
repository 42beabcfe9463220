// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fresh is for how long after its last use an environment is not deleted: its
// job may not have begun.
const fresh = 10 * time.Minute

// listing makes an environment's interpreter tell what is installed.
const listing = `import importlib.metadata as m, json, sys
json.dump({d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}, sys.stdout)`

// installed are the versions of all packages, by normalized name.
func (t *site) installed(ctx context.Context) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, t.python(), "-I", "-c", listing)
	cmd.Env, cmd.Dir = t.s.environ, t.tmp
	defer tie(cmd)()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	var named map[string]string
	if err := json.Unmarshal(out, &named); err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	packages := map[string]string{}
	for name, version := range named {
		packages[normalize(name)] = version
	}
	return packages, nil
}

// size is how many bytes the files below dir have. Those that uv links from its
// cache count, though they may take no room of their own.
func size(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if fi, err := d.Info(); err == nil {
				n += fi.Size()
			}
		}
		return nil
	})
	return n
}

// Prune deletes what crashes left and, where Options.MaxBytes is exceeded, the
// environments that were not used for the longest time. Those for which keep
// says so are in use and stay, as do those that were given out in the last ten
// minutes and those that another process is making. It tells how many bytes the
// deleted environments had.
func (s *Store) Prune(ctx context.Context, keep func(dir string) bool) (int64, error) {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return 0, fmt.Errorf("list Python environments: %w", err)
	}
	type kept struct {
		Env
		used time.Time
	}
	var all []kept
	var total, freed int64
	var failed error
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") || e.Name() == filepath.Base(s.fetched()) {
			continue
		}
		dir := filepath.Join(s.o.Dir, e.Name())
		env, err := read(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if fi, err := e.Info(); err == nil && time.Since(fi.ModTime()) > fresh {
				_, err := s.remove(dir)
				failed = errors.Join(failed, err)
			}
			continue
		} else if err != nil {
			s.o.Log.Warn("python environment cannot be read", "dir", dir, "err", err)
			continue
		}
		if fi, err := os.Stat(filepath.Join(dir, stampName)); err == nil {
			all, total = append(all, kept{env, fi.ModTime()}), total+env.Bytes
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		if s.o.MaxBytes <= 0 || total <= s.o.MaxBytes || ctx.Err() != nil {
			break
		}
		if time.Since(k.used) < fresh || keep != nil && keep(k.Dir) {
			continue
		}
		removed, err := s.remove(k.Dir)
		failed = errors.Join(failed, err)
		if removed {
			s.o.Log.Info("python environment deleted", "dir", k.Dir, "bytes", k.Bytes, "used", k.used)
			total, freed = total-k.Bytes, freed+k.Bytes
		}
	}
	return freed, errors.Join(failed, ctx.Err())
}

// remove deletes an environment unless it is being made. Its stamp goes first,
// so that nobody finds half of it.
func (s *Store) remove(dir string) (bool, error) {
	l, err := tryLock(dir + ".lock")
	if errors.Is(err, errLocked) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer l.Close()
	if err := os.Remove(filepath.Join(dir, stampName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("delete Python environment: %w", err)
	}
	for _, path := range []string{dir, dir + ".tmp", dir + ".log"} {
		if err := os.RemoveAll(path); err != nil {
			return false, fmt.Errorf("delete Python environment: %w", err)
		}
	}
	return true, nil // the lock file stays: others may hold it open
}
