// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
)

// Mirror keeps the objects below a prefix like the files of a folder that a
// container writes to: checkpoints, continuous outputs. It is for one goroutine
// at a time. After a restart a new one finds out by itself what is there.
//
// A file that was deleted locally is deleted in the store, as the service does
// with checkpoints; objects that came to be there otherwise are left alone.
// Source: "Checkpoints in Amazon SageMaker".
type Mirror struct {
	mover Mover
	dir   string
	to    object.URI
	keep  bool

	listed bool
	sent   map[string]stamp // what the store has, by name
	last   map[string]stamp // what the pass before has seen
}

type stamp struct {
	size     int64
	modified time.Time
}

// NewMirror makes a mirror of dir. With keep nothing is ever deleted.
func (m Mover) NewMirror(dir string, to object.URI, keep bool) *Mirror {
	return &Mirror{mover: m, dir: dir, to: to, keep: keep, sent: map[string]stamp{}}
}

// Keep passes over the mirrors again and again until ctx ends. What fails is
// told, and tried again.
func Keep(ctx context.Context, all []*Mirror, every time.Duration, failed func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, m := range all {
			if err := m.Pass(ctx, false); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Pass uploads what has changed since the pass before, and deletes what is
// gone. A file that changed since that pass is left for the next, since it may
// be half written; the last pass, when nobody writes any more, takes all.
func (r *Mirror) Pass(ctx context.Context, last bool) error {
	if !r.listed {
		if err := r.list(ctx); err != nil {
			return err
		}
		r.listed = true
	}
	now := map[string]stamp{}
	err := optml.Files(r.dir, func(name string, f *os.File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		at := stamp{info.Size(), info.ModTime()}
		now[name] = at
		if r.sent[name] == at || !last && r.last[name] != at {
			return nil
		}
		if _, err := r.mover.Objects.Put(ctx, r.to.Join(name), f); err != nil {
			return fmt.Errorf("upload %s: %w", r.to.Join(name), err)
		}
		r.sent[name] = at
		return nil
	})
	if err != nil && !last && errors.Is(err, fs.ErrNotExist) { // deleted while we looked
		err = nil
	}
	if err != nil {
		return err
	}
	r.last = now
	if r.keep {
		return nil
	}
	for name := range r.sent {
		if _, there := now[name]; there {
			continue
		}
		if err := r.mover.Objects.Delete(ctx, r.to.Join(name)); err != nil {
			return fmt.Errorf("delete %s: %w", r.to.Join(name), err)
		}
		delete(r.sent, name)
	}
	return nil
}

// list takes for sent what the store has already: an object as large as its
// file and no older. That is what was restored when the job began, and what a
// mirror before this one has uploaded.
func (r *Mirror) list(ctx context.Context) error {
	there := map[string]object.Info{}
	base := r.to.Join("")
	err := object.All(ctx, r.mover.Objects, base, func(o object.Info) error {
		there[nameUnder(r.to.Key, o.URI.Key)] = o
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", base, err)
	}
	return optml.Files(r.dir, func(name string, f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if o, ok := there[name]; ok && o.Size == info.Size() && !o.Modified.Before(info.ModTime()) {
			r.sent[name] = stamp{info.Size(), info.ModTime()}
		}
		return nil
	})
}
