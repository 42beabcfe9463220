// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// mlRoot is where SageMaker's container contract puts everything.
const mlRoot = "/opt/ml"

// plan makes of the task what init shall do.
func (p *parent) plan() (plan, error) {
	t := p.spec.Task
	pl := plan{Command: t.Command, WorkDir: t.WorkDir}
	env := map[string]string{"PATH": p.spec.Path, "HOME": "/tmp", "LANG": "C.UTF-8", "HOSTNAME": t.Host}
	if t.Host == "" {
		env["HOSTNAME"], _ = os.Hostname()
	}
	if t.MilliCPU > 0 {
		// Only our own binary reads this: the Go runtime counts the machine's
		// processors, not the share that a limit leaves of them.
		env["SAGEBRUSH_CPUS"] = strconv.FormatInt(min((t.MilliCPU+999)/1000, int64(goruntime.NumCPU())), 10)
	}
	if err := os.Mkdir(p.dir.path("tmp"), 0o700); err != nil && !os.IsExist(err) {
		return plan{}, err
	}
	if err := os.Chmod(p.dir.path("tmp"), 0o777|os.ModeSticky); err != nil { // past the umask; the folder above is closed
		return plan{}, err
	}
	if p.spec.Isolation == direct {
		env["HOME"], env["TMPDIR"] = p.dir.path("tmp"), p.dir.path("tmp")
	}
	maps.Copy(env, t.Env)
	if p.spec.Isolation == direct {
		if p.spec.SockDir != "" {
			env["SAGEBRUSH_LISTEN"] = "unix://" + filepath.Join(p.spec.SockDir, socketName)
		}
		for _, m := range t.Mounts {
			if filepath.Clean(m.Target) == mlRoot {
				env["SAGEBRUSH_ML_ROOT"] = m.Source
			}
		}
		if err := linkMounts(t.Mounts); err != nil {
			return plan{}, err
		}
	} else if err := p.isolate(&pl); err != nil {
		return plan{}, err
	}
	if p.spec.SockDir != "" && p.spec.Isolation != direct {
		env["SAGEBRUSH_LISTEN"] = "unix://" + filepath.Join(socketInside, socketName)
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		pl.Env = append(pl.Env, k+"="+env[k])
	}
	return pl, nil
}

// isolate adds what namespaces need: the new root and the mounts in it.
func (p *parent) isolate(pl *plan) error {
	pl.Host, pl.Hide, pl.Root = p.spec.Task.Host, p.spec.Hide, p.dir.path("root")
	if err := os.Mkdir(pl.Root, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	mounts := []runtime.Mount{{Source: p.dir.path("tmp"), Target: "/tmp"}}
	if p.spec.SockDir != "" {
		mounts = append(mounts, runtime.Mount{Source: p.spec.SockDir, Target: socketInside})
	}
	// Names are looked up by way of /run on many machines, which is hidden.
	if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && below(real, "/run", "/tmp") {
		mounts = append(mounts, runtime.Mount{Source: real, Target: real, ReadOnly: true})
	}
	// The task's host name must be known to itself.
	if hosts, err := os.ReadFile("/etc/hosts"); err == nil && pl.Host != "" {
		hosts = fmt.Appendf(hosts, "\n127.0.0.1 %s\n", pl.Host)
		if err := os.WriteFile(p.dir.path("hosts"), hosts, 0o644); err != nil {
			return err
		}
		mounts = append(mounts, runtime.Mount{Source: p.dir.path("hosts"), Target: "/etc/hosts", ReadOnly: true})
	}
	// Built-in algorithms are our own binary, which must be found where the
	// command says, even when that is a place that tasks do not see.
	self := p.spec.Self[0]
	if real, err := filepath.EvalSymlinks(self); err == nil && below(self, append([]string{"/tmp", "/run"}, p.spec.Hide...)...) {
		mounts = append(mounts, runtime.Mount{Source: real, Target: self, ReadOnly: true})
	}
	pl.Mounts = append(mounts, p.spec.Task.Mounts...)
	// What lies deeper is mounted later, so that it is not covered.
	slices.SortStableFunc(pl.Mounts, func(a, b runtime.Mount) int {
		return strings.Count(filepath.Clean(a.Target), "/") - strings.Count(filepath.Clean(b.Target), "/")
	})
	return nil
}

// below reports whether path is one of dirs or lies in one.
func below(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
	})
}

// linkMounts stands in for mounts where there are none: a mount whose target
// lies in another's becomes a symbolic link in the other's source. What is
// there already and is no empty folder stays.
func linkMounts(mounts []runtime.Mount) error {
	for _, m := range mounts {
		target := filepath.Clean(m.Target)
		var host string // the deepest other mount's view of the target
		deepest := 0
		for _, o := range mounts {
			outer := filepath.Clean(o.Target)
			if outer != target && below(target, outer) && len(outer) > deepest {
				deepest, host = len(outer), filepath.Join(o.Source, target[len(outer):])
			}
		}
		if host == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
			return err
		}
		os.Remove(host) // an empty folder, or the link of an earlier attempt
		if err := os.Symlink(m.Source, host); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
