// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// mounts says where the host's folders appear, and makes the volumes that
// Scratch mounts need.
func (r *Runtime) mounts(ctx context.Context, t runtime.Task) ([]mount.Mount, error) {
	var out []mount.Mount
	scratch := map[string]string{}
	for i, m := range t.Mounts { // the engine mounts what lies deeper later
		if m.Scratch && !m.ReadOnly {
			v, err := r.scratch(ctx, t.ID, i, m, scratch)
			if err != nil {
				return nil, fmt.Errorf("scratch mount of %s: %w", m.Source, err)
			}
			out = append(out, v)
			continue
		}
		out = append(out, mount.Mount{Type: mount.TypeBind, Source: filepath.Clean(m.Source), Target: path.Clean(m.Target), ReadOnly: m.ReadOnly,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate}})
	}
	if len(scratch) == 0 {
		return out, nil
	}
	_, err := r.notes.change(t.ID, func(n *note) { n.Scratch = scratch })
	return out, err
}

// scratch is an overlay over m.Source whose upper layer is a volume of the
// task's own. The engine makes and mounts all of it, so it needs no rights of
// ours. That engines know overlays as volumes is a matter of the local driver,
// which hands its options to mount(2).
func (r *Runtime) scratch(ctx context.Context, id runtime.ID, i int, m runtime.Mount, places map[string]string) (mount.Mount, error) {
	name := r.name(id) + "_scratch" + strconv.Itoa(i)
	labels := map[string]string{labelHome: r.home, labelTask: string(id)}
	layers := map[string]string{}
	for _, part := range []string{"upper", "work"} {
		v, err := r.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name + "_" + part, Labels: labels})
		if err != nil {
			return mount.Mount{}, err
		}
		layers[part] = v.Volume.Mountpoint
	}
	info, err := os.Stat(m.Source)
	if err != nil {
		return mount.Mount{}, err
	}
	// The upper folder's mode and owner are those of the mount.
	if err := likeSource(layers["upper"], info); err != nil && !os.IsPermission(err) && !os.IsNotExist(err) {
		return mount.Mount{}, err
	}
	places[name+"_upper"] = layers["upper"]
	_, err = r.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Labels: labels, Driver: "local", DriverOpts: map[string]string{
		"type": "overlay", "device": "overlay",
		"o": "lowerdir=" + filepath.Clean(m.Source) + ",upperdir=" + layers["upper"] + ",workdir=" + layers["work"],
	}})
	if err != nil {
		return mount.Mount{}, err
	}
	return mount.Mount{Type: mount.TypeVolume, Source: name, Target: path.Clean(m.Target), VolumeOptions: &mount.VolumeOptions{NoCopy: true}}, nil
}

// dropVolumes removes the task's volumes.
func (r *Runtime) dropVolumes(ctx context.Context, id runtime.ID) error {
	list, err := r.api.VolumeList(ctx, client.VolumeListOptions{Filters: r.ours().Add("label", labelTask+"="+string(id))})
	if err != nil {
		return err
	}
	// The overlay goes before its layers: its name is a prefix of theirs, and
	// the list is not sorted.
	for _, layers := range []bool{false, true} {
		for _, v := range list.Items {
			if _, isOverlay := v.Options["type"]; isOverlay == layers || v.Labels[labelTask] != string(id) {
				continue
			}
			if _, err := r.api.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}
