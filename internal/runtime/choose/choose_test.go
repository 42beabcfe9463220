// SPDX-License-Identifier: Apache-2.0

package choose_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/choose"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, process, engine runtime.Runtime, prefer bool) *choose.Runtime {
	t.Helper()
	r, err := choose.New(choose.Options{Process: process, Engine: engine, Prefer: prefer})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformanceOfTheProcessSide(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime { return open(t, fake.New(), fake.New(), false) },
		runtimetest.Traits{Why: "the fakes only pretend"})
}

// imaged gives every task an image, so that it is the engine's.
type imaged struct{ runtime.Runtime }

func (r imaged) Start(ctx context.Context, t runtime.Task) error {
	t.Image = "mine:1"
	return r.Runtime.Start(ctx, t)
}

func TestConformanceOfTheEngineSide(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime { return imaged{open(t, fake.New(), fake.New(), false)} },
		runtimetest.Traits{Why: "the fakes only pretend"})
}

func names(rt *fake.Runtime) (ids []string) {
	for _, t := range rt.Tasks() {
		ids = append(ids, string(t.ID))
	}
	return ids
}

func TestWhoRunsWhat(t *testing.T) {
	for _, c := range []struct {
		name        string
		prefer      bool
		root, image string
		engine      bool
	}{
		{"a program of this machine is a process", false, "", "", false},
		{"and stays one when the engine is preferred", true, "", "", false},
		{"an image that is not unpacked is the engine's", false, "", "mine:1", true},
		{"an unpacked image is a process", false, "/images/1", "mine:1", false},
		{"unless the engine is preferred", true, "/images/1", "mine:1", true},
		{"what the engine cannot know is a process", true, "/images/1", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			process, engine := fake.New(), fake.New()
			r := open(t, process, engine, c.prefer)
			if err := r.Start(t.Context(), runtime.Task{ID: "job", Command: []string{"train"}, Root: c.root, Image: c.image}); err != nil {
				t.Fatal(err)
			}
			if got := len(engine.Tasks()) == 1; got != c.engine || len(process.Tasks())+len(engine.Tasks()) != 1 {
				t.Errorf("the process runtime has %v, the engine %v", names(process), names(engine))
			}
		})
	}
}

func TestATaskStaysWhereItIsWhenTheChoiceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		process, engine := fake.New(), fake.New()
		for _, prefer := range []bool{true, false} {
			k := runtime.Task{ID: "job", Command: []string{"train"}, Root: "/images/1", Image: "mine:1", Env: map[string]string{"FAKE_RUN_FOR": "1h", "FAKE_CPU": "1"}}
			for _, prefer := range []bool{prefer, !prefer} {
				if err := open(t, process, engine, prefer).Start(t.Context(), k); err != nil {
					t.Fatal(err)
				}
			}
			if len(process.Tasks())+len(engine.Tasks()) != 1 || (len(engine.Tasks()) == 1) != prefer {
				t.Fatalf("the process runtime has %v, the engine %v", names(process), names(engine))
			}
			r := open(t, process, engine, !prefer)
			synctest.Wait()
			time.Sleep(time.Second)
			if u, ok, err := r.Usage(t.Context(), "job"); !ok || err != nil || u.CPU != time.Second {
				t.Errorf("it has used %+v, %v, %v", u, ok, err)
			}
			if err := r.Stop(t.Context(), "job", 0); err != nil {
				t.Fatal(err)
			}
			if s, err := r.Inspect(t.Context(), "job"); s.ExitCode != 143 || err != nil {
				t.Errorf("it is %+v, %v", s, err)
			}
			if err := r.Remove(t.Context(), "job"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestEventsOfBothAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, fake.New(), fake.New(), false)
		ctx, cancel := context.WithCancel(t.Context())
		told := r.Events(ctx)
		for id, image := range map[runtime.ID]string{"process": "", "container": "mine:1"} {
			if err := r.Start(t.Context(), runtime.Task{ID: id, Command: []string{"train"}, Image: image}); err != nil {
				t.Fatal(err)
			}
		}
		var seen []runtime.ID
		for !slices.Contains(seen, "process") || !slices.Contains(seen, "container") {
			seen = append(seen, <-told)
		}
		cancel()
		for range told { // until it is closed
		}
	})
}

// away is an engine that does not answer, but knows which tasks are its own.
type away struct{ runtime.Runtime }

var errAway = errors.New("nobody answers")

func (away) Inspect(_ context.Context, id runtime.ID) (runtime.State, error) {
	if id == "container" {
		return runtime.State{}, errAway
	}
	return runtime.State{Phase: runtime.Missing}, nil
}
func (away) Start(context.Context, runtime.Task) error { return errAway }

func TestProcessesGoOnWithoutTheEngine(t *testing.T) {
	r := open(t, fake.New(), away{fake.New()}, true)
	if s, err := r.Inspect(t.Context(), "process"); s.Phase != runtime.Missing || err != nil {
		t.Fatalf("before its start it is %+v, %v", s, err)
	}
	if err := r.Start(t.Context(), runtime.Task{ID: "process", Command: []string{"train"}}); err != nil {
		t.Fatal(err)
	}
	l, err := r.Logs(t.Context(), "process", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := io.ReadAll(l); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"start":   r.Start(t.Context(), runtime.Task{ID: "container", Image: "mine:1", Command: []string{"train"}}),
		"inspect": func() error { _, err := r.Inspect(t.Context(), "container"); return err }(),
		"stop":    r.Stop(t.Context(), "container", 0),
		"logs":    func() error { _, err := r.Logs(t.Context(), "container", 0); return err }(),
		"usage":   func() error { _, _, err := r.Usage(t.Context(), "container"); return err }(),
	} {
		if !errors.Is(err, errAway) {
			t.Errorf("%s of a container without its engine: %v", what, err)
		}
	}
	if _, err := r.Logs(t.Context(), "neither", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("logs of a missing task: %v", err)
	}
}

func TestBothAreNeeded(t *testing.T) {
	if _, err := choose.New(choose.Options{Process: fake.New()}); err == nil {
		t.Error("one is enough")
	}
}
