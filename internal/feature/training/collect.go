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

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
)

// collect keeps what the containers have left in their working folders: the
// model, the output data, the trees that the caller asked for. It gives the
// place of the model. The files of several hosts become one model; of files
// with one name that of the first host counts. The same folder gives the same
// objects, so it may be cut off and called again. A job that failed has no model
// to speak of, but what it left is kept for who wants to know why.
func (s *Service) collect(ctx context.Context, j Job, failed bool) (model string, err error) {
	id := identity(j)
	hosts := hostNames(j)
	base, err := object.ParseURI(j.Doc.OutputDataConfig.S3OutputPath)
	if err != nil {
		return "", transfer.BadData("%w", err)
	}
	out := base.Join(j.Key.Name, "output")
	type part struct {
		dir            func(optml.Dir) string
		at             string
		archive, plain string
		optional       bool
	}
	for _, p := range []part{
		{optml.Dir.Model, optml.ModelPath, "model.tar.gz", "model/", failed},
		{optml.Dir.OutputData, optml.OutputDataPath, "output.tar.gz", "data/", true},
	} {
		dir := p.dir(s.ml(id, hosts[0]))
		var others []string
		for _, host := range hosts[1:] {
			others = append(others, p.dir(s.ml(id, host)))
		}
		if len(others) > 0 {
			if err := transfer.Merge(dir, others); err != nil {
				return "", err
			}
		}
		if p.optional {
			empty, err := optml.Empty(dir)
			if err != nil {
				return "", fmt.Errorf("look into %s: %w", p.at, err)
			}
			if empty {
				continue
			}
		}
		if j.Doc.OutputDataConfig.CompressionType == "NONE" {
			err = s.data.PutFiles(ctx, dir, out.Join(p.plain))
		} else {
			err = s.data.PutArchive(ctx, dir, p.at, out.Join(p.archive))
		}
		if err != nil {
			return "", err
		}
	}
	if err := s.putTrees(ctx, j); err != nil {
		return "", err
	}
	if j.Doc.OutputDataConfig.CompressionType == "NONE" {
		return out.Join("model/").String(), nil
	}
	return out.Join("model.tar.gz").String(), nil
}

// putTrees brings the folders that are kept besides the model up to date.
func (s *Service) putTrees(ctx context.Context, j Job) error {
	for _, host := range hostNames(j) {
		for i, t := range trees(j) {
			dir, _ := treeSource(filepath.Join(s.work(identity(j)), host), i, t)
			// Of several hosts each has its own files only: none may delete another's.
			if err := s.data.NewMirror(dir, t.to, true).Pass(ctx, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// tasksOf are the tasks that may have been begun on a working folder.
func (s *Service) tasksOf(id string) ([]runtime.ID, error) {
	b, err := os.ReadFile(filepath.Join(s.work(id), tasksName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []runtime.ID
	if err == nil {
		err = json.Unmarshal(b, &ids)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tasksName, err)
	}
	return ids, nil
}

// endTasks ends and forgets the tasks of a working folder.
func (s *Service) endTasks(ctx context.Context, id string) error {
	ids, err := s.tasksOf(id)
	if err != nil {
		return err
	}
	for _, task := range ids {
		if err := s.Runtime.Stop(ctx, task, 0); err != nil { // of a job whose record is gone
			return fmt.Errorf("stop task: %w", err)
		}
	}
	for _, task := range ids {
		if err := s.Runtime.Remove(ctx, task); err != nil {
			return fmt.Errorf("remove task: %w", err)
		}
	}
	return nil
}

// cleanUp forgets the tasks and the working folder of a job that has ended. What
// stays behind is found by the next Run.
func (s *Service) cleanUp(ctx context.Context, id string) {
	err := s.endTasks(ctx, id)
	if err == nil {
		err = optml.Remove(s.work(id))
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "working folder of a training job was not removed", "folder", s.work(id), "err", err)
	}
}

// leftovers are the working folders that no unsettled job has.
func (s *Service) leftovers(ctx context.Context) ([]string, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("training: make folder: %w", err)
	}
	keys, err := s.jobs.Unsettled(ctx)
	if err != nil {
		return nil, fmt.Errorf("training: list jobs: %w", err)
	}
	needed := map[string]bool{}
	for _, k := range keys {
		j, err := s.jobs.Get(ctx, k)
		if errors.Is(err, resource.ErrNotFound) { // it ended and was deleted just now
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("training: read job %s: %w", k.Name, err)
		}
		needed[identity(j)] = true
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("training: list folder: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !needed[e.Name()] && e.Name() != poolsName {
			out = append(out, e.Name())
		}
	}
	return out, nil
}
