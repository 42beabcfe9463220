// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// crash lets a service die at one of its effects on the world: before the n-th
// one takes place, or after it and before the service learns of it. From then
// on the service reaches nothing.
type crash struct {
	at    int  // 0 for never
	after bool // the effect takes place
	die   context.CancelFunc

	mu    sync.Mutex
	dead  bool
	trail []string // the effects up to the crash
	begun int      // tasks that were begun by a Start
}

var errDead = errors.New("the server is dead")

func (c *crash) effect(what string, do func() error) error {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return errDead
	}
	c.trail = append(c.trail, what)
	now := c.at > 0 && len(c.trail) == c.at
	c.dead = now
	c.mu.Unlock()
	if !now {
		return do()
	}
	defer c.die()
	if c.after {
		return errors.Join(do(), errDead)
	}
	return errDead
}

func (c *crash) alive() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errDead
	}
	return nil
}

func (c *crash) effects() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.trail)
}

func (c *crash) begins() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

type crashDB struct {
	resource.DB
	*crash
}

func (d crashDB) Write(ctx context.Context, fn func(resource.Tx) error) error {
	return d.effect("write", func() error { return d.DB.Write(ctx, fn) })
}

type crashRuntime struct {
	runtime.Runtime
	*crash
}

func (r crashRuntime) Start(ctx context.Context, t runtime.Task) error {
	return r.effect("start", func() error {
		if s, _ := r.Inspect(ctx, t.ID); s.Phase == runtime.Missing {
			r.mu.Lock()
			r.begun++
			r.mu.Unlock()
		}
		return r.Runtime.Start(ctx, t)
	})
}

func (r crashRuntime) Stop(ctx context.Context, id runtime.ID, grace time.Duration) error {
	return r.effect("stop", func() error { return r.Runtime.Stop(ctx, id, grace) })
}

func (r crashRuntime) Remove(ctx context.Context, id runtime.ID) error {
	return r.effect("remove", func() error { return r.Runtime.Remove(ctx, id) })
}

type crashStore struct {
	object.Store
	*crash
}

func (s crashStore) Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	var r io.ReadCloser
	err := s.effect("open", func() (err error) {
		r, err = s.Store.Open(ctx, u, offset, size)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s crashStore) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	var info object.Info
	err := s.effect("put", func() (err error) {
		info, err = s.Store.Put(ctx, u, r)
		return err
	})
	return info, err
}

type crashLogs struct {
	telemetry.Logs
	*crash
}

func (l crashLogs) Append(ctx context.Context, at telemetry.Stream, from, to int64, events []telemetry.Event) error {
	return l.effect("append", func() error { return l.Logs.Append(ctx, at, from, to, events) })
}

type crashMetrics struct {
	telemetry.Metrics
	*crash
}

func (m crashMetrics) Put(ctx context.Context, account, region, namespace string, data []telemetry.Datum) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Metrics.Put(ctx, account, region, namespace, data)
}

// crashing makes and runs a service that dies as c says.
func (l *lab) crashing(c *crash) {
	whole := l.options
	defer func() { l.options = whole }()
	o := &l.options
	o.DB, o.Runtime, o.Objects = crashDB{o.DB, c}, crashRuntime{o.Runtime, c}, crashStore{o.Objects, c}
	o.Logs, o.Metrics = crashLogs{o.Logs, c}, crashMetrics{o.Metrics, c}
	ctx, die := context.WithCancel(l.t.Context())
	c.die = die
	l.runUntil(ctx)
}

// A service that dies at any of its effects and is started again ends with one
// model, one run of the task, each log line once, and each state once.
func TestRestartAnywhere(t *testing.T) {
	scenarios := []struct {
		name  string
		env   map[string]string
		stop  bool
		want  string
		files map[string]string
	}{
		{"a job that completes", map[string]string{"FAKE_RUN_FOR": "5s", "FAKE_LOG": "one\n\ttrain-auc:0.5\ntwo\n",
			"FAKE_FILES": files("/opt/ml/model/m", "tree", "/opt/ml/output/data/d", "1")}, false,
			"Starting Downloading Training Uploading Completed", map[string]string{"m": "tree"}},
		{"a job that fails", map[string]string{"FAKE_EXIT": "1", "FAKE_LOG": "one\n\ttrain-auc:0.5\ntwo\n", "FAKE_FILES": files("/opt/ml/model/m", "half")}, false,
			"Starting Downloading Training Uploading Failed", map[string]string{"m": "half"}},
		{"a job that is stopped", map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1", "FAKE_LOG": "one\n\ttrain-auc:0.5\ntwo\n"}, true,
			"Starting Downloading Training Stopping Stopped", map[string]string{}},
	}
	for _, sc := range scenarios {
		total := 0
		run := func(t *testing.T, at int, after bool) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.run()
				l.stop()
				l.create(request("churn", sc.env))
				first := &crash{at: at, after: after}
				l.crashing(first)
				time.Sleep(10 * time.Second)
				stopped := !sc.stop
				if !stopped && first.alive() == nil { // stopped now, or by the next service
					_, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: "churn"})
					stopped = err == nil || errors.Is(err, errDead) && after
				}
				time.Sleep(150 * time.Second)
				synctest.Wait()
				if at == 0 {
					total = len(first.effects())
				} else if first.alive() == nil {
					t.Fatalf("it did not die at one of %v", first.effects())
				}
				second := &crash{}
				l.crashing(second)
				if !stopped {
					time.Sleep(10 * time.Second)
					if _, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: "churn"}); err != nil {
						t.Fatal(err)
					}
				}
				d := l.settled("churn")
				where := fmt.Sprintf("after %v", first.effects())
				if got := secondaries(d); got != sc.want {
					t.Errorf("%s: it came through %s", where, got)
				}
				if got := l.unpack("out/churn/output/model.tar.gz"); !maps.Equal(got, sc.files) {
					t.Errorf("%s: the model is %v", where, got)
				}
				if n := first.begins() + second.begins(); n != 1 {
					t.Errorf("%s: the task was begun %d times", where, n)
				}
				for name, lines := range l.logs.All() {
					if !slices.Equal(lines, []string{"one", "#011train-auc:0.5", "two"}) {
						t.Errorf("%s: stream %s has %q", where, name, lines)
					}
				}
				if n := len(l.logs.All()); n != 1 {
					t.Errorf("%s: %d streams", where, n)
				}
				if m := d.FinalMetricDataList; len(m) != 1 || *m[0].Value != 0.5 {
					t.Errorf("%s: metrics are %+v", where, m)
				}
				if n := len(l.metrics.all()); n > 1 {
					t.Errorf("%s: the metric was published %d times", where, n)
				}
				l.clean()
			})
		}
		t.Run(sc.name, func(t *testing.T) { run(t, 0, false) })
		if total < 8 {
			t.Fatalf("%s has only %d effects", sc.name, total)
		}
		for at := 1; at <= total; at++ {
			t.Run(fmt.Sprintf("%s, dead before effect %d", sc.name, at), func(t *testing.T) { run(t, at, false) })
			t.Run(fmt.Sprintf("%s, dead after effect %d", sc.name, at), func(t *testing.T) { run(t, at, true) })
		}
	}
}

// Stopping the service is not stopping its jobs.
func TestTasksOutliveTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("churn", map[string]string{"FAKE_RUN_FOR": "1h", "FAKE_LOG": "a\n"}))
		time.Sleep(time.Minute)
		l.stop()
		time.Sleep(time.Minute)
		if n := len(l.tasks.Tasks()); n != 1 {
			t.Fatalf("%d tasks", n)
		}
		if d := l.describe("churn"); d.SecondaryStatus != training {
			t.Errorf("it is %s", d.SecondaryStatus)
		}
		l.run()
		if d := l.settled("churn"); d.TrainingJobStatus != Completed || *d.TrainingTimeInSeconds < 3600 || *d.TrainingTimeInSeconds > 3602 {
			t.Errorf("%s after %d s", d.TrainingJobStatus, *d.TrainingTimeInSeconds)
		}
		l.clean()
	})
}

// A machine that restarts takes the task with it.
func TestLostTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("churn", map[string]string{"FAKE_RUN_FOR": "1h"}))
		time.Sleep(time.Minute)
		l.tasks.Kill(l.tasks.Tasks()[0].ID, 137, "lost")
		if d := l.settled("churn"); d.TrainingJobStatus != Failed || d.FailureReason != "InternalServerError: The training container was lost: lost" {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		l.clean()
	})
}
