// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// Shipment is the log of one job on its way.
type Shipment struct {
	Runtime runtime.Runtime
	Logs    telemetry.Logs
	Metrics telemetry.Metrics // nil: metrics are only remembered
	Log     *slog.Logger

	At          telemetry.Stream // account, Region, log group, which is the namespace too; Name is each stream's
	Streams     []Stream
	Definitions []telemetry.Definition
	Dimension   telemetry.Dimension // of the metrics that are published
	Job         string              // for our own log
}

// Stream is one host's part.
type Stream struct {
	Task runtime.ID
	Name string // of the log stream
	// Base is how much of the stream came from earlier tasks of the host: a job
	// that was interrupted goes on in the same stream.
	Base int64
}

// Reading is what the lines of a job told of its metrics. It may be asked at any
// time and by anyone.
type Reading struct {
	// Watch is a metric of which not only the last value is remembered; "" for
	// none. It is set before the reading is used.
	Watch string

	mu       sync.Mutex
	scrapers []*telemetry.Scraper
	curves   [][]float64 // by stream: the values of Watch
}

// maxCurve is how many values are remembered of one metric.
const maxCurve = 5000

// Curve are the values of the watched metric in the order in which they were told,
// the first 5000 of them. Of several hosts' values the first's count that tells any.
func (r *Reading) Curve() []float64 {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.curves {
		if len(c) > 0 {
			return slices.Clone(c)
		}
	}
	return nil
}

// Final are the last values by name: of several hosts' values the latest.
func (r *Reading) Final() []telemetry.Sample {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []telemetry.Sample
	at := map[string]int{}
	for _, s := range r.scrapers {
		for _, v := range s.Final() {
			i, ok := at[v.Name]
			switch {
			case !ok:
				at[v.Name] = len(out)
				out = append(out, v)
			case v.Time.After(out[i].Time):
				out[i] = v
			}
		}
	}
	return out
}

// How often a shipment that failed is tried again, and how long the first wait
// is. Each wait is twice the one before: all together they last about 17 min.
const (
	shipAttempts = 12
	shipBackoff  = 250 * time.Millisecond
)

// Ship moves the logs of all hosts until they are whole, and fills the reading.
// A log that cannot be shipped is given up in the end: a job's result is worth
// more than its log. Each line is kept once, whatever was cut off before.
func (s Shipment) Ship(ctx context.Context, into *Reading) {
	into.mu.Lock()
	into.scrapers, into.curves = make([]*telemetry.Scraper, len(s.Streams)), make([][]float64, len(s.Streams))
	for i := range into.scrapers {
		into.scrapers[i], _ = telemetry.NewScraper(nil)
	}
	into.mu.Unlock()
	var group sync.WaitGroup
	for i, st := range s.Streams {
		group.Go(func() { s.carry(ctx, i, st, into) })
	}
	group.Wait()
}

func (s Shipment) carry(ctx context.Context, i int, st Stream, into *Reading) {
	at := s.At
	at.Name = st.Name
	logs := s.Logs
	if st.Base > 0 {
		logs = shifted{s.Logs, st.Base}
	}
	for attempt := range shipAttempts {
		scraper, err := telemetry.NewScraper(s.Definitions)
		if err != nil { // Create has compiled the caller's; the image's are at fault
			s.Log.WarnContext(ctx, "metrics are not read", "job", s.Job, "err", err)
			scraper, _ = telemetry.NewScraper(nil)
		}
		into.mu.Lock()
		into.scrapers[i], into.curves[i] = scraper, nil // it sees the whole log again
		into.mu.Unlock()
		err = telemetry.Ship(ctx, telemetry.Shipment{Logs: logs, At: at,
			Open: func(ctx context.Context, from int64) (io.ReadCloser, error) {
				return s.Runtime.Logs(ctx, st.Task, from)
			},
			Observe: func(events []telemetry.Event, fresh bool) { s.observe(ctx, into, i, scraper, events, fresh) },
		})
		if err == nil || errors.Is(err, fs.ErrNotExist) { // the task and its log were removed
			return
		}
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "log was not shipped", "job", s.Job, "task", st.Task, "attempt", attempt+1, "err", err)
		}
		select {
		case <-time.After(shipBackoff << attempt):
		case <-ctx.Done():
			return
		}
	}
}

// observe reads the metrics in events and publishes those that are new.
func (s Shipment) observe(ctx context.Context, into *Reading, i int, scraper *telemetry.Scraper, events []telemetry.Event, fresh bool) {
	var data []telemetry.Datum
	into.mu.Lock()
	for _, e := range events {
		for _, v := range scraper.Scan(e) {
			if v.Name == into.Watch && len(into.curves[i]) < maxCurve {
				into.curves[i] = append(into.curves[i], v.Value)
			}
			data = append(data, telemetry.Datum{Name: v.Name, Time: v.Time, Unit: "None", Value: v.Value,
				Dimensions: []telemetry.Dimension{s.Dimension}})
		}
	}
	into.mu.Unlock()
	if !fresh || len(data) == 0 || s.Metrics == nil {
		return
	}
	if err := s.Metrics.Put(ctx, s.At.Account, s.At.Region, s.At.Group, data); err != nil {
		s.Log.WarnContext(ctx, "metrics were not kept", "job", s.Job, "err", err)
	}
}

// shifted is a Logs whose stream had bytes from elsewhere before.
type shifted struct {
	telemetry.Logs
	base int64
}

func (l shifted) Offset(ctx context.Context, at telemetry.Stream) (int64, error) {
	n, err := l.Logs.Offset(ctx, at)
	return max(0, n-l.base), err
}

func (l shifted) Append(ctx context.Context, at telemetry.Stream, from, to int64, events []telemetry.Event) error {
	return l.Logs.Append(ctx, at, from+l.base, to+l.base, events)
}

// Progress is a writer of lines into a stream before there is a task, such as
// what is done to make its image ready. A crash may have a line twice: it was
// done twice. Writing never fails, for a job is worth more than the account of
// its preparation. It is for one goroutine; Close writes the rest.
func Progress(ctx context.Context, logs telemetry.Logs, at telemetry.Stream) io.WriteCloser {
	return &progress{put: func(events []telemetry.Event) {
		kept, err := logs.Offset(ctx, at)
		if err == nil {
			_ = logs.Append(ctx, at, kept, kept, events)
		}
	}}
}

type progress struct {
	put  func([]telemetry.Event)
	rest string
}

func (p *progress) Write(b []byte) (int, error) {
	lines := strings.Split(p.rest+string(b), "\n")
	p.rest = lines[len(lines)-1]
	p.tell(lines[:len(lines)-1])
	return len(b), nil
}

func (p *progress) Close() error {
	p.tell([]string{p.rest})
	p.rest = ""
	return nil
}

func (p *progress) tell(lines []string) {
	var events []telemetry.Event
	now := time.Now()
	for _, l := range lines {
		if l = strings.TrimRight(l, " \r"); l != "" {
			events = append(events, telemetry.Event{Time: now, Message: telemetry.Text(l)})
		}
	}
	if len(events) > 0 {
		p.put(events)
	}
}

// Env merges environments, later ones over earlier ones.
func Env(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}
