// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// A working folder is <Dir>/<identity>:
//
//	ml/               what the container sees as /opt/ml
//	channels/<name>/  links to the objects of a channel, mounted over ml/input/data/<name>
//	paths/<n>/        what the container sees at a path of the caller's choice
//	staged.json       written last: the mounts; from then on the folder is complete
const (
	mlName       = "ml"
	channelsName = "channels"
	pathsName    = "paths"
	stagedName   = "staged.json"
)

// dataError is a fault in the caller's data that will not pass: it ends the job.
type dataError struct{ err error }

func (e *dataError) Error() string { return e.err.Error() }
func (e *dataError) Unwrap() error { return e.err }

func badData(format string, args ...any) error { return &dataError{fmt.Errorf(format, args...)} }

// lasting reports whether trying again is of no use.
func lasting(err error) bool {
	_, bad := errors.AsType[*dataError](err)
	return bad || errors.Is(err, object.ErrNotFound) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, runtime.ErrNoImage)
}

// staged reads the mounts of a working folder that is complete.
func staged(work string) (mounts []runtime.Mount, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(work, stagedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &mounts)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", stagedName, err)
	}
	return mounts, true, nil
}

// stage makes the job's working folder. What an earlier attempt has left is
// thrown away, for it may be half of something.
func (s *Service) stage(ctx context.Context, j Job) error {
	work := s.work(identity(j))
	if err := optml.Remove(work); err != nil {
		return fmt.Errorf("clear working folder: %w", err)
	}
	ml := optml.Dir(filepath.Join(work, mlName))
	if err := ml.Make(); err != nil {
		return err
	}
	mounts := []runtime.Mount{{Source: string(ml), Target: optml.Root}}
	config := optml.Config{HyperParameters: j.Doc.HyperParameters, Channels: map[string]optml.Channel{},
		Resources: optml.Resources{Host: host, Hosts: []string{host}, InstanceType: j.Doc.ResourceConfig.InstanceType}}
	for _, c := range j.Doc.InputDataConfig {
		mode := c.InputMode
		if mode == "" {
			mode = j.Doc.AlgorithmSpecification.TrainingInputMode
		}
		config.Channels[c.ChannelName] = optml.Channel{TrainingInputMode: mode, ContentType: c.ContentType,
			S3DistributionType: c.DataSource.S3DataSource.S3DataDistributionType, RecordWrapperType: c.RecordWrapperType}
		mount, err := s.stageChannel(ctx, work, c)
		if err != nil {
			return fmt.Errorf("channel %q: %w", c.ChannelName, err)
		}
		if mount != nil {
			mounts = append(mounts, *mount)
		}
	}
	if err := ml.WriteConfig(config); err != nil {
		return err
	}
	for i, t := range trees(j) {
		source, mount := treeSource(work, i, t)
		if err := os.MkdirAll(source, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", t.path, err)
		}
		if mount {
			mounts = append(mounts, runtime.Mount{Source: source, Target: t.path})
		}
		if t.prefill {
			if err := s.copyAll(ctx, t.to, source); err != nil {
				return fmt.Errorf("restore checkpoints: %w", err)
			}
		}
	}
	b, err := json.Marshal(mounts)
	if err == nil {
		// A file that is there is complete: it is renamed into place.
		err = os.WriteFile(filepath.Join(work, stagedName+".new"), b, 0o644)
	}
	if err == nil {
		err = os.Rename(filepath.Join(work, stagedName+".new"), filepath.Join(work, stagedName))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", stagedName, err)
	}
	return nil
}

// tree is a folder of the container that is kept in a prefix of the caller's.
type tree struct {
	path    string // inside the container
	to      object.URI
	prefill bool // what lies there is in the folder when the job begins
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

// treeSource is the folder on the host that the i-th tree is, and whether it
// must be mounted since it lies outside of /opt/ml.
func treeSource(work string, i int, t tree) (dir string, mount bool) {
	if rel, err := filepath.Rel(optml.Root, t.path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(work, mlName, rel), false
	}
	return filepath.Join(work, pathsName, fmt.Sprint(i)), true
}
