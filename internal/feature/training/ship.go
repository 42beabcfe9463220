// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// logGroup is the log group of all training jobs, and the namespace of their
// metrics.
const logGroup = "/aws/sagemaker/TrainingJobs"

// ship moves the log of one job's task and reads its metrics on the way. Only
// the goroutine that ships uses scraper until ended is closed.
type ship struct {
	scraper *telemetry.Scraper
	ended   chan struct{}
}

func (s *ship) done() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// stream is the name of the job's one log stream.
func stream(j Job, task runtime.State) string {
	if j.Private.Stream != "" {
		return j.Private.Stream
	}
	// A task that could not begin has a log all the same.
	at := task.Started
	if at.IsZero() {
		if at = task.Ended; at.IsZero() {
			at = j.Created
		}
	}
	return fmt.Sprintf("%s/%s-%d", j.Key.Name, host, at.Unix())
}

// ship gives the shipment of a job's log, which it starts when there is none.
// It goes on until the log is shipped or ctx, that of Run, is done.
func (s *Service) ship(ctx context.Context, j Job, task runtime.State) *ship {
	id := identity(j)
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.ships[id]; sh != nil {
		return sh
	}
	sh := &ship{ended: make(chan struct{})}
	s.ships[id] = sh
	s.shipping.Go(func() { s.carry(ctx, j, id, stream(j, task), sh) })
	return sh
}

// How often a shipment that failed is tried again, and how long the first wait
// is. Each wait is twice the one before: all together they last about 17 min.
const (
	shipAttempts = 12
	shipBackoff  = 250 * time.Millisecond
)

// carry ships until the log is whole. A log that cannot be shipped is given up
// in the end: the model is worth more than its log.
func (s *Service) carry(ctx context.Context, j Job, id, name string, sh *ship) {
	at := telemetry.Stream{Account: j.Key.Account, Region: j.Key.Region, Group: logGroup, Name: name}
	for attempt := range shipAttempts {
		metrics, err := s.allMetrics(ctx, j)
		var scraper *telemetry.Scraper
		if err == nil {
			scraper, err = telemetry.NewScraper(definitions(metrics))
		}
		if err != nil { // CreateTrainingJob has compiled the caller's; the image's are at fault
			s.Log.WarnContext(ctx, "metrics are not read", "arn", j.ARN, "err", err)
			scraper, _ = telemetry.NewScraper(nil)
		}
		sh.scraper = scraper
		err = telemetry.Ship(ctx, telemetry.Shipment{Logs: s.Logs, At: at,
			Open: func(ctx context.Context, from int64) (io.ReadCloser, error) {
				return s.Runtime.Logs(ctx, taskID(id), from)
			},
			Observe: func(events []telemetry.Event, fresh bool) { s.observe(ctx, j, scraper, events, fresh) },
		})
		if err == nil || errors.Is(err, fs.ErrNotExist) { // the task and its log were removed
			break
		}
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "log of a training job was not shipped", "arn", j.ARN, "attempt", attempt+1, "err", err)
		}
		select {
		case <-time.After(shipBackoff << attempt):
		case <-ctx.Done():
			s.forgetShip(id, sh)
			return
		}
	}
	close(sh.ended)
	s.loop.Wake(j.Key)
}

// observe reads the metrics in events and publishes those that are new.
func (s *Service) observe(ctx context.Context, j Job, scraper *telemetry.Scraper, events []telemetry.Event, fresh bool) {
	var data []telemetry.Datum
	for _, e := range events {
		for _, v := range scraper.Scan(e) {
			data = append(data, telemetry.Datum{Name: v.Name, Time: v.Time, Unit: "None", Value: v.Value,
				Dimensions: []telemetry.Dimension{{Name: "TrainingJobName", Value: j.Key.Name}}})
		}
	}
	if !fresh || len(data) == 0 {
		return
	}
	if err := s.Metrics.Put(ctx, j.Key.Account, j.Key.Region, logGroup, data); err != nil {
		s.Log.WarnContext(ctx, "metrics of a training job were not kept", "arn", j.ARN, "err", err)
	}
}

// final is what the scraper of a log that is shipped has seen last.
func (s *Service) final(id string) []sm.MetricData {
	s.mu.Lock()
	sh := s.ships[id]
	s.mu.Unlock()
	if sh == nil || !sh.done() {
		return nil
	}
	var out []sm.MetricData
	for _, v := range sh.scraper.Final() {
		out = append(out, sm.MetricData{MetricName: v.Name, Value: &v.Value, Timestamp: wire.At(v.Time)})
	}
	return out
}

// forget drops what is remembered of a job that has ended.
func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ships, id)
	delete(s.keys, taskID(id))
}

// forgetShip drops a shipment that was cut off, so that the next Run starts
// another.
func (s *Service) forgetShip(id string, sh *ship) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ships[id] == sh {
		delete(s.ships, id)
	}
}
