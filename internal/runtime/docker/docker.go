// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Options is what New needs.
type Options struct {
	// Host is the engine's address, "unix:///var/run/docker.sock". "" takes
	// DOCKER_HOST and what belongs to it, else the usual socket.
	Host string
	// Name tells this home from others that use the same engine, such as the
	// absolute path of its folder.
	Name string
	// Dir is the absolute folder for what the engine does not keep. It is made
	// when it is not there.
	Dir string
	// Credentials gives user and password for pulling ref; both "" for none.
	// It may be nil.
	Credentials func(ctx context.Context, ref string) (user, password string, err error)
	// Log takes what the operator must know; nil for none.
	Log *slog.Logger
}

// Runtime runs tasks as containers. There may be one for each Name and Dir.
type Runtime struct {
	api         *client.Client
	home        string // digest of Options.Name
	notes       notes
	credentials func(ctx context.Context, ref string) (user, password string, err error)
	log         *slog.Logger

	ctx    context.Context // of what goes on between calls
	cancel context.CancelFunc
	work   sync.WaitGroup

	networks sync.Mutex // held while a network of ours is made or removed

	mu       sync.Mutex
	closed   bool
	held     map[runtime.ID]*hold
	timers   map[runtime.ID]*time.Timer // when to look after a task that shall stop
	measured map[runtime.ID]measured
	facts    *facts // of the engine, when it was asked
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)
)

// Labels of all that we make in the engine.
const (
	labelHome = "sagebrush.home"
	labelTask = "sagebrush.task"
	labelNet  = "sagebrush.net"
	labelPort = "sagebrush.port"
)

// New makes the runtime of the engine at o.Host, and takes up the deadlines of
// tasks that an earlier one was asked to stop. It does not fail when no engine
// answers, for that may be temporary: see Ping. Close ends it.
func New(ctx context.Context, o Options) (*Runtime, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("docker runtime: Dir %q is not absolute", o.Dir)
	}
	if o.Name == "" {
		return nil, errors.New("docker runtime: it has no Name")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("docker runtime: %w", err)
	}
	opts := []client.Opt{client.FromEnv}
	if o.Host != "" {
		opts = append(opts, client.WithHost(o.Host))
	}
	api, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker runtime: %w", err)
	}
	sum := sha256.Sum256([]byte(o.Name))
	r := &Runtime{api: api, home: hex.EncodeToString(sum[:5]), notes: notes(o.Dir), credentials: o.Credentials, log: o.Log,
		held: map[runtime.ID]*hold{}, timers: map[runtime.ID]*time.Timer{}, measured: map[runtime.ID]measured{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	known, err := r.notes.all()
	if err != nil {
		r.cancel()
		return nil, fmt.Errorf("docker runtime: %w", err)
	}
	for _, id := range known {
		r.measured[id] = measured{}
		r.later(id, 0)
	}
	r.work.Go(r.measure)
	return r, nil
}

// Close ends what goes on between calls, and leaves the tasks alone.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, t := range r.timers {
		t.Stop()
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
	return r.api.Close()
}

// Ping tells whether the engine answers; the error says why not.
func (r *Runtime) Ping(ctx context.Context) error {
	if _, err := r.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("ask the container engine: %w", err)
	}
	return nil
}

// Holds reports whether tasks were started and not removed yet, without asking
// the engine: a server that has such tasks must not be without it.
func (r *Runtime) Holds() bool {
	known, err := r.notes.all()
	return err != nil || len(known) > 0
}

// facts are what does not change while an engine runs.
type facts struct {
	cpus    int    // that it can give
	dir     string // where it keeps images and containers
	desktop bool   // it runs in a virtual machine that forwards from host.docker.internal
}

func (r *Runtime) engine(ctx context.Context) (facts, error) {
	r.mu.Lock()
	known := r.facts
	r.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	info, err := r.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, fmt.Errorf("ask the container engine about itself: %w", err)
	}
	f := facts{cpus: info.Info.NCPU, dir: info.Info.DockerRootDir, desktop: info.Info.OperatingSystem == "Docker Desktop"}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = &f
	return f, nil
}

// hold is the right to change one task.
type hold struct {
	sync.Mutex
	users    int
	starting bool // Start has it
}

// hold waits until nobody else changes the task, and gives what ends that.
func (r *Runtime) hold(id runtime.ID, starting bool) (release func()) {
	r.mu.Lock()
	h := r.held[id]
	if h == nil {
		h = new(hold)
		r.held[id] = h
	}
	h.users++
	r.mu.Unlock()
	h.Lock()
	r.mu.Lock()
	h.starting = starting
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		h.starting = false
		h.Unlock()
		if h.users--; h.users == 0 {
			delete(r.held, id)
		}
	}
}

// starting says whether a Start of this process is at work on the task.
func (r *Runtime) starting(id runtime.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[id]
	return h != nil && h.starting
}

// name is what the engine calls the task's container, and what belongs to it.
func (r *Runtime) name(id runtime.ID) string { return "sagebrush-" + r.home + "-" + string(id) }

// ours selects what belongs to this home.
func (r *Runtime) ours() client.Filters {
	return client.Filters{}.Add("label", labelHome+"="+r.home)
}

// look asks the engine about the task's container; ok is false when there is none.
func (r *Runtime) look(ctx context.Context, id runtime.ID, size bool) (c container.InspectResponse, ok bool, err error) {
	res, err := r.api.ContainerInspect(ctx, r.name(id), client.ContainerInspectOptions{Size: size})
	if errdefs.IsNotFound(err) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("look at the container of task %q: %w", id, err)
	}
	c = res.Container
	if c.State == nil || c.Config == nil || c.HostConfig == nil || c.Config.Labels[labelHome] != r.home {
		return c, false, fmt.Errorf("container %s is not one of ours", r.name(id))
	}
	return c, true, nil
}

// hasEnded says whether err is what the engine answers of a container that has
// just ended or gone, when asked to do something with it.
func hasEnded(err error) bool { return errdefs.IsNotFound(err) || errdefs.IsConflict(err) }
