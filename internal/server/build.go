// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/async"
	"github.com/sagebrush-ml/sagebrush/internal/feature/processing"
	"github.com/sagebrush-ml/sagebrush/internal/feature/shadowtest"
	"github.com/sagebrush-ml/sagebrush/internal/feature/tag"
	"github.com/sagebrush-ml/sagebrush/internal/feature/training"
	"github.com/sagebrush-ml/sagebrush/internal/feature/transform"
	"github.com/sagebrush-ml/sagebrush/internal/feature/tuning"
	"github.com/sagebrush-ml/sagebrush/internal/jumpstart"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/autoscaling"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/cloudwatch"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/iam"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/logs"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sns"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sqs"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sts"
	"github.com/sagebrush-ml/sagebrush/internal/object/versity"
	"github.com/sagebrush-ml/sagebrush/internal/proxy"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
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
	queues, err := sqs.New(sqs.Options{Path: s.path("sqs.db"), URL: s.URL, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, queues)
	s.drain = append(s.drain, queues.Drain)
	queues.Install(s.table)
	s.add("sqs", queues.Run)
	topics, err := sns.New(sns.Options{Path: s.path("sns.db"), URL: s.URL, Queues: queues, Own: s.listensOn, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, topics)
	topics.Install(s.table)
	s.add("sns", topics.Run)
	scaling, err := autoscaling.New(autoscaling.Options{Path: s.path("autoscaling.db"), Table: s.table, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, scaling)
	scaling.Install(s.table)
	s.add("autoscaling", scaling.Run)
	metrics, err := cloudwatch.New(cloudwatch.Options{Path: s.path("metrics.db"), Actions: actions{topics, scaling}, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, metrics)
	metrics.Install(s.table)
	s.add("cloudwatch", metrics.Run)

	objects, err := versity.New(versity.Options{Root: s.path("s3", "data"), State: s.path("s3", "state"),
		Region: s.creds.Region, Keys: users, RootKey: s.creds.Key(), SplitHost: proxy.SplitS3Host, Public: jumpstart.Catalog{}, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, objects)
	s.add("objects", objects.Run)

	catalog, shelf, tasks, err := s.buildImages(ctx, db, objects, self)
	if err != nil {
		return err
	}
	door := s.inner.Addr().String()
	around := surroundings{url: "http://" + door, sessions: sessions}
	train, err := training.New(training.Options{DB: db, Runtime: tasks, Images: catalog, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Dir: s.path("work", "training"), Env: around.training, Reach: []string{door},
		FileSystems: s.opt.FileSystems, Feed: []string{self, "feed"}, Spot: training.Spot{Every: s.opt.SpotInterruptEvery, Pause: s.opt.SpotPause},
		Log: log, Registerer: reg, Loops: loops})
	if err != nil {
		return err
	}
	train.Install(s.table)
	s.add("training", train.Run)

	process, err := processing.New(processing.Options{DB: db, Runtime: tasks, Images: catalog, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Dir: s.path("work", "processing"), Env: around.processing, Reach: []string{door}, Log: log, Loops: loops})
	if err != nil {
		return err
	}
	process.Install(s.table)
	s.add("processing", process.Run)

	queue, err := async.Open(ctx, async.Options{Path: s.path("async.db"), Objects: objects, Notifier: topics, Metrics: metrics, Logs: logStore, Log: log})
	if err != nil {
		return err
	}
	s.close = append(s.close, queue)
	host := hosting.New(hosting.Options{DB: db, Runtime: tasks, Images: catalog, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Table: s.table, Dir: s.path("work", "hosting"), Env: around.serving, Reach: []string{door}, Async: queue, Log: log, Loops: loops,
		ServerlessIdle: s.opt.ServerlessIdle})
	host.Install(s.table)
	s.add("hosting", host.Run)

	tests := shadowtest.New(shadowtest.Options{DB: db, Table: s.table, Roles: users, Log: log, Loops: loops})
	tests.Install(s.table)
	s.add("shadowtest", tests.Run)

	batch, err := transform.New(transform.Options{DB: db, Runtime: tasks, Images: catalog, Objects: objects, Logs: logStore,
		Metrics: metrics, Roles: users, Dir: s.path("work", "transform"), Env: around.serving, Reach: []string{door}, Log: log, Loops: loops})
	if err != nil {
		return err
	}
	batch.Install(s.table)
	s.add("transform", batch.Run)

	tune := tuning.New(tuning.Options{DB: db, Table: s.table, Images: catalog, Roles: users, Curve: train.Curve, Log: log, Loops: loops})
	tune.Install(s.table)
	s.add("tuning", tune.Run)

	// Everything that watches the store is made: now it may be written to.
	if err := users.Ensure(ctx); err != nil {
		return err
	}
	s.front(reg, users, objects.Handler(), shelf, map[string]func(context.Context, []byte) (any, error){
		"InterruptTrainingJob": interrupt(train),
	}, topics)
	return nil
}
