// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	runtimetest.Run(t, func(*testing.T) runtime.Runtime { return fake.New() }, runtimetest.Traits{Why: "the fake only pretends"})
}

func task(env map[string]string) runtime.Task {
	return runtime.Task{ID: "job", Command: []string{"train"}, Env: env}
}

func TestEnvironmentSteers(t *testing.T) {
	term := func(rt *fake.Runtime) { _ = rt.Stop(context.Background(), "job", 30*time.Second) }
	for _, c := range []struct {
		name  string
		env   map[string]string
		after func(*fake.Runtime)
		at    time.Duration
		want  runtime.State // times left out
		took  time.Duration // of an ended task, from Start
	}{
		{"a plain task ends at once", nil, nil, 0, runtime.State{Phase: runtime.Exited}, 0},
		{"it runs as long as it is told", map[string]string{"FAKE_RUN_FOR": "3h"}, nil, 3*time.Hour - 1, runtime.State{Phase: runtime.Running}, 0},
		{"and then ends", map[string]string{"FAKE_RUN_FOR": "3h", "FAKE_EXIT": "7", "FAKE_REASON": "OOMKilled"}, nil, 4 * time.Hour,
			runtime.State{Phase: runtime.Exited, ExitCode: 7, Reason: "OOMKilled"}, 3 * time.Hour},
		{"it may be slow to start", map[string]string{"FAKE_START_AFTER": "1m"}, nil, 59 * time.Second, runtime.State{Phase: runtime.Pending}, 0},
		{"SIGTERM ends it", map[string]string{"FAKE_RUN_FOR": "forever"}, term, 0, runtime.State{Phase: runtime.Exited, ExitCode: 143}, 0},
		{"unless it ignores it", map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1"}, term, 29 * time.Second,
			runtime.State{Phase: runtime.Running}, 0},
		{"until the grace is over", map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1"}, term, time.Minute,
			runtime.State{Phase: runtime.Exited, ExitCode: 137}, 30 * time.Second},
		{"a crash ends it", map[string]string{"FAKE_RUN_FOR": "forever"}, func(rt *fake.Runtime) { rt.Kill("job", 137, "lost") }, 0,
			runtime.State{Phase: runtime.Exited, ExitCode: 137, Reason: "lost"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, start := fake.New(), time.Now()
				if err := rt.Start(t.Context(), task(c.env)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if c.after != nil {
					c.after(rt)
				}
				time.Sleep(c.at)
				synctest.Wait()
				got, _ := rt.Inspect(t.Context(), "job")
				if got.Phase == runtime.Exited && got.Ended.Sub(start) != c.took {
					t.Errorf("it took %v, not %v", got.Ended.Sub(start), c.took)
				}
				got.Started, got.Ended = time.Time{}, time.Time{}
				if got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			})
		})
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, k := range []string{"FAKE_START_AFTER", "FAKE_RUN_FOR", "FAKE_EXIT", "FAKE_FILES", "FAKE_CPU", "FAKE_MEMORY"} {
		if err := fake.New().Start(t.Context(), task(map[string]string{k: "nonsense"})); err == nil {
			t.Errorf("%s=nonsense is accepted", k)
		}
	}
}

func TestFilesGoToTheDeepestMount(t *testing.T) {
	ml, model := t.TempDir(), t.TempDir()
	rt := fake.New()
	k := task(map[string]string{"FAKE_FILES": `{"/opt/ml/output/failure": "why", "/opt/ml/model/m.json": "{}"}`})
	k.Mounts = []runtime.Mount{{Source: ml, Target: "/opt/ml"}, {Source: model, Target: "/opt/ml/model/"}}
	if err := rt.Start(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	l, err := rt.Logs(t.Context(), "job", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(l); err != nil { // until it has ended
		t.Fatal(err)
	}
	for file, want := range map[string]string{filepath.Join(ml, "output/failure"): "why", filepath.Join(model, "m.json"): "{}"} {
		if got, err := os.ReadFile(file); string(got) != want {
			t.Errorf("%s holds %q, %v", file, got, err)
		}
	}
}

func TestServingTaskTellsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, k := fake.New(), task(map[string]string{"FAKE_ADDR": "tcp://127.0.0.1:1"})
		k.Serves = true
		if err := rt.Start(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s, _ := rt.Inspect(t.Context(), "job"); s.Phase != runtime.Running || s.Addr != "tcp://127.0.0.1:1" {
			t.Errorf("got %+v", s)
		}
		if got := rt.Tasks(); len(got) != 1 || got[0].ID != "job" {
			t.Errorf("tasks are %+v", got)
		}
	})
}

func TestUsageIsWhatTheEnvironmentSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := fake.New()
		k := task(map[string]string{"FAKE_RUN_FOR": "1h", "FAKE_CPU": "1.5", "FAKE_MEMORY": "1000", "FAKE_DISK": "20", "FAKE_GPU": "75"})
		k.GPUs = 2
		if err := rt.Start(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		u, ok, err := rt.Usage(t.Context(), "job")
		if !ok || err != nil || u.CPU != 15*time.Second || u.MemoryBytes != 1000 || u.DiskBytes != 20 || len(u.GPUs) != 2 || u.GPUs[1].Utilization != 75 {
			t.Errorf("got %+v, %v, %v", u, ok, err)
		}
		time.Sleep(time.Hour)
		if _, ok, _ := rt.Usage(t.Context(), "job"); ok {
			t.Error("an ended task is measured")
		}
		silent := task(map[string]string{"FAKE_RUN_FOR": "1h"})
		silent.ID = "silent"
		if err := rt.Start(t.Context(), silent); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, ok, _ := rt.Usage(t.Context(), "silent"); ok {
			t.Error("a task is measured that says nothing of it")
		}
		rt.Kill("silent", 1, "")
	})
}

func TestStrayHostsAndNetworksAreRefused(t *testing.T) {
	stray := task(nil)
	stray.Host, stray.Hosts = "algo-3", []string{"algo-1", "algo-2"}
	net := task(nil)
	net.Network = "some"
	for _, k := range []runtime.Task{stray, net} {
		if err := fake.New().Start(t.Context(), k); err == nil {
			t.Errorf("%+v is accepted", k)
		}
	}
}
