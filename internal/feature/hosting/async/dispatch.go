// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// Instances is what requests run on; hosting fills it. None of its methods waits.
type Instances interface {
	// Endpoints are the asynchronous endpoints in service, those without
	// instances among them.
	Endpoints() []Endpoint
	// Count is how many instances of the endpoint answer.
	Count(Endpoint) int
	// Acquire takes a place on an instance that has fewer requests than
	// MaxConcurrentInvocationsPerInstance; false when none has.
	Acquire(Endpoint) (Slot, bool)
}

// Slot is a place on an instance, held until Release.
type Slot struct {
	Variant, Instance string
	// Invoke sends the request with size bytes of body and gives the answer,
	// whose body must be closed. An error says that the instance gave none: it
	// is lost, or ctx ended. One that wraps ErrNotTaken says that it has not
	// seen the request.
	Invoke  func(ctx context.Context, r *Request, body io.Reader, size int64) (*Response, error)
	Release func()
}

// Response is a model's answer.
type Response struct {
	Status int
	Header http.Header
	Body   io.ReadCloser
}

// ErrNotTaken is an instance that could not be reached: the request is tried
// again and that is not counted.
var ErrNotTaken = errors.New("instance has not taken the request")

const (
	lookEvery  = time.Second      // for room, for what is due and for what has expired
	gaugeEvery = 10 * time.Second // between two values of a backlog's metrics
)

// Run takes requests to instances, tells what became of them and measures the
// backlogs, until ctx ends; what is under way then is run again by the next
// process. It answers ctx's error.
func (q *Queue) Run(ctx context.Context, on Instances) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return q.dispatch(ctx, on) })
	g.Go(func() error { return q.publish(ctx) })
	g.Go(func() error { return q.gauge(ctx, on) })
	return g.Wait()
}

func (q *Queue) dispatch(ctx context.Context, on Instances) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for all := true; ; {
		for _, l := range q.due(all) {
			if err := q.pass(ctx, l, on, &workers); err != nil && ctx.Err() == nil {
				q.Log.Error("asynchronous requests not taken", "name", l.ep.Name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			all = true
		case <-q.kick:
			all = false
		}
	}
}

// due are the lanes to look at.
func (q *Queue) due(all bool) []*lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*lane
	for _, l := range q.lanes {
		if all || l.dirty {
			l.dirty = false
			out = append(out, l)
		}
	}
	return out
}

// job is a request with its row.
type job struct {
	Request
	lane         *lane
	row          int64
	starts, lost int
	expires      int64
}

const jobColumns = "SELECT id, starts, lost, expires, document, payload FROM request "

func (l *lane) scan(row interface{ Scan(...any) error }) (*job, error) {
	j := &job{lane: l}
	var doc string
	var payload []byte
	if err := row.Scan(&j.row, &j.starts, &j.lost, &j.expires, &doc, &payload); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(doc), &j.Request); err != nil {
		return nil, fmt.Errorf("read request %d: %w", j.row, err)
	}
	j.Body = payload
	return j, nil
}

// pass settles what has expired and hands out requests, in their order, as long
// as instances have room.
func (q *Queue) pass(ctx context.Context, l *lane, on Instances, workers *sync.WaitGroup) error {
	if err := q.expire(ctx, l); err != nil {
		return err
	}
	for ctx.Err() == nil {
		j, err := q.first(ctx, l)
		if err != nil || j == nil {
			return err
		}
		slot, ok := on.Acquire(l.ep)
		if !ok {
			return nil
		}
		ok, err = q.take(ctx, j)
		if err != nil || !ok {
			slot.Release()
			if err != nil {
				return err
			}
			continue
		}
		work, cancel := context.WithCancel(ctx)
		q.mu.Lock()
		if q.lanes[l.id] != l { // dropped meanwhile
			cancel()
		}
		l.running[j.row] = cancel
		q.mu.Unlock()
		workers.Go(func() {
			defer cancel()
			q.work(work, j, slot)
			slot.Release()
			q.mu.Lock()
			delete(l.running, j.row)
			l.dirty = true
			q.mu.Unlock()
			wake(q.kick)
		})
	}
	return ctx.Err()
}

// first is the oldest request that may be taken; nil without one.
func (q *Queue) first(ctx context.Context, l *lane) (j *job, err error) {
	err = q.file.Read(ctx, func(r sqlfile.Querier) error {
		now := q.Now().UnixMilli()
		j, err = l.scan(r.QueryRowContext(ctx, jobColumns+"WHERE endpoint = ? AND taken = 0 AND due <= ? AND expires > ? ORDER BY id LIMIT 1", l.id, now, now))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return j, err
}

// take marks a request as an instance's; false when it is gone.
func (q *Queue) take(ctx context.Context, j *job) (bool, error) {
	taken := false
	err := q.file.Write(ctx, func(w sqlfile.Writer) error {
		res, err := w.Exec("UPDATE request SET taken = 1, starts = starts + 1 WHERE id = ? AND taken = 0", j.row)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		taken = n == 1
		return err
	})
	j.starts++
	return taken, err
}

// again gives a request back to the queue, at its old place, for after a pause.
// counted says that an instance or the store had its chance.
func (q *Queue) again(ctx context.Context, j *job, pause time.Duration, counted bool) error {
	lost := 0
	if counted {
		lost = 1
	}
	return q.file.Write(ctx, func(w sqlfile.Writer) error {
		_, err := w.Exec("UPDATE request SET taken = 0, lost = lost + ?, due = ? WHERE id = ?", lost, q.Now().Add(pause).UnixMilli(), j.row)
		return err
	})
}

// expireBatch is how many requests one transaction settles as expired.
const expireBatch = 100

func (q *Queue) expire(ctx context.Context, l *lane) error {
	for {
		var late []*job
		err := q.file.Read(ctx, func(r sqlfile.Querier) error {
			rows, err := r.QueryContext(ctx, jobColumns+"WHERE endpoint = ? AND taken = 0 AND expires <= ? ORDER BY expires LIMIT ?", l.id, q.Now().UnixMilli(), expireBatch)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				j, err := l.scan(rows)
				if err != nil {
					return err
				}
				late = append(late, j)
			}
			return errors.Join(rows.Err(), rows.Close())
		})
		if err != nil || len(late) == 0 {
			return err
		}
		for _, j := range late {
			o := outcome{status: expired, variant: j.Variant,
				reason: fmt.Sprintf("ClientError: The request expired: it waited longer than %d seconds.", int(j.TTL.Seconds()))}
			if err := q.settle(ctx, j, &o); err != nil {
				return err
			}
		}
	}
}
