// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// A warm pool is what is kept of a job's instances for KeepAlivePeriodInSeconds
// after its end. Here instances start at once in any case; what is worth keeping
// is the cache folder that containers fill, SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY.
// It is <Dir>/_pools/<pool>/<host>, and pool.json beside tells whose it is. The
// pool has the name of the identity of the job that made it. Source: "Train
// Using Amazon SageMaker Managed Warm Pools".
const (
	poolsName = "_pools"
	poolFile  = "pool.json"
	poolPath  = "/opt/ml/sagemaker/warmpoolcache"
)

// The states of a warm pool.
const (
	poolInUse      = "InUse"
	poolAvailable  = "Available"
	poolReused     = "Reused"
	poolTerminated = "Terminated"
)

// pools are the warm pools that wait for a job, by name.
type pools struct {
	kick chan struct{}
	mu   *sync.Mutex
	free map[string]freePool
}

type freePool struct {
	Key   resource.Key // of the job that used it last
	Fits  string       // what a job must ask for
	Since time.Time
	Until time.Time
}

func newPools() pools {
	return pools{kick: make(chan struct{}, 1), mu: &sync.Mutex{}, free: map[string]freePool{}}
}

// wake lets keepPools look again.
func (p pools) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (s *Service) poolDir(pool string) string { return filepath.Join(s.Dir, poolsName, pool) }

// poolMount shows a host its cache.
func (s *Service) poolMount(j Job, m machine) runtime.Mount {
	return runtime.Mount{Source: filepath.Join(s.poolDir(j.Private.Pool), m.Host), Target: poolPath}
}

// keepAlive is how long the job's instances are kept.
func keepAlive(j Job) time.Duration {
	if j.Doc.ResourceConfig == nil {
		return 0
	}
	return time.Duration(value(j.Doc.ResourceConfig.KeepAlivePeriodInSeconds)) * time.Second
}

// fits is what two jobs must have in common for the second to get the
// instances of the first.
func fits(j Job) string {
	r := j.Doc.ResourceConfig
	b, err := json.Marshal([]any{j.Key.Account, j.Key.Region, j.Doc.RoleArn, machines(j), r.VolumeKmsKeyId, r.VolumeSizeInGB,
		j.Doc.VpcConfig, isTrue(j.Doc.EnableInterContainerTrafficEncryption), isTrue(j.Doc.EnableNetworkIsolation)})
	if err != nil {
		return j.ARN // fits nothing else
	}
	return string(b)
}

// claim finds the job a warm pool, or makes it one when it wants its instances
// kept. It answers the pool's name, "" for none, and may be called again.
func (s *Service) claim(ctx context.Context, j Job) (string, error) {
	want := fits(j)
	s.pools.mu.Lock()
	name := ""
	for n, p := range s.pools.free {
		if p.Fits == want && (name == "" || n < name) {
			name = n
		}
	}
	free := s.pools.free[name]
	delete(s.pools.free, name)
	s.pools.mu.Unlock()
	if name != "" {
		err := s.endPool(ctx, name, free, poolReused, j.Key.Name)
		if err == nil {
			return name, s.keepPool(j, name)
		}
		if !errors.Is(err, errPoolGone) {
			return "", err
		}
	}
	if keepAlive(j) == 0 {
		return "", nil
	}
	name = identity(j)
	return name, s.keepPool(j, name)
}

// keepPool makes the pool's folders and writes down whose it is.
func (s *Service) keepPool(j Job, name string) error {
	for _, host := range hostNames(j) {
		dir := filepath.Join(s.poolDir(name), host)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make warm pool: %w", err)
		}
	}
	return taskgroup.WriteJSON(s.poolDir(name), poolFile, j.Key)
}

var errPoolGone = errors.New("the warm pool was given up")

// endPool writes into the record of the job that used a pool last what became
// of it.
func (s *Service) endPool(ctx context.Context, name string, free freePool, status, by string) error {
	_, err := s.jobs.Edit(ctx, free.Key, func(j *Job) error {
		if j.Private.Pool != name || j.Doc.WarmPoolStatus == nil || j.Doc.WarmPoolStatus.Status != poolAvailable {
			return errPoolGone
		}
		kept := int64(time.Since(free.Since)/time.Second) * int64(len(machines(*j)))
		j.Doc.WarmPoolStatus = &sm.WarmPoolStatus{Status: status, ReusedByJob: by, ResourceRetainedBillableTimeInSeconds: &kept}
		return nil
	})
	if errors.Is(err, resource.ErrNotFound) {
		return errPoolGone
	}
	return err
}

// retire says, as the job ends, what becomes of its pool.
func (s *Service) retire(j *Job, now time.Time) {
	if j.Private.Pool == "" {
		return
	}
	status := poolTerminated
	if keep := keepAlive(*j); keep > 0 {
		status = poolAvailable
		s.pools.mu.Lock()
		s.pools.free[j.Private.Pool] = freePool{j.Key, fits(*j), now, now.Add(keep)}
		s.pools.mu.Unlock()
	}
	j.Doc.WarmPoolStatus = &sm.WarmPoolStatus{Status: status}
}

// keepPools gives pools up whose time is over, until ctx ends. First it finds
// those that an earlier server has left.
func (s *Service) keepPools(ctx context.Context) {
	s.findPools(ctx)
	for {
		next := s.endPools(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.pools.kick:
		case <-time.After(next):
		}
	}
}

// findPools reads the folders of pools: one that waits is remembered, one that
// no job has is deleted.
func (s *Service) findPools(ctx context.Context) {
	dirs, err := os.ReadDir(filepath.Join(s.Dir, poolsName))
	if err != nil {
		return // there is none
	}
	for _, d := range dirs {
		var key resource.Key
		_, err := taskgroup.ReadJSON(s.poolDir(d.Name()), poolFile, &key)
		var j Job
		if err == nil {
			j, err = s.jobs.Get(ctx, key)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && j.Private.Pool == d.Name() && !life.Settled(j.Status):
		case err == nil && j.Private.Pool == d.Name() && j.Doc.WarmPoolStatus != nil && j.Doc.WarmPoolStatus.Status == poolAvailable:
			since := j.Doc.TrainingEndTime.Time
			s.pools.mu.Lock()
			s.pools.free[d.Name()] = freePool{key, fits(j), since, since.Add(keepAlive(j))}
			s.pools.mu.Unlock()
		default:
			s.removePool(ctx, d.Name())
		}
	}
}

// endPools gives up the pools whose time is over and tells how soon the next is
// due.
func (s *Service) endPools(ctx context.Context) time.Duration {
	now, next := time.Now(), time.Hour
	over := map[string]freePool{}
	s.pools.mu.Lock()
	for name, p := range s.pools.free {
		if rest := p.Until.Sub(now); rest > 0 {
			next = min(next, rest)
		} else {
			over[name] = p
			delete(s.pools.free, name)
		}
	}
	s.pools.mu.Unlock()
	for name, p := range over {
		switch err := s.endPool(ctx, name, p, poolTerminated, ""); {
		case err == nil, errors.Is(err, errPoolGone):
			s.removePool(ctx, name)
		case ctx.Err() == nil:
			s.Log.WarnContext(ctx, "warm pool was not given up", "pool", name, "err", err)
			s.pools.mu.Lock()
			s.pools.free[name] = p
			s.pools.mu.Unlock()
			next = min(next, time.Second)
		}
	}
	return next
}

func (s *Service) removePool(ctx context.Context, name string) {
	if err := optml.Remove(s.poolDir(name)); err != nil {
		s.Log.WarnContext(ctx, "folder of a warm pool was not removed", "pool", name, "err", err)
	}
}

// poolChanged is UpdateTrainingJob's change of the time for which instances are
// kept.
func (s *Service) poolChanged(j Job) {
	s.pools.mu.Lock()
	if p, ok := s.pools.free[j.Private.Pool]; ok && p.Key == j.Key {
		p.Until = p.Since.Add(keepAlive(j))
		s.pools.free[j.Private.Pool] = p
	}
	s.pools.mu.Unlock()
	s.pools.wake()
}

// waits says that a job that has ended holds a warm pool.
func waits(j Job) bool {
	return j.Doc.WarmPoolStatus != nil && slices.Contains([]string{poolAvailable, poolInUse}, j.Doc.WarmPoolStatus.Status)
}
