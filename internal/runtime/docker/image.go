// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Pull makes that the engine has the image ref, and says what it does on
// progress, line by line; progress may be nil. An image that is there is not
// asked for anew. Errors of one that cannot be had wrap runtime.ErrNoImage.
func (r *Runtime) Pull(ctx context.Context, ref string, progress io.Writer) error {
	_, err := r.image(ctx, ref, progress)
	return err
}

// image is Pull, and gives the names of the image's environment variables.
func (r *Runtime) image(ctx context.Context, ref string, progress io.Writer) (env []string, err error) {
	for pulled := false; ; pulled = true {
		found, err := r.api.ImageInspect(ctx, ref)
		switch {
		case err == nil:
			if found.Config != nil {
				for _, kv := range found.Config.Env {
					k, _, _ := strings.Cut(kv, "=")
					env = append(env, k)
				}
			}
			return env, nil
		case !errdefs.IsNotFound(err):
			return nil, fmt.Errorf("look for image %s: %w", ref, err)
		case pulled:
			return nil, fmt.Errorf("%w: the container engine has pulled %s and has it not", runtime.ErrNoImage, ref)
		}
		if err := r.pull(ctx, ref, progress); err != nil {
			return nil, err
		}
	}
}

func (r *Runtime) pull(ctx context.Context, ref string, progress io.Writer) error {
	var opts client.ImagePullOptions
	if r.credentials != nil {
		user, password, err := r.credentials(ctx, ref)
		if err != nil {
			return fmt.Errorf("credentials for image %s: %w", ref, err)
		}
		if user != "" || password != "" {
			if opts.RegistryAuth, err = authconfig.Encode(registry.AuthConfig{Username: user, Password: password}); err != nil {
				return fmt.Errorf("credentials for image %s: %w", ref, err)
			}
		}
	}
	if progress == nil {
		progress = io.Discard
	}
	fmt.Fprintf(progress, "pulling image %s\n", ref)
	stream, err := r.api.ImagePull(ctx, ref, opts)
	if err != nil {
		return pullError(ref, err)
	}
	defer stream.Close()
	for m, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return fmt.Errorf("pull image %s: %w", ref, err)
		}
		if m.Error != nil {
			return pullError(ref, m.Error)
		}
		// What is said again and again of each layer, as bars move, is left out.
		if bar := m.Progress; m.Status != "" && (bar == nil || bar.Current == 0 && bar.Total == 0) {
			fmt.Fprintln(progress, strings.TrimSpace(m.ID+" "+m.Status))
		}
	}
	return nil
}

// pullError tells an image that cannot be had from an engine that cannot be
// asked: only the latter is worth trying again.
func pullError(ref string, err error) error {
	text := strings.ToLower(err.Error())
	gone := errdefs.IsNotFound(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) || errdefs.IsInvalidArgument(err)
	for _, s := range []string{"manifest unknown", "not found", "pull access denied", "denied:", "unauthorized", "no basic auth", "invalid reference", "no matching manifest", "name unknown"} {
		gone = gone || strings.Contains(text, s)
	}
	if gone {
		return fmt.Errorf("%w: pull %s: %w", runtime.ErrNoImage, ref, err)
	}
	return fmt.Errorf("pull image %s: %w", ref, err)
}
