// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var errAway = errors.New("the store is away")

// awayStore does not answer until a time.
type awayStore struct {
	object.Store
	until time.Time
}

func (s awayStore) Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	if time.Now().Before(s.until) {
		return nil, errAway
	}
	return s.Store.Open(ctx, u, offset, size)
}

// slowStore never gives a byte.
type slowStore struct{ object.Store }

func (s slowStore) Open(ctx context.Context, _ object.URI, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// awayLogs takes nothing until a time.
type awayLogs struct {
	telemetry.Logs
	until time.Time
}

func (l awayLogs) Append(ctx context.Context, at telemetry.Stream, from, to int64, events []telemetry.Event) error {
	if time.Now().Before(l.until) {
		return errAway
	}
	return l.Logs.Append(ctx, at, from, to, events)
}

func TestAStoreThatIsAway(t *testing.T) {
	for name, tt := range map[string]struct {
		away   time.Duration
		status string
		reason string
	}{
		"for a while is waited for":  {5 * time.Minute, Completed, ""},
		"for too long fails the job": {time.Hour, Failed, `InternalServerError: channel "train": the store is away`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.options.Objects = awayStore{l.store, time.Now().Add(tt.away)}
				l.run()
				l.create(request("churn", nil))
				if d := l.settled("churn"); d.TrainingJobStatus != tt.status || d.FailureReason != tt.reason {
					t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
				}
				l.clean()
			})
		})
	}
}

func TestStopCutsADownloadOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.options.Objects = slowStore{l.store}
		l.run()
		l.create(request("churn", nil))
		time.Sleep(time.Minute)
		if _, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: "churn"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := l.describe("churn"); d.TrainingJobStatus != Stopped || secondaries(d) != "Starting Downloading Stopping Stopped" || d.ModelArtifacts != nil {
			t.Errorf("%s by %s", d.TrainingJobStatus, secondaries(d))
		}
		l.clean()
	})
}

// The record is settled when the log is whole, not before.
func TestTheLogComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.options.Logs = awayLogs{l.logs, time.Now().Add(time.Minute)}
		l.run()
		l.create(request("churn", map[string]string{"FAKE_LOG": "a\nb\n"}))
		time.Sleep(50 * time.Second)
		if d := l.describe("churn"); d.SecondaryStatus != training {
			t.Errorf("without its log it is %s", d.SecondaryStatus)
		}
		l.settled("churn")
		for name, lines := range l.logs.All() {
			if strings.Join(lines, " ") != "a b" {
				t.Errorf("stream %s has %q", name, lines)
			}
		}
	})
}

// A log that nobody ever takes does not keep the model from its owner.
func TestALogThatIsNeverTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.options.Logs = awayLogs{l.logs, time.Now().Add(1000 * time.Hour)}
		l.run()
		l.create(request("churn", map[string]string{"FAKE_FILES": files("/opt/ml/model/m", "tree")}))
		if d := l.settled("churn"); d.TrainingJobStatus != Completed || l.unpack("out/churn/output/model.tar.gz")["m"] != "tree" {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
	})
}

// Many jobs at once, each with its own end.
func TestManyJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		const n = 100
		for i := range n {
			l.create(request(nth(i), map[string]string{"FAKE_RUN_FOR": "10s", "FAKE_LOG": nth(i) + "\n", "FAKE_FILES": files("/opt/ml/model/m", nth(i))}))
		}
		for i := range n {
			l.settled(nth(i))
			if got := l.unpack("out/" + nth(i) + "/output/model.tar.gz")["m"]; got != nth(i) {
				t.Errorf("the model of %s is %s's", nth(i), got)
			}
		}
		l.clean()
	})
}

func nth(i int) string { return "job-" + strings.Repeat("x", i/10) + string(rune('a'+i%10)) }
