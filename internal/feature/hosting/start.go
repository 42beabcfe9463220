// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	instances "github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// startInstance lays out /opt/ml and starts the serving task. What goes wrong
// for good is noted for decide, which fails the deployment.
func (s *Service) startInstance(ctx context.Context, r *endpointRecord, at spot) {
	f, v := r.Private.at(at)
	id := r.Private.taskID(at)
	err := s.tryStart(ctx, r, f, v, at, id)
	if err == nil {
		s.loop.Wake(r.Key)
		return
	}
	s.Log.Error("serving task not started", "name", r.Key.Name, "task", string(id), "err", err)
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in == nil {
		return
	}
	in.mu.Lock()
	in.crashes++
	in.notUntil = s.Now().Add(min(crashBackoff<<min(in.crashes-1, 10), backoffLimit))
	if errors.Is(err, errModelData) {
		in.problem = err.Error()
	}
	in.mu.Unlock()
	s.loop.Wake(r.Key)
}

// errModelData is a model artifact that cannot be had or read.
var errModelData = errors.New("Failed to download model data")

func (s *Service) tryStart(ctx context.Context, r *endpointRecord, f *fleet, v *variant, at spot, id runtime.ID) error {
	img, err := s.Images.Image(ctx, v.Image, runtime.Needs{})
	if err != nil {
		return err
	}
	dir := s.fleetDir(r.Private.Seed, f.Generation)
	model, err := s.modelDir(ctx, filepath.Join(dir, fmt.Sprintf("v%d", at.variant), "model"), v)
	if err != nil {
		return err
	}
	home := filepath.Join(dir, fmt.Sprintf("v%d", at.variant), fmt.Sprintf("i%d", at.index))
	if err := os.MkdirAll(filepath.Join(home, "model"), 0o755); err != nil {
		return err
	}
	env := map[string]string{}
	maps.Copy(env, img.Env)
	maps.Copy(env, v.Env)
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = r.Key.Region, r.Key.Region
	t := runtime.Task{ID: id, Group: "ep-" + r.Private.Seed, Host: "model", Command: img.Serve, Env: env, Serves: true,
		Mounts: []runtime.Mount{{Source: home, Target: "/opt/ml"}, {Source: model, Target: "/opt/ml/model", ReadOnly: true}}}
	if typ, ok := instances.Lookup(v.InstanceType); ok {
		t.MilliCPU, t.MemoryBytes = typ.MilliCPU(), typ.MemoryBytes()
	}
	return s.Runtime.Start(ctx, t)
}

// fleetDir holds the files of one fleet, or of all when generation is 0.
func (s *Service) fleetDir(seed string, generation int) string {
	dir := filepath.Join(s.Dir, "ep-"+seed)
	if generation > 0 {
		dir = filepath.Join(dir, "g"+strconv.Itoa(generation))
	}
	return dir
}

func (s *Service) removeFiles(seed string, generation int) {
	if err := os.RemoveAll(s.fleetDir(seed, generation)); err != nil {
		s.Log.Warn("files of a fleet not removed", "seed", seed, "generation", generation, "err", err)
	}
}

// modelDir gives the folder with the variant's unpacked artifact, shared
// read-only by its instances. It is filled beside and renamed, so a folder that
// is there is whole.
func (s *Service) modelDir(ctx context.Context, dir string, v *variant) (string, error) {
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
	if v.Data != nil {
		if err := s.fetch(ctx, tmp, *v.Data); err != nil {
			return "", fmt.Errorf("%w for container \"container_1\" from URL: %q. Please ensure that there is an object located at the URL and that it is a valid archive. %w", errModelData, v.Data.URI, err)
		}
	}
	return dir, os.Rename(tmp, dir)
}

func (s *Service) fetch(ctx context.Context, dir string, d modelData) error {
	u, err := object.ParseURI(d.URI)
	if err != nil {
		return err
	}
	if !d.Archive {
		return s.fetchPrefix(ctx, dir, u)
	}
	body, err := s.Objects.Open(ctx, u, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	return optml.Unpack(body, dir, archiveLimit)
}

// fetchPrefix copies the objects under a prefix, which keep their names below
// it. A key that would lead out of the folder is refused by os.Root.
func (s *Service) fetchPrefix(ctx context.Context, dir string, u object.URI) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return object.All(ctx, s.Objects, u, func(o object.Info) error {
		name := strings.TrimPrefix(strings.TrimPrefix(o.URI.Key, u.Key), "/")
		if name == "" || strings.HasSuffix(name, "/") {
			return nil
		}
		if d := filepath.Dir(name); d != "." {
			if err := root.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		body, err := s.Objects.Open(ctx, o.URI, 0, -1)
		if err != nil {
			return err
		}
		defer body.Close()
		f, err := root.Create(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		return errors.Join(err, f.Close())
	})
}

// archiveLimit keeps an archive bomb from filling the disk.
var archiveLimit = optml.Limit{Bytes: 512 << 30, Entries: 1 << 20}
