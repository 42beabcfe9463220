// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// collect keeps what the container has left in its working folder: the model,
// the output data, the trees that the caller asked for. It gives the place of
// the model. The same folder gives the same objects, so it may be cut off and
// called again. A job that failed has no model to speak of, but what it left is
// kept for who wants to know why.
func (s *Service) collect(ctx context.Context, j Job, failed bool) (model string, err error) {
	work := s.work(identity(j))
	ml := optml.Dir(filepath.Join(work, mlName))
	base, err := object.ParseURI(j.Doc.OutputDataConfig.S3OutputPath)
	if err != nil {
		return "", badData("%w", err)
	}
	out := base.Join(j.Key.Name, "output")
	type part struct {
		dir, at  string
		archive  string
		plain    string
		optional bool
	}
	for _, p := range []part{
		{ml.Model(), optml.ModelPath, "model.tar.gz", "model/", failed},
		{ml.OutputData(), optml.OutputDataPath, "output.tar.gz", "data/", true},
	} {
		if p.optional {
			empty, err := optml.Empty(p.dir)
			if err != nil {
				return "", fmt.Errorf("look into %s: %w", p.at, err)
			}
			if empty {
				continue
			}
		}
		if j.Doc.OutputDataConfig.CompressionType == "NONE" {
			err = s.putFiles(ctx, p.dir, out.Join(p.plain))
		} else {
			err = s.putArchive(ctx, p.dir, p.at, out.Join(p.archive))
		}
		if err != nil {
			return "", err
		}
	}
	for i, t := range trees(j) {
		dir, _ := treeSource(work, i, t)
		if err := s.putFiles(ctx, dir, t.to); err != nil {
			return "", err
		}
	}
	if j.Doc.OutputDataConfig.CompressionType == "NONE" {
		return out.Join("model/").String(), nil
	}
	return out.Join("model.tar.gz").String(), nil
}

// putArchive packs a folder into an object without a copy in between.
func (s *Service) putArchive(ctx context.Context, dir, at string, to object.URI) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := optml.Pack(w, dir, at)
		w.CloseWithError(err) // Put must not take half an archive for a whole
		packed <- err
	}()
	_, err := s.Objects.Put(ctx, to, r)
	r.CloseWithError(context.Canceled) // lets Pack end when Put did not read all
	packErr := <-packed
	if errors.Is(packErr, optml.ErrLink) {
		return badData("%w", packErr)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", to, err)
	}
	if packErr != nil {
		return fmt.Errorf("upload %s: %w", to, packErr)
	}
	return nil
}

// putFiles writes the files of a folder below a prefix.
func (s *Service) putFiles(ctx context.Context, dir string, to object.URI) error {
	return optml.Files(dir, func(name string, f *os.File) error {
		if _, err := s.Objects.Put(ctx, to.Join(name), f); err != nil {
			return fmt.Errorf("upload %s: %w", to.Join(name), err)
		}
		return nil
	})
}

// cleanUp forgets the task and the working folder of a job that has ended. What
// stays behind is found by the next Run.
func (s *Service) cleanUp(ctx context.Context, id string) {
	err := s.Runtime.Stop(ctx, taskID(id), 0) // of a job whose record is gone
	if err == nil {
		err = s.Runtime.Remove(ctx, taskID(id))
	}
	if err == nil {
		err = optml.Remove(s.work(id))
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "working folder of a training job was not removed", "task", taskID(id), "err", err)
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
		if !needed[e.Name()] {
			out = append(out, e.Name())
		}
	}
	return out, nil
}
