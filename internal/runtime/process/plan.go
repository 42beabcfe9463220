// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
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

// imagePath is the PATH in an image that sets none, as container engines have
// it.
const imagePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// plan makes of the task what init shall do. What of a task is the parent's to
// make is made here: its folders, and copies where there are no overlays.
func (p *parent) plan() (plan, error) {
	t := p.spec.Task
	pl := plan{Command: t.Command, WorkDir: t.WorkDir, GPUs: p.spec.GPUs, ShmBytes: t.ShmBytes, FileBytes: t.DiskBytes}
	if err := p.choose(&pl); err != nil {
		return plan{}, err
	}
	if err := os.Mkdir(p.dir.path(ownName), 0o700); err != nil && !os.IsExist(err) {
		return plan{}, err
	}
	env := p.environment()
	if t.Root == "" {
		tmp := p.dir.own("tmp")
		if err := os.Mkdir(tmp, 0o700); err != nil && !os.IsExist(err) {
			return plan{}, err
		}
		if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil { // past the umask; the folder above is closed
			return plan{}, err
		}
	}
	if err := p.become(&pl, env); err != nil {
		return plan{}, err
	}
	if p.spec.Isolation == direct {
		env["HOME"], env["TMPDIR"] = p.dir.own("tmp"), p.dir.own("tmp")
	}
	p.announce(&pl, env)
	maps.Copy(env, t.Env)
	if p.spec.Isolation == direct {
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
	if p.spec.SockDir != "" && t.Port == 0 { // the task's socket; else it is ours
		dir := socketInside
		if p.spec.Isolation == direct {
			dir = p.spec.SockDir
		}
		env["SAGEBRUSH_LISTEN"] = "unix://" + filepath.Join(dir, socketName)
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		pl.Env = append(pl.Env, k+"="+env[k])
	}
	return pl, nil
}

// choose decides what of the task's wishes this machine can do, and refuses
// what must not be done by halves.
func (p *parent) choose(pl *plan) error {
	t, s := p.spec.Task, p.spec
	several := len(t.Hosts) > 1
	pl.OwnNet = t.Network == runtime.None || t.Serves && t.Port != 0
	pl.UserNS = s.Isolation == userNamespaces
	switch {
	case s.Isolation == direct && t.Root != "":
		return errors.New("an image needs namespaces, which this machine does not allow")
	case s.Isolation == direct && several:
		return errors.New("hosts of a group find each other by namespaces, which this machine does not allow")
	case t.Network == runtime.None && !s.NetNS:
		return errors.New("to keep a task from the network needs network namespaces, which this machine does not allow")
	case t.Network == runtime.None && several && pl.UserNS:
		return errors.New("tasks of an ordinary user cannot share a network that is none of the machine's: run the server as root for a group of hosts without network")
	case several && t.Serves && t.Port != 0:
		return errors.New("one of several hosts cannot serve on a port of its own choice")
	}
	pl.OwnNet = pl.OwnNet && s.NetNS
	return nil
}

// environment is what the task finds when it asks for nothing.
func (p *parent) environment() map[string]string {
	t := p.spec.Task
	env := map[string]string{"PATH": p.spec.Path, "HOME": "/tmp", "LANG": "C.UTF-8", "HOSTNAME": t.Host}
	if t.Root != "" {
		env = map[string]string{"PATH": imagePath, "HOSTNAME": imageHost(t)}
	} else if t.Host == "" {
		env["HOSTNAME"], _ = os.Hostname()
	}
	if t.MilliCPU > 0 && t.Root == "" {
		// Only our own binary reads this: the Go runtime counts the machine's
		// processors, not the share that a limit leaves of them.
		env["SAGEBRUSH_CPUS"] = strconv.FormatInt(min((t.MilliCPU+999)/1000, int64(goruntime.NumCPU())), 10)
	}
	if t.MemoryBytes > 0 && t.Root == "" {
		// The toolkit's server of several models tells by it when it has no
		// room for another.
		env["SAGEBRUSH_MEMORY_BYTES"] = strconv.FormatInt(t.MemoryBytes, 10)
	}
	if len(p.spec.GPUs) > 0 {
		env["CUDA_VISIBLE_DEVICES"] = strings.Join(p.spec.GPUNames, ",")
	}
	return env
}

// imageHost is the name of a task that runs an image and was given none: the
// machine's is not its business.
func imageHost(t runtime.Task) string {
	if t.Host == "" {
		return "localhost"
	}
	return t.Host
}

// become finds out who the command runs as.
func (p *parent) become(pl *plan, env map[string]string) error {
	t, root := p.spec.Task, p.spec.Task.Root
	if root == "" {
		if t.User == "" {
			return nil // who the server is
		}
		root = "/"
	}
	id, err := identify(root, t.User)
	if err != nil {
		return err
	}
	if p.spec.Isolation != namespaces {
		if id.UID != 0 || id.GID != 0 {
			return fmt.Errorf("user %q: an ordinary user's tasks can only run as root of their own user namespace; run the server as root", t.User)
		}
		id.Groups = nil
	}
	pl.UID, pl.GID, pl.Groups = id.UID, id.GID, id.Groups
	if p.spec.SockDir != "" && t.Port == 0 && id.UID != 0 { // its socket is its own to make
		if err := os.Chown(p.spec.SockDir, id.UID, id.GID); err != nil {
			return err
		}
	}
	if t.Root != "" {
		env["HOME"] = id.Home
	}
	return nil
}

// isolate adds what namespaces need: the new root and the mounts in it.
func (p *parent) isolate(pl *plan) error {
	t := p.spec.Task
	pl.Host, pl.Hide, pl.Root = t.Host, p.spec.Hide, p.dir.path("root")
	if err := os.Mkdir(pl.Root, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	if t.Root != "" {
		pl.Host, pl.Hide = imageHost(t), nil
		image, err := p.writable(t.Root, "image")
		if err != nil {
			return fmt.Errorf("image %s: %w", t.Root, err)
		}
		pl.Image, pl.Layer = image.Source, image.Layer
		top := image.Source
		if image.Layer != "" {
			top = filepath.Join(image.Layer, "upper")
		}
		if err := os.Chmod(top, 0o755); err != nil { // whoever unpacked it may have kept it to themselves
			return fmt.Errorf("image %s: %w", t.Root, err)
		}
	} else {
		pl.Mounts = append(pl.Mounts, bound(p.dir.own("tmp"), "/tmp", false))
	}
	if p.spec.SockDir != "" && t.Port == 0 {
		pl.Mounts = append(pl.Mounts, bound(p.spec.SockDir, socketInside, false))
	}
	names, err := p.nameFiles(pl)
	if err != nil {
		return err
	}
	pl.Mounts = append(pl.Mounts, names...)
	// Built-in algorithms are our own binary, which must be found where the
	// command says, even when that is a place that tasks do not see.
	self := p.spec.Self[0]
	if real, err := filepath.EvalSymlinks(self); err == nil && t.Root == "" && below(self, append([]string{"/tmp", "/run"}, p.spec.Hide...)...) {
		pl.Mounts = append(pl.Mounts, bound(real, self, true))
	}
	for i, m := range t.Mounts {
		made := mount{Mount: m}
		if m.Scratch && !m.ReadOnly {
			if made, err = p.writable(m.Source, "scratch-"+strconv.Itoa(i)); err != nil {
				return fmt.Errorf("mount %s: %w", m.Source, err)
			}
			made.Target = m.Target
		}
		pl.Mounts = append(pl.Mounts, made)
	}
	// What lies deeper is mounted later, so that it is not covered.
	slices.SortStableFunc(pl.Mounts, func(a, b mount) int {
		return strings.Count(filepath.Clean(a.Target), "/") - strings.Count(filepath.Clean(b.Target), "/")
	})
	return nil
}

func bound(source, target string, readOnly bool) mount {
	return mount{Mount: runtime.Mount{Source: source, Target: target, ReadOnly: readOnly}}
}

// nameFiles makes the files by which names are looked up, and gives the mounts
// that put them into place.
func (p *parent) nameFiles(pl *plan) ([]mount, error) {
	t := p.spec.Task
	var mounts []mount
	// In an image the files are there for the task to write, as in other
	// containers; the machine's are read-only like all that is its own.
	put := func(name, text string) error {
		if err := os.WriteFile(p.dir.own(name), []byte(text), 0o644); err != nil {
			return err
		}
		mounts = append(mounts, bound(p.dir.own(name), "/etc/"+name, t.Root == ""))
		return nil
	}
	names := hostNames(t)
	machine, err := os.ReadFile("/etc/hosts")
	switch {
	case pl.OwnNet || t.Root != "" && err != nil:
		names = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n" + names
	case err == nil:
		names += string(machine)
	}
	if t.Root == "" && names == string(machine) {
		names = "" // as it is
	}
	if names != "" {
		if err := put("hosts", names); err != nil {
			return nil, err
		}
	}
	if t.Root != "" {
		if err := put("hostname", imageHost(t)+"\n"); err != nil {
			return nil, err
		}
	}
	resolver, _ := os.ReadFile("/etc/resolv.conf")
	switch {
	case pl.OwnNet:
		return mounts, put("resolv.conf", "# no name server can be reached from here\n")
	case t.Root != "":
		return mounts, put("resolv.conf", string(resolver))
	}
	// Names are looked up by way of /run on many machines, which is hidden.
	if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && below(real, "/run", "/tmp") {
		mounts = append(mounts, bound(real, real, true))
	}
	return mounts, nil
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
