// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"database/sql"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

//go:embed schema.sql
var schema string

// ErrGone is a request for an endpoint that was deleted.
var ErrGone = errors.New("endpoint was deleted")

// Notifier publishes to a topic. neighbor/sns is one. A *fault.Fault of the
// client's kind says that it will never do; any other error is tried again.
type Notifier interface {
	Notify(ctx context.Context, account, region, topicARN, subject string, message []byte) error
}

// Options of a Queue. Path and Objects are required; what is nil of the others
// is left out.
type Options struct {
	Path     string // of the SQLite file; made when missing
	Objects  object.Store
	Notifier Notifier // nil: notifications wait in the file
	Metrics  telemetry.Metrics
	Logs     telemetry.Logs
	Log      *slog.Logger     // nil: slog.Default
	Now      func() time.Time // nil: time.Now
}

// Queue holds the requests of all asynchronous endpoints. It is safe for
// concurrent use.
type Queue struct {
	Options
	file *sqlfile.File
	kick chan struct{} // a lane is dirty
	tell chan struct{} // the outbox has something

	mu    sync.Mutex
	lanes map[int64]*lane // by row of the endpoint; those that may have requests
}

// lane is an endpoint whose requests are looked after.
type lane struct {
	id      int64
	ep      Endpoint
	dirty   bool                         // has requests, or room, that it had not before
	running map[int64]context.CancelFunc // what instances have, by row
}

// tombstones are kept so long: a request that was on its way when its endpoint
// was deleted comes within it.
const tombstones = 24 * time.Hour

// Open opens the file and gives back to the queue what an earlier process had
// under way. It starts nothing; Run does, and Close ends it.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f, err := sqlfile.Open(ctx, o.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open queue file %q: %w", o.Path, err)
	}
	q := &Queue{Options: o, file: f, kick: make(chan struct{}, 1), tell: make(chan struct{}, 1), lanes: map[int64]*lane{}}
	if err := q.recover(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("recover queue file %q: %w", o.Path, err), f.Close())
	}
	return q, nil
}

func (q *Queue) recover(ctx context.Context) error {
	return q.file.Write(ctx, func(w sqlfile.Writer) error {
		if _, err := w.Exec("UPDATE request SET taken = 0 WHERE taken = 1"); err != nil {
			return err
		}
		if _, err := w.Exec("DELETE FROM endpoint WHERE gone > 0 AND gone < ?", q.Now().Add(-tombstones).UnixMilli()); err != nil {
			return err
		}
		rows, err := w.Query("SELECT id, account, region, name, seed FROM endpoint WHERE gone = 0")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			l := &lane{dirty: true, running: map[int64]context.CancelFunc{}}
			if err := rows.Scan(&l.id, &l.ep.Account, &l.ep.Region, &l.ep.Name, &l.ep.Seed); err != nil {
				return err
			}
			q.lanes[l.id] = l
		}
		return errors.Join(rows.Err(), rows.Close())
	})
}

// Close ends the queue; calls after it fail. It may be called again.
func (q *Queue) Close() error { return q.file.Close() }

// Enqueue stores a request that Prepare has accepted. When it returns nil the
// request survives the process. ErrGone says that the endpoint was deleted.
func (q *Queue) Enqueue(ctx context.Context, ep Endpoint, r *Request) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("store request: %w", err)
	}
	var row int64
	err = q.file.Write(ctx, func(w sqlfile.Writer) error {
		var gone int64
		err := w.QueryRowContext(ctx, `INSERT INTO endpoint (account, region, name, seed) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET gone = gone RETURNING id, gone`, ep.Account, ep.Region, ep.Name, ep.Seed).Scan(&row, &gone)
		if err != nil {
			return err
		}
		if gone > 0 {
			return ErrGone
		}
		received := r.Received.UnixMilli()
		_, err = w.Exec("INSERT INTO request (endpoint, received, expires, due, document, payload) VALUES (?, ?, ?, ?, ?, ?)",
			row, received, received+r.TTL.Milliseconds(), received, string(doc), r.Body)
		return err
	})
	if err != nil {
		return fmt.Errorf("store request for endpoint %q: %w", ep.Name, err)
	}
	q.mu.Lock()
	l := q.lanes[row]
	if l == nil {
		l = &lane{id: row, ep: ep, running: map[int64]context.CancelFunc{}}
		q.lanes[row] = l
	}
	l.dirty = true
	q.mu.Unlock()
	wake(q.kick)
	return nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wake says that the endpoint may have room that it had not before. It looks
// each second without it.
func (q *Queue) Wake(ep Endpoint) {
	q.mu.Lock()
	for _, l := range q.lanes {
		if l.ep == ep {
			l.dirty = true
		}
	}
	q.mu.Unlock()
	wake(q.kick)
}

// Drop forgets all requests of an endpoint that is deleted, those under way
// among them: nothing more is told of them, as in the service. What was settled
// before is still told. A later Enqueue answers ErrGone.
func (q *Queue) Drop(ctx context.Context, ep Endpoint) error {
	var row int64
	err := q.file.Write(ctx, func(w sqlfile.Writer) error {
		err := w.QueryRowContext(ctx, `INSERT INTO endpoint (account, region, name, seed, gone) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET gone = excluded.gone RETURNING id`, ep.Account, ep.Region, ep.Name, ep.Seed, q.Now().UnixMilli()).Scan(&row)
		if err != nil {
			return err
		}
		_, err = w.Exec("DELETE FROM request WHERE endpoint = ?", row)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop requests of endpoint %q: %w", ep.Name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[row]; l != nil {
		for _, cancel := range l.running {
			cancel()
		}
		delete(q.lanes, row)
	}
	return nil
}

// Backlog is what an endpoint still has to do.
type Backlog struct {
	Waiting, Running int
	Oldest           time.Time // when the oldest of them was received; zero without any
}

// Size is the number of requests that are not settled.
func (b Backlog) Size() int { return b.Waiting + b.Running }

// Backlog counts the requests of an endpoint.
func (q *Queue) Backlog(ctx context.Context, ep Endpoint) (Backlog, error) {
	var b Backlog
	err := q.file.Read(ctx, func(r sqlfile.Querier) error {
		var oldest sql.NullInt64
		err := r.QueryRowContext(ctx, `SELECT count(*) - coalesce(sum(taken), 0), coalesce(sum(taken), 0), min(received) FROM request
			WHERE endpoint = (SELECT id FROM endpoint WHERE account = ? AND region = ? AND name = ? AND seed = ?)`,
			ep.Account, ep.Region, ep.Name, ep.Seed).Scan(&b.Waiting, &b.Running, &oldest)
		if oldest.Valid {
			b.Oldest = time.UnixMilli(oldest.Int64)
		}
		return err
	})
	if err != nil {
		return b, fmt.Errorf("count requests of endpoint %q: %w", ep.Name, err)
	}
	return b, nil
}
