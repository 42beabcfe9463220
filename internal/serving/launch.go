// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
)

// Launcher starts containers of models.
type Launcher struct {
	Runtime runtime.Runtime
	Images  runtime.Images
	Objects object.Store
	Logs    telemetry.Logs
	// Env is what a container gets besides what the service gives it: how to
	// reach this server, and keys of the model's role for the job or endpoint
	// called name. It may be nil.
	Env func(ctx context.Context, role, name string) (map[string]string, error)
	// Reach is where this server listens: a container must come there from
	// whatever network it has.
	Reach []string
}

// Launch is one container to start.
type Launch struct {
	ID     runtime.ID
	Region string
	Name   string // of the endpoint or job
	Model  *Model
	Index  int // which of the model's containers
	// Dir holds what all instances of the model share, Home what is this
	// container's own; it becomes /opt/ml. Both are absolute, and made.
	Dir, Home    string
	InstanceType string
	MemoryBytes  int64             // instead of the instance type's, when not 0
	MilliCPU     int64             // likewise
	Env          map[string]string // besides the container's own, and before it
	Over         map[string]string // over the container's own
	// Progress is the log stream that tells what takes long.
	Progress telemetry.Stream
}

// ErrModelData is a model artifact that cannot be had or read.
var ErrModelData = errors.New("Failed to download model data")

// Final tells whether an error of Start will be the same next time, and how it
// is told.
func Final(err error) (reason string, ok bool) {
	switch {
	case errors.Is(err, ErrModelData):
		return err.Error(), true
	case errors.Is(err, runtime.ErrUnprepared), errors.Is(err, runtime.ErrNoImage):
		return fmt.Sprintf("The image cannot be used: %s", err), true
	}
	return "", false
}

// CodePath is where a container finds user code that is not in its model.
const CodePath = "/opt/ml/code"

// extraPath is where AdditionalModelDataSources lie.
const extraPath = "/opt/ml/additional-model-data-sources"

// ModelsPath is where a container of many models finds them, within Home as
// "models". Source: "Create Your Own Container for Multi-Model Endpoints".
const ModelsPath = "/opt/ml/models"

// Start lays out /opt/ml and starts the container's task. It may be repeated. A
// multi-model container starts without models.
func (l *Launcher) Start(ctx context.Context, in Launch) error {
	c := &in.Model.Containers[in.Index]
	model, err := l.folder(ctx, filepath.Join(in.Dir, "model"), c, modelOf(c))
	if err != nil {
		return err
	}
	code, img, err := l.prepare(ctx, &in, c, model)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(in.Home, "model"), 0o755); err != nil {
		return err
	}
	if img.Unprivileged() {
		if err := optml.Open(in.Home); err != nil {
			return err
		}
	}
	mounts := append(slices.Clone(img.Mounts), runtime.Mount{Source: in.Home, Target: "/opt/ml"})
	if c.Multi {
		if err := os.MkdirAll(filepath.Join(in.Home, "models"), 0o755); err != nil {
			return err
		}
	} else {
		mounts = append(mounts, runtime.Mount{Source: model, Target: "/opt/ml/model", ReadOnly: true})
	}
	for _, x := range c.Extra {
		dir, err := l.folder(ctx, filepath.Join(in.Dir, "extra", x.Name), c, &x.Data)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(in.Home, "additional-model-data-sources", x.Name), 0o755); err != nil {
			return err
		}
		mounts = append(mounts, runtime.Mount{Source: dir, Target: extraPath + "/" + x.Name, ReadOnly: true})
	}
	env, err := l.environment(ctx, &in, c, &img)
	if err != nil {
		return err
	}
	if code != "" {
		if err := os.MkdirAll(filepath.Join(in.Home, "code"), 0o755); err != nil {
			return err
		}
		mounts = append(mounts, runtime.Mount{Source: code, Target: CodePath, ReadOnly: true})
		env["SAGEMAKER_SUBMIT_DIRECTORY"] = CodePath
	}
	host := "model"
	t := runtime.Task{ID: in.ID, Group: string(in.ID), Host: host, Hosts: []string{host}, Root: img.Root, Image: img.Engine, Command: img.Serve,
		Env: env, WorkDir: img.WorkDir, User: img.User, Serves: true, Port: img.Port, Reach: l.Reach, Mounts: mounts}
	if in.Model.Isolated {
		t.Network = runtime.None
	}
	return l.Runtime.Start(ctx, Limit(t, in.InstanceType, in.MemoryBytes, in.MilliCPU))
}

// Limit gives a task what its instance type has, or what is said instead where
// that is not 0.
func Limit(t runtime.Task, instanceType string, memoryBytes, milliCPU int64) runtime.Task {
	t = taskgroup.Limit(t, instanceType)
	t.MemoryBytes = cmp.Or(memoryBytes, t.MemoryBytes)
	t.MilliCPU = cmp.Or(milliCPU, t.MilliCPU)
	return t
}

// modelOf is the data that is laid out before the start.
func modelOf(c *Container) *Data {
	if c.Multi {
		return nil
	}
	return c.Data
}

// environment is the container's. Source: "How Containers Serve Requests" and
// "Create Your Own Container for Multi-Model Endpoints".
func (l *Launcher) environment(ctx context.Context, in *Launch, c *Container, img *runtime.Image) (map[string]string, error) {
	var ours map[string]string
	if l.Env != nil && !in.Model.Isolated { // AWS gives no credentials to an isolated container
		var err error
		if ours, err = l.Env(ctx, in.Model.Role, in.Name); err != nil {
			return nil, fmt.Errorf("make the container's environment: %w", err)
		}
	}
	given := map[string]string{}
	if c.Multi {
		given["SAGEMAKER_MULTI_MODEL"] = "true"
	}
	if len(in.Model.Containers) > 1 { // each has a network, or a socket, of its own: they cannot collide
		given["SAGEMAKER_BIND_TO_PORT"], given["SAGEMAKER_SAFE_PORT_RANGE"] = "8080", "8080-8099"
	}
	env := taskgroup.Env(img.Env, ours, given, in.Env, c.Env, in.Over)
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = in.Region, in.Region
	return env, nil
}

// prepare makes the container's image ready, with what the user's code
// requires. Where the code is an archive of its own it answers the folder with
// its contents.
func (l *Launcher) prepare(ctx context.Context, in *Launch, c *Container, model string) (code string, img runtime.Image, err error) {
	needs := NeedsOf(c.Env)
	if img, err = l.Images.Image(ctx, c.Image, needs); err != nil {
		return "", img, err
	}
	if img.Script {
		if u := c.Env["SAGEMAKER_SUBMIT_DIRECTORY"]; strings.HasPrefix(u, "s3://") {
			if code, err = l.folder(ctx, filepath.Join(in.Dir, "code"), c, &Data{URI: u, Archive: true}); err != nil {
				return "", img, err
			}
		}
		if needs.Requirements, err = requirements(code, filepath.Join(model, "code")); err != nil {
			return "", img, fmt.Errorf("%w: %w", ErrModelData, err)
		}
	}
	log := taskgroup.Progress(ctx, l.Logs, in.Progress)
	defer log.Close()
	img, err = l.Images.Prepare(ctx, c.Image, needs, log)
	return code, img, err
}

// requirements is the text of requirements.txt in the first of the folders that
// has one, nil for none.
func requirements(dirs ...string) ([]byte, error) {
	for _, dir := range dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue // there is none
		}
		b, err := optml.Requirements(root, "requirements.txt")
		root.Close()
		if b != nil || err != nil {
			return b, err
		}
	}
	return nil, nil
}

// folder gives the folder with the unpacked data, shared read-only by all
// instances. It is filled beside and renamed, so a folder that is there is
// whole.
func (l *Launcher) folder(ctx context.Context, dir string, c *Container, data *Data) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	if data != nil {
		if err := data.Fetch(ctx, l.Objects, tmp); err != nil {
			name := c.Hostname
			if name == "" {
				name = "container_1"
			}
			return "", fmt.Errorf("%w for container %q from URL: %q. Please ensure that there is an object located at the URL and that it is a valid archive. %w", ErrModelData, name, data.URI, err)
		}
	}
	return dir, os.Rename(tmp, dir)
}

// Fetch lays the data out in a folder that is there.
func (d *Data) Fetch(ctx context.Context, objects object.Store, dir string) error {
	u, err := object.ParseURI(d.URI)
	if err != nil {
		return err
	}
	if !d.Archive {
		return transfer.Mover{Objects: objects}.Copy(ctx, u, dir)
	}
	body, err := objects.Open(ctx, u, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	return optml.Unpack(body, dir, archiveLimit)
}

// archiveLimit keeps an archive bomb from filling the disk.
var archiveLimit = optml.Limit{Bytes: 512 << 30, Entries: 1 << 20}
