// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"context"
	_ "embed" // the schema
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

//go:embed schema.sql
var schema string

// Options of a Service. Path is required.
type Options struct {
	Path string           // of the SQLite file; made when missing
	Log  *slog.Logger     // nil: slog.Default
	Now  func() time.Time // nil: time.Now

	Actions   Actions       // of alarms; nil: they are told in the history and not done
	AlarmTick time.Duration // how often Run looks which alarms are due; 0: twice a second
}

// Service keeps metrics. It is safe for concurrent use.
type Service struct {
	file *sqlfile.File
	log  *slog.Logger
	now  func() time.Time

	alarms  *alarms
	actions Actions
	tick    time.Duration

	// mu guards what is gathered and not yet written.
	mu       sync.Mutex
	known    map[string]*series
	gathered map[cell]*stats
	key      []byte // scratch

	// flushing holds one token: who has it writes what was gathered, and owns
	// the ids of series.
	flushing chan struct{}
}

// New opens the file. It starts nothing; Close it at the end.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f, err := sqlfile.Open(context.Background(), o.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open metric file %q: %w", o.Path, err)
	}
	s := &Service{file: f, log: o.Log, now: o.Now, alarms: newAlarms(), actions: o.Actions, tick: cmp.Or(o.AlarmTick, alarmEvery), known: map[string]*series{}, gathered: map[cell]*stats{}, flushing: make(chan struct{}, 1)}
	s.flushing <- struct{}{}
	if err := s.loadAlarms(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("open metric file %q: %w", o.Path, err), f.Close())
	}
	return s, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wcw.PutMetricData, s.putMetricData)
	op.Handle(t, wcw.ListMetrics, s.listMetrics)
	op.Handle(t, wcw.GetMetricStatistics, s.getMetricStatistics)
	op.Handle(t, wcw.GetMetricData, s.getMetricData)

	op.Handle(t, wcw.PutMetricAlarm, s.putMetricAlarm)
	op.Handle(t, wcw.PutCompositeAlarm, s.putCompositeAlarm)
	op.Handle(t, wcw.DescribeAlarms, s.describeAlarms)
	op.Handle(t, wcw.DescribeAlarmsForMetric, s.describeAlarmsForMetric)
	op.Handle(t, wcw.DescribeAlarmHistory, s.describeAlarmHistory)
	op.Handle(t, wcw.DeleteAlarms, s.deleteAlarms)
	op.Handle(t, wcw.SetAlarmState, s.setAlarmState)
	op.Handle(t, wcw.EnableAlarmActions, s.enableAlarmActions)
	op.Handle(t, wcw.DisableAlarmActions, s.disableAlarmActions)
	op.Handle(t, wcw.TagResource, s.tagResource)
	op.Handle(t, wcw.UntagResource, s.untagResource)
	op.Handle(t, wcw.ListTagsForResource, s.listTagsForResource)
}

const (
	flushEvery = 500 * time.Millisecond
	ageEvery   = 10 * time.Minute
	alarmEvery = 500 * time.Millisecond
)

// Run writes what was gathered twice a second, lets old samples age, evaluates
// alarms and does their actions, until ctx ends. It answers nil then: what
// fails is logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() {
		s.every(ctx, s.tick, nil, "alarm evaluation failed", s.Evaluate)
	})
	loops.Go(func() { // apart, since whom an alarm calls may be slow
		s.every(ctx, actEvery, s.alarms.kick, "alarm actions failed", s.Act)
	})
	flush, age := time.NewTicker(flushEvery), time.NewTicker(ageEvery)
	defer flush.Stop()
	defer age.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			err = s.Flush(ctx)
		case <-age.C:
			err = errors.Join(s.Age(ctx), s.forgetHistory(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("metric upkeep failed", "err", err)
		}
	}
}

// every calls f each so often and when it is kicked.
func (s *Service) every(ctx context.Context, d time.Duration, kick <-chan struct{}, failed string, f func(context.Context) error) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-kick:
		}
		if err := f(ctx); err != nil && ctx.Err() == nil {
			s.log.Error(failed, "err", err)
		}
	}
}

// Close writes what was gathered and closes the file; calls after it fail. It
// may be called again.
func (s *Service) Close() error {
	err := s.Flush(context.Background())
	if errors.Is(err, sqlfile.ErrClosed) {
		err = nil
	}
	return errors.Join(err, s.file.Close())
}

// The service's own faults; all are 400.

func invalid(format string, args ...any) error {
	return fault.New("InvalidParameterValue", http.StatusBadRequest, format, args...)
}

func combined(format string, args ...any) error {
	return fault.New("InvalidParameterCombination", http.StatusBadRequest, format, args...)
}

// missing has the code that clients see; the model calls the exception
// MissingRequiredParameterException.
func missing(format string, args ...any) error {
	return fault.New("MissingParameter", http.StatusBadRequest, format, args...)
}

func validation(format string, args ...any) error {
	return fault.New("ValidationError", http.StatusBadRequest, format, args...)
}

func errToken() error {
	return fault.New("InvalidNextToken", http.StatusBadRequest, "The service cannot parse the NextToken value in the request.")
}
