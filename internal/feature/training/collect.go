// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
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

// leftovers are the working folders that no unsettled job has.
func (s *Service) leftovers(ctx context.Context) ([]string, error) {
	out, err := taskgroup.Leftovers(ctx, s.folders, s.jobs.Unsettled, func(ctx context.Context, k resource.Key) (string, bool, error) {
		j, err := s.jobs.Get(ctx, k)
		if errors.Is(err, resource.ErrNotFound) { // it ended and was deleted just now
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		return identity(j), true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	return out, nil
}
