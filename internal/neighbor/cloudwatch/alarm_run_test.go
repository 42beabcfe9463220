// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// told hands on which actions are done.
type told chan string

func (c told) Alarm(_ context.Context, _, _, action string, _ []byte) error {
	c <- action
	return nil
}

func TestRunEvaluatesAtTheEndOfAPeriod(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	synctest.Test(t, func(t *testing.T) {
		actions := make(told, 10)
		s, err := New(Options{Path: path, Actions: actions})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Service: s, table: op.New()}
		s.Install(b.table)
		ctx, stop := context.WithCancel(caller)
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()

		begun := time.Now() // midnight
		in := lossAbove("high", 10, 1)
		in.AlarmActions = []string{"arn:aws:sns:us-east-1:123456789012:t"}
		call(t, b, wcw.PutMetricAlarm, in)
		time.Sleep(4 * time.Second)
		b.put(t, telemetry.Datum{Name: "loss", Value: 6, Dimensions: []telemetry.Dimension{{Name: "TrainingJobName", Value: "j"}}})
		if action := <-actions; action != in.AlarmActions[0] {
			t.Errorf("action %q", action)
		}
		if late := time.Since(begun) - 10*time.Second; late < 0 || late > 1500*time.Millisecond {
			t.Errorf("the alarm came %v after the end of the period", late)
		}
		if got := b.alarm(t, "high").StateValue; got != stateAlarm {
			t.Errorf("the alarm is %s", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
