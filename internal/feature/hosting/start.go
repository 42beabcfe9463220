// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
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
	switch {
	case errors.Is(err, errModelData):
		in.problem = err.Error()
	case errors.Is(err, runtime.ErrUnprepared), errors.Is(err, runtime.ErrNoImage):
		in.problem = fmt.Sprintf("The image of production variant %s cannot be used: %s", in.variant, err)
	}
	in.mu.Unlock()
	s.loop.Wake(r.Key)
}

// errModelData is a model artifact that cannot be had or read.
var errModelData = errors.New("Failed to download model data")

func (s *Service) tryStart(ctx context.Context, r *endpointRecord, f *fleet, v *variant, at spot, id runtime.ID) error {
	dir := filepath.Join(s.fleetDir(r.Private.Seed, f.Generation), fmt.Sprintf("v%d", at.variant))
	model, err := s.modelDir(ctx, filepath.Join(dir, "model"), v)
	if err != nil {
		return err
	}
	code, img, err := s.prepare(ctx, r, v, dir, model)
	if err != nil {
		return err
	}
	home := filepath.Join(dir, fmt.Sprintf("i%d", at.index))
	if err := os.MkdirAll(filepath.Join(home, "model"), 0o755); err != nil {
		return err
	}
	if img.Unprivileged() {
		if err := optml.Open(home); err != nil {
			return err
		}
	}
	mounts := append(slices.Clone(img.Mounts), runtime.Mount{Source: home, Target: "/opt/ml"},
		runtime.Mount{Source: model, Target: "/opt/ml/model", ReadOnly: true})
	var ours map[string]string
	if s.Env != nil && !v.Isolated { // AWS gives no credentials to an isolated container
		if ours, err = s.Env(ctx, v.Role, r.Key.Name); err != nil {
			return fmt.Errorf("make the container's environment: %w", err)
		}
	}
	env := taskgroup.Env(img.Env, ours, v.Env)
	if code != "" {
		if err := os.MkdirAll(filepath.Join(home, "code"), 0o755); err != nil {
			return err
		}
		mounts = append(mounts, runtime.Mount{Source: code, Target: codePath, ReadOnly: true})
		env["SAGEMAKER_SUBMIT_DIRECTORY"] = codePath
	}
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = r.Key.Region, r.Key.Region
	t := runtime.Task{ID: id, Group: string(id), Host: "model", Hosts: []string{"model"}, Root: img.Root, Image: img.Engine, Command: img.Serve,
		Env: env, WorkDir: img.WorkDir, User: img.User, Serves: true, Port: img.Port, Reach: s.Reach, Mounts: mounts}
	if v.Isolated {
		t.Network = runtime.None
	}
	return s.Runtime.Start(ctx, taskgroup.Limit(t, v.InstanceType))
}

// codePath is where a container finds user code that is not in its model.
const codePath = "/opt/ml/code"

// needsOf is what a container's environment says of what its image must hold.
func needsOf(env map[string]string) runtime.Needs {
	return runtime.Needs{Script: env["SAGEMAKER_PROGRAM"] != "" || env["SAGEMAKER_SUBMIT_DIRECTORY"] != ""}
}

// prepare makes the variant's image ready, with what the user's code requires.
// Where the code is an archive of its own it answers the folder with its
// contents. What takes long is told in a log stream of the endpoint.
func (s *Service) prepare(ctx context.Context, r *endpointRecord, v *variant, dir, model string) (code string, img runtime.Image, err error) {
	needs := needsOf(v.Env)
	if img, err = s.Images.Image(ctx, v.Image, needs); err != nil {
		return "", img, err
	}
	if img.Script {
		if u := v.Env["SAGEMAKER_SUBMIT_DIRECTORY"]; strings.HasPrefix(u, "s3://") {
			code, err = s.modelDir(ctx, filepath.Join(dir, "code"), &variant{Data: &modelData{URI: u, Archive: true}})
			if err != nil {
				return "", img, err
			}
		}
		if needs.Requirements, err = requirements(code, filepath.Join(model, "code")); err != nil {
			return "", img, fmt.Errorf("%w: %w", errModelData, err)
		}
	}
	log := taskgroup.Progress(ctx, s.Logs, telemetry.Stream{Account: r.Key.Account, Region: r.Key.Region,
		Group: "/aws/sagemaker/Endpoints/" + r.Key.Name, Name: v.Name + "/image-preparation"})
	defer log.Close()
	img, err = s.Images.Prepare(ctx, v.Image, needs, log)
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
		return transfer.Mover{Objects: s.Objects}.Copy(ctx, u, dir)
	}
	body, err := s.Objects.Open(ctx, u, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	return optml.Unpack(body, dir, archiveLimit)
}

// archiveLimit keeps an archive bomb from filling the disk.
var archiveLimit = optml.Limit{Bytes: 512 << 30, Entries: 1 << 20}
