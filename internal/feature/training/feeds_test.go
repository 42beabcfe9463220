// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feed"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// taskNamed is the task whose ID ends so.
func (l *lab) taskNamed(suffix string) (runtime.Task, bool) {
	for _, task := range l.tasks.Tasks() {
		if strings.HasSuffix(string(task.ID), suffix) {
			return task, true
		}
	}
	return runtime.Task{}, false
}

// piping is a job whose channel is streamed.
func piping(l *lab) *sm.CreateTrainingJobInput {
	l.options.Feed = []string{"/bin/sagebrush", "feed"}
	in := request("churn", map[string]string{"FAKE_RUN_FOR": "1m"})
	in.AlgorithmSpecification.TrainingInputMode = "Pipe"
	in.InputDataConfig[0].ShuffleConfig = &sm.ShuffleConfig{Seed: new(int64(7))}
	in.InputDataConfig[0].RecordWrapperType = "RecordIO"
	return in
}

// tireless lets feeders run until they are stopped.
type tireless struct{ runtime.Runtime }

func (r tireless) Start(ctx context.Context, t runtime.Task) error {
	if strings.HasSuffix(string(t.ID), "-feed") {
		t.Env = map[string]string{"FAKE_RUN_FOR": "forever"}
	}
	return r.Runtime.Start(ctx, t)
}

func TestPipeMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		in := piping(l)
		l.run()
		l.create(in)
		synctest.Wait()
		feeder, ok := l.taskNamed("algo-1-feed")
		if !ok || len(feeder.Command) != 3 || feeder.Network != runtime.None {
			t.Fatalf("the feeder is %+v", feeder)
		}
		spec, err := feed.Load(feeder.Command[2])
		if err != nil || len(spec.Channels) != 1 {
			t.Fatalf("%+v, %v", spec, err)
		}
		c := spec.Channels[0]
		if c.Name != "train" || c.Wrap != feed.RecordIO || c.ShuffleSeed == nil || *c.ShuffleSeed != 7 {
			t.Errorf("the channel is %+v", c)
		}
		list, err := os.ReadFile(c.List)
		if err != nil || strings.Count(string(list), "\n") != 2 {
			t.Errorf("it sends %s, %v", list, err)
		}
		main, _ := l.taskNamed("algo-1")
		if fifo := outside(t, main.Mounts, "/opt/ml/input/data/train_0"); fifo != filepath.Join(c.Dir, "train_0") {
			t.Errorf("the container's FIFO is %s", fifo)
		} else if info, err := os.Stat(fifo); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			t.Errorf("%s: %v", fifo, err)
		}
		if config := seenInside(t, main.Mounts, "/opt/ml/input/config/inputdataconfig.json"); !strings.Contains(config, `"TrainingInputMode":"Pipe"`) {
			t.Errorf("inputdataconfig.json is %s", config)
		}
		if d := l.settled("churn"); d.TrainingJobStatus != Completed {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		l.clean()
	})
}

// A stream that is cut off must not look like the end of the data.
func TestFeederThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		data bool
		want string
	}{
		"the data's fault":    {true, "ClientError: Data download failed: no such object"},
		"the machine's fault": {false, "InternalServerError: The input of algo-1 was cut off: no such object"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				in := piping(l)
				l.options.Runtime = tireless{l.tasks}
				in.AlgorithmSpecification.ContainerEntrypoint = []string{"/bin/true"}
				l.run()
				l.create(in)
				time.Sleep(time.Second)
				main, _ := l.taskNamed("algo-1")
				feeder, ok := l.taskNamed("algo-1-feed")
				if !ok {
					t.Fatal("there is no feeder")
				}
				spec, err := feed.Load(feeder.Command[2])
				if err != nil {
					t.Fatal(err)
				}
				text := `{"Message": "no such object", "Data": ` + map[bool]string{true: "true", false: "false"}[tt.data] + `}`
				if err := os.WriteFile(spec.Failure, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				l.tasks.Kill(feeder.ID, 1, "")
				d := l.settled("churn")
				if d.TrainingJobStatus != Failed || !strings.HasPrefix(d.FailureReason, tt.want) {
					t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
				}
				if took := d.TrainingEndTime.Sub(d.TrainingStartTime.Time); took > 30*time.Second {
					t.Errorf("%s went on for %v", main.ID, took)
				}
				l.clean()
			})
		})
	}
}
