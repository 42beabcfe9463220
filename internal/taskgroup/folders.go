// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Folders are the working folders of a family's jobs, one for each, named by the
// job's identity. They belong to the family alone.
type Folders struct {
	Dir     string // absolute
	Runtime runtime.Runtime
	Log     *slog.Logger
	Keep    []string // names in Dir that are no jobs'
}

// tasksName is the file in a working folder that tells which tasks may have
// been begun on it: a folder without its record can still be cleaned up.
const tasksName = "tasks.json"

// Path is the working folder of a job.
func (f Folders) Path(job string) string { return filepath.Join(f.Dir, job) }

// Begin makes the job's folder anew for these tasks. What an earlier attempt has
// left, tasks and files, is thrown away, for it may be half of something.
func (f Folders) Begin(ctx context.Context, job string, members []Member) error {
	if err := f.EndTasks(ctx, job); err != nil {
		return err
	}
	if err := optml.Remove(f.Path(job)); err != nil {
		return fmt.Errorf("clear working folder: %w", err)
	}
	if err := os.MkdirAll(f.Path(job), 0o755); err != nil {
		return fmt.Errorf("make working folder: %w", err)
	}
	var ids []runtime.ID
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return WriteJSON(f.Path(job), tasksName, ids)
}

// EndTasks kills and forgets the tasks of a job's folder.
func (f Folders) EndTasks(ctx context.Context, job string) error {
	var ids []runtime.ID
	if _, err := ReadJSON(f.Path(job), tasksName, &ids); err != nil {
		return err
	}
	for _, id := range ids {
		if err := f.Runtime.Stop(ctx, id, 0); err != nil {
			return fmt.Errorf("stop task: %w", err)
		}
	}
	for _, id := range ids {
		if err := f.Runtime.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove task: %w", err)
		}
	}
	return nil
}

// CleanUp forgets the tasks and the folder of a job that has ended. What stays
// behind is found by Leftovers.
func (f Folders) CleanUp(ctx context.Context, job string) {
	err := f.EndTasks(ctx, job)
	if err == nil {
		err = optml.Remove(f.Path(job))
	}
	if err != nil && ctx.Err() == nil {
		f.Log.WarnContext(ctx, "working folder of a job was not removed", "folder", f.Path(job), "err", err)
	}
}

// Leftovers are the jobs that have a folder though they are not among those that
// list names. identity gives a job's, or ok false for one that is gone by now. It
// makes Dir.
func Leftovers[K any](ctx context.Context, f Folders, list func(context.Context) ([]K, error), identity func(context.Context, K) (id string, ok bool, err error)) ([]string, error) {
	keys, err := list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	needed := map[string]bool{}
	for _, k := range keys {
		id, ok, err := identity(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("read job: %w", err)
		}
		needed[id] = ok
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !needed[e.Name()] && !slices.Contains(f.Keep, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// WriteJSON writes a file whole or not at all: it is renamed into place.
func WriteJSON(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".new"), b, 0o644)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote; false when there is none.
func ReadJSON(dir, name string, v any) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	return true, nil
}
