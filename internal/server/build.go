// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting"
	"github.com/sagebrush-ml/sagebrush/internal/feature/tag"
	"github.com/sagebrush-ml/sagebrush/internal/feature/training"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/cloudwatch"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/ecr"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/iam"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/logs"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sts"
	"github.com/sagebrush-ml/sagebrush/internal/object/versity"
	"github.com/sagebrush-ml/sagebrush/internal/proxy"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
)

// build makes every part, what others need first.
func (s *Server) build(ctx context.Context) error {
	log := s.opt.Log
	reg := prometheus.NewRegistry()
	loops := reconcile.NewMetrics(reg)
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}

	db, err := sqlstore.Open(ctx, s.path("state.db"), sqlstore.Options{})
	if err != nil {
		return err
	}
	s.close = append(s.close, db)
	reg.MustRegister(counter{db})

	logStore, err := logs.New(logs.Options{Path: s.path("logs.db"), Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, logStore)
	logStore.Install(s.table)
	s.add("logs", logStore.Run)

	users, err := iam.New(iam.Options{DB: db, Account: s.creds.Account, Root: s.creds.Key()})
	if err != nil {
		return err
	}
	users.Install(s.table)
	sessions, err := sts.New(sts.Options{Directory: users})
	if err != nil {
		return err
	}
	sessions.Install(s.table)
	tags, err := tag.New(tag.Options{DB: db})
	if err != nil {
		return err
	}
	tags.Install(s.table)
	if err := s.buildRegistry(); err != nil {
		return err
	}

	metrics, err := cloudwatch.New(cloudwatch.Options{Path: s.path("metrics.db"), Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, metrics)
	metrics.Install(s.table)
	s.add("cloudwatch", metrics.Run)

	objects, err := versity.New(versity.Options{Root: s.path("s3", "data"), State: s.path("s3", "state"),
		Region: s.creds.Region, Keys: users, RootKey: s.creds.Key(), SplitHost: proxy.SplitS3Host, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, objects)
	s.add("objects", objects.Run)

	tasks, err := process.New(process.Options{Dir: s.path("tasks"), Self: []string{self, "task"}, Hide: []string{s.opt.Home}, Log: log})
	if err != nil {
		return err
	}

	train, err := training.New(training.Options{DB: db, Runtime: tasks, Images: images{self}, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Dir: s.path("work", "training"), Log: log, Registerer: reg, Loops: loops})
	if err != nil {
		return err
	}
	train.Install(s.table)
	s.add("training", train.Run)

	host := hosting.New(hosting.Options{DB: db, Runtime: tasks, Images: images{self}, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Dir: s.path("work", "hosting"), Log: log, Loops: loops})
	host.Install(s.table)
	s.add("hosting", host.Run)

	// Everything that watches the store is made: now it may be written to.
	if err := users.Ensure(ctx); err != nil {
		return err
	}
	s.front(reg, users, objects.Handler())
	return nil
}

// buildRegistry lets ECR tell which images this server can run.
func (s *Server) buildRegistry() error {
	o := ecr.Options{Endpoint: s.URL()}
	for _, r := range builtin.Repositories() {
		o.Repositories = append(o.Repositories, ecr.Repository{Registry: r.Registry, Name: r.Name, Tags: r.Tags})
	}
	registry, err := ecr.New(o)
	if err != nil {
		return err
	}
	registry.Install(s.table)
	return nil
}
