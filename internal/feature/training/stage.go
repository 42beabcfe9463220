// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// A working folder is <Dir>/<identity>:
//
//	tasks.json            see taskgroup.Folders
//	<host>/ml/            what the container of a host sees as /opt/ml
//	<host>/paths/<n>/     what it sees at a path of the caller's choice
//	<host>/channels/<c>/  links to the objects of a channel of which each host has its part
//	channels/<c>/         links to those of a channel that all hosts see
//	staged.json           written last: the mounts; from then on the folder is complete
const (
	mlName       = "ml"
	channelsName = "channels"
	pathsName    = "paths"
	stagedName   = "staged.json"
)

// staging is what staged.json says.
type staging struct {
	Attempt int
	Mounts  map[string][]runtime.Mount // by host
	Needs   runtime.Needs
}

// ml is the folder that a host's container sees as /opt/ml.
func (s *Service) ml(id, host string) optml.Dir {
	return optml.Dir(filepath.Join(s.work(id), host, mlName))
}

// staged reads what a working folder that is complete for the attempt says.
func staged(work string, attempt int) (st staging, ok bool, err error) {
	ok, err = taskgroup.ReadJSON(work, stagedName, &st)
	return st, ok && st.Attempt == attempt, err
}

// stage makes the job's working folder. What an earlier attempt has left is
// thrown away, for it may be half of something.
func (s *Service) stage(ctx context.Context, j Job) error {
	id := identity(j)
	work := s.work(id)
	if err := s.folders.Begin(ctx, id, members(j, j.Private.Attempt)); err != nil {
		return err
	}
	st := staging{Attempt: j.Private.Attempt, Mounts: map[string][]runtime.Mount{}, Needs: needs(j)}
	all := machines(j)
	for _, m := range all {
		ml := s.ml(id, m.Host)
		if err := ml.Make(); err != nil {
			return err
		}
		st.Mounts[m.Host] = []runtime.Mount{{Source: string(ml), Target: optml.Root}}
	}
	if err := s.stageChannels(ctx, j, st.Mounts); err != nil {
		return err
	}
	image, err := s.stageImage(ctx, j, &st)
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := s.stageHost(ctx, j, m, image, &st); err != nil {
			return err
		}
	}
	return taskgroup.WriteJSON(work, stagedName, st)
}

// stageHost writes what one host is told, and makes the folders that are kept.
func (s *Service) stageHost(ctx context.Context, j Job, m machine, image runtime.Image, st *staging) error {
	id := identity(j)
	config := optml.Config{HyperParameters: j.Doc.HyperParameters, Channels: map[string]optml.Channel{}, Resources: resources(j, m)}
	config.Resources.NetworkInterface = image.NetworkInterface()
	if c := j.Doc.CheckpointConfig; c != nil {
		config.Checkpoints = &optml.Checkpoints{S3URI: c.S3Uri, LocalPath: filepath.Clean(c.LocalPath)}
	}
	for _, c := range channelsOf(j, m) {
		config.Channels[c.ChannelName] = describeChannel(j, c)
	}
	if err := s.ml(id, m.Host).WriteConfig(config); err != nil {
		return err
	}
	for i, t := range trees(j) {
		source, mount := treeSource(filepath.Join(s.work(id), m.Host), i, t)
		if err := os.MkdirAll(source, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", t.path, err)
		}
		if mount {
			st.Mounts[m.Host] = append(st.Mounts[m.Host], runtime.Mount{Source: source, Target: t.path})
		}
		if t.prefill {
			if err := s.data.Copy(ctx, t.to, source); err != nil {
				return fmt.Errorf("restore checkpoints: %w", err)
			}
		}
	}
	if image.Unprivileged() {
		// Not the links to objects, whose modes are the store's.
		for _, dir := range []string{string(s.ml(id, m.Host)), filepath.Join(s.work(id), m.Host, pathsName)} {
			if err := optml.Open(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	if j.Private.Pool != "" {
		st.Mounts[m.Host] = append(st.Mounts[m.Host], s.poolMount(j, m))
	}
	return nil
}

// tree is a folder of the container that is kept in a prefix of the caller's.
type tree struct {
	path    string // inside the container
	to      object.URI
	prefill bool // what lies there is in the folder when the job begins, and is kept up to date while it runs
}

// trees are the folders of j that are kept besides model and output data. The
// order is always the same.
func trees(j Job) []tree {
	var out []tree
	if c := j.Doc.CheckpointConfig; c != nil {
		if u, err := object.ParseURI(c.S3Uri); err == nil { // CreateTrainingJob has checked it
			out = append(out, tree{filepath.Clean(c.LocalPath), u, true})
		}
	}
	if c := j.Doc.TensorBoardOutputConfig; c != nil {
		if u, err := object.ParseURI(c.S3OutputPath); err == nil {
			// The service keeps the runs of several jobs apart by their names.
			out = append(out, tree{filepath.Clean(c.LocalPath), u.Join(j.Key.Name, "tensorboard-output"), false})
		}
	}
	return out
}

// treeSource is the folder on the host that the i-th tree is, of the host whose
// folder is given, and whether it must be mounted since it lies outside of
// /opt/ml.
func treeSource(hostDir string, i int, t tree) (dir string, mount bool) {
	if rel, err := filepath.Rel(optml.Root, t.path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(hostDir, mlName, rel), false
	}
	return filepath.Join(hostDir, pathsName, fmt.Sprint(i)), true
}
