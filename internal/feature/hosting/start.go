// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// startInstance starts one container of an instance. What goes wrong for good
// is noted for decide, which fails the deployment.
func (s *Service) startInstance(ctx context.Context, o *owner, at spot) {
	id := o.taskID(at)
	err := s.tryStart(ctx, o, at)
	if err == nil {
		s.wake(o.key)
		return
	}
	s.Log.Error("serving task not started", "name", o.key.Name, "task", string(id), "err", err)
	s.mu.Lock()
	in := s.instances[id]
	s.mu.Unlock()
	if in == nil {
		return
	}
	in.mu.Lock()
	in.crashes++
	in.notUntil = s.Now().Add(min(crashBackoff<<min(in.crashes-1, 10), backoffLimit))
	if reason, final := serving.Final(err); final {
		in.problem = fmt.Sprintf("Production variant %s: %s", in.variant, reason)
	}
	in.mu.Unlock()
	s.wake(o.key)
}

func (s *Service) tryStart(ctx context.Context, o *owner, at spot) error {
	_, v := o.at(at)
	dir, home := s.foldersOf(o, at)
	return s.launcher.Start(ctx, serving.Launch{ID: o.taskID(at), Region: o.key.Region, Name: o.endpoint, Model: &v.Model, Index: at.container,
		Dir: dir, Home: home, InstanceType: v.InstanceType, MemoryBytes: v.Memory, MilliCPU: v.CPU,
		Progress: telemetry.Stream{Account: o.key.Account, Region: o.key.Region,
			Group: o.logGroup(), Name: v.Name + "/image-preparation"}})
}

// foldersOf are the folder that a container shares with those of other
// instances, and its own, which is its /opt/ml.
func (s *Service) foldersOf(o *owner, at spot) (dir, home string) {
	dir = filepath.Join(s.fleetDir(o.Seed, at.generation), fmt.Sprintf("v%d", at.variant))
	home = filepath.Join(dir, fmt.Sprintf("i%d", at.index))
	if at.container > 0 {
		dir, home = filepath.Join(dir, fmt.Sprintf("c%d", at.container)), filepath.Join(dir, fmt.Sprintf("i%d-c%d", at.index, at.container))
	}
	return dir, home
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
