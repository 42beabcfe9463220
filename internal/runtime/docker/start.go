// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Start begins t; see runtime.Runtime. An image that the engine lacks is pulled
// first, which may take minutes; who wants to tell of it calls Pull before.
// Errors of an image that cannot be had wrap runtime.ErrNoImage. When the engine
// refuses to start the container the task has ended, and Inspect tells why.
func (r *Runtime) Start(ctx context.Context, t runtime.Task) error {
	if err := t.ID.Check(); err != nil {
		return err
	}
	if err := checkTask(t); err != nil {
		return fmt.Errorf("start task %q: %w", t.ID, err)
	}
	c, ok, err := r.look(ctx, t.ID, false)
	if err != nil {
		return err
	}
	if ok && !r.notes.has(t.ID) { // someone has emptied Dir
		if err := r.notes.write(t.ID, noteOf(t)); err != nil {
			return err
		}
	}
	if ok && begun(c) {
		return nil
	}
	var imageEnv []string
	if !ok {
		if imageEnv, err = r.image(ctx, t.Image, nil); err != nil {
			return fmt.Errorf("start task %q: %w", t.ID, err)
		}
	}
	defer r.hold(t.ID, true)()
	if c, ok, err = r.look(ctx, t.ID, false); err != nil { // another Start may have been before us
		return err
	}
	if ok && begun(c) {
		return nil
	}
	if !ok {
		if err := r.create(ctx, t, imageEnv); err != nil {
			return fmt.Errorf("start task %q: %w", t.ID, err)
		}
	}
	return r.launch(ctx, t.ID)
}

// begun says whether the container was started, or cannot be: what it is in
// between is for Start to go on with.
func begun(c container.InspectResponse) bool {
	return c.State.Status != container.StateCreated || c.State.ExitCode != 0 || c.State.Error != ""
}

// launch starts the task's container.
func (r *Runtime) launch(ctx context.Context, id runtime.ID) error {
	_, err := r.api.ContainerStart(ctx, r.name(id), client.ContainerStartOptions{})
	if err == nil {
		return nil
	}
	if c, ok, look := r.look(ctx, id, false); look == nil && ok && begun(c) {
		return nil // the engine keeps why it did not begin
	}
	return fmt.Errorf("start task %q: %w", id, err)
}

// create makes the task's container, and before it what it needs.
func (r *Runtime) create(ctx context.Context, t runtime.Task, imageEnv []string) (err error) {
	if _, err := r.notes.change(t.ID, func(n *note) { *n = noteOf(t) }); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.measured[t.ID] = measured{}
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
		defer cancel()
		if !client.IsErrConnectionFailed(err) {
			if err := r.forget(ctx, t.ID, r.networkOf(t)); err != nil {
				r.log.Warn("what an unstarted task has left in the container engine stays there", "task", t.ID, "error", err)
			}
		}
	}()
	conf, host, err := r.configure(ctx, t, imageEnv)
	if err != nil {
		return err
	}
	if host.Mounts, err = r.mounts(ctx, t); err != nil {
		return err
	}
	networks, err := r.connect(ctx, t, conf, host)
	if err != nil {
		return err
	}
	_, err = r.api.ContainerCreate(ctx, client.ContainerCreateOptions{Name: r.name(t.ID), Config: conf, HostConfig: host, NetworkingConfig: networks})
	if errdefs.IsConflict(err) { // another server on this home has just made it
		return nil
	}
	return err
}

// configure says what the container shall be, but for its mounts and networks.
func (r *Runtime) configure(ctx context.Context, t runtime.Task, imageEnv []string) (*container.Config, *container.HostConfig, error) {
	env, err := r.environment(ctx, t, imageEnv)
	if err != nil {
		return nil, nil, err
	}
	conf := &container.Config{
		Image:       t.Image,
		Hostname:    t.Host,
		User:        t.User,
		Env:         env,
		Entrypoint:  t.Command[:1],
		Cmd:         t.Command[1:],
		WorkingDir:  t.WorkDir,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels:      map[string]string{labelHome: r.home, labelTask: string(t.ID)},
	}
	if conf.Hostname == "" {
		conf.Hostname = "localhost"
	}
	if conf.User == "" {
		conf.User = "0" // of the image's would be taken else
	}
	if conf.WorkingDir == "" {
		conf.WorkingDir = "/"
	}
	host := &container.HostConfig{
		// The log is read from its beginning by offsets, so it must be kept whole,
		// whatever the engine does by default; measure.go ends who prints too much.
		// The "json-file" log would spoil what is no UTF-8, and letters that stand
		// where the engine parts a long line.
		LogConfig:     container.LogConfig{Type: "local", Config: map[string]string{"max-size": "1000g", "max-file": "1", "compress": "false"}},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapDrop:       []string{"ALL"},
		CapAdd:        keptCaps,
		SecurityOpt:   []string{"no-new-privileges"},
		ExtraHosts:    []string{HostName + ":host-gateway"},
		ShmSize:       t.ShmBytes,
		Init:          new(true),
		Resources: container.Resources{
			Memory:     t.MemoryBytes,
			MemorySwap: t.MemoryBytes, // no swap beyond it
			PidsLimit:  new(defaultProcesses),
		},
	}
	if t.MaxProcesses > 0 {
		host.PidsLimit = new(t.MaxProcesses)
	}
	if t.MilliCPU > 0 {
		engine, err := r.engine(ctx)
		if err != nil {
			return nil, nil, err
		}
		host.NanoCPUs = min(t.MilliCPU, int64(engine.cpus)*1000) * 1_000_000 // more than there are is refused
	}
	if t.GPUs > 0 {
		host.DeviceRequests = []container.DeviceRequest{{Count: t.GPUs, Capabilities: [][]string{{"gpu"}}}}
	}
	return conf, host, nil
}

// defaultProcesses is how many processes and threads a task may have that asks
// for no limit; the process runtime has the same.
const defaultProcesses int64 = 4096

// keptCaps are the capabilities of a root that is root of a task only, the same
// as in the process runtime.
var keptCaps = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE",
	"SYS_CHROOT", "AUDIT_WRITE", "SETFCAP",
}

// environment is the task's, and nothing of the image's but PATH: whoever made
// the task has taken of the image what shall be there.
func (r *Runtime) environment(ctx context.Context, t runtime.Task, imageEnv []string) ([]string, error) {
	vars, err := r.reachable(ctx, t)
	if err != nil {
		return nil, err
	}
	if _, ok := vars["NVIDIA_VISIBLE_DEVICES"]; ok && t.GPUs == 0 {
		vars["NVIDIA_VISIBLE_DEVICES"] = "void" // images say "all", and some engines give them
	}
	var env []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	for _, k := range imageEnv {
		if _, ok := vars[k]; !ok && k != "PATH" {
			env = append(env, k) // a name alone takes the variable away
		}
	}
	return env, nil
}
