// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	_ "embed" // the schema
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

//go:embed schema.sql
var schema string

// Options of a Service. Path and URL are required.
type Options struct {
	Path string           // of the SQLite file; made when missing
	URL  func() string    // where clients find this server, for the URLs of queues
	Log  *slog.Logger     // nil: slog.Default
	Now  func() time.Time // nil: time.Now
}

// Service keeps queues. It is safe for concurrent use.
type Service struct {
	file *sqlfile.File
	url  func() string
	log  *slog.Logger
	now  func() time.Time

	drain     chan struct{} // closed when polls are to end
	drainOnce sync.Once

	mu      sync.Mutex
	waiting map[int64]chan struct{} // by queue; closed when something may be received
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
		return nil, fmt.Errorf("open queue file %q: %w", o.Path, err)
	}
	return &Service{file: f, url: o.URL, log: o.Log, now: o.Now, drain: make(chan struct{}), waiting: map[int64]chan struct{}{}}, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wsqs.CreateQueue, s.createQueue)
	op.Handle(t, wsqs.DeleteQueue, s.deleteQueue)
	op.Handle(t, wsqs.GetQueueUrl, s.getQueueURL)
	op.Handle(t, wsqs.ListQueues, s.listQueues)
	op.Handle(t, wsqs.GetQueueAttributes, s.getQueueAttributes)
	op.Handle(t, wsqs.SetQueueAttributes, s.setQueueAttributes)
	op.Handle(t, wsqs.PurgeQueue, s.purgeQueue)
	op.Handle(t, wsqs.TagQueue, s.tagQueue)
	op.Handle(t, wsqs.UntagQueue, s.untagQueue)
	op.Handle(t, wsqs.ListQueueTags, s.listQueueTags)
	op.Handle(t, wsqs.SendMessage, s.sendMessage)
	op.Handle(t, wsqs.SendMessageBatch, s.sendMessageBatch)
	op.Handle(t, wsqs.ReceiveMessage, s.receiveMessage)
	op.Handle(t, wsqs.DeleteMessage, s.deleteMessage)
	op.Handle(t, wsqs.DeleteMessageBatch, s.deleteMessageBatch)
	op.Handle(t, wsqs.ChangeMessageVisibility, s.changeMessageVisibility)
	op.Handle(t, wsqs.ChangeMessageVisibilityBatch, s.changeMessageVisibilityBatch)
}

// sweepEvery is how often Run removes what is too old; readers do not see it
// in any case.
const sweepEvery = time.Minute

// Run removes messages past their retention until ctx ends. It answers nil
// then: what fails is logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("queue sweep failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweepRows is how many rows one transaction removes at most.
const sweepRows = 1000

func (s *Service) sweep(ctx context.Context) error {
	now := s.now()
	for _, step := range []struct {
		text   string
		before int64
	}{
		{"DELETE FROM message WHERE seq IN (SELECT seq FROM message WHERE expires <= ? LIMIT ?)", now.UnixMilli()},
		{"DELETE FROM recent WHERE (queue, key) IN (SELECT queue, key FROM recent WHERE at <= ? LIMIT ?)", now.Add(-recently).UnixMilli()},
	} {
		for removed := int64(sweepRows); removed == sweepRows; {
			err := s.file.Write(ctx, func(w sqlfile.Writer) error {
				res, err := w.Exec(step.text, step.before, sweepRows)
				if err == nil {
					removed, err = res.RowsAffected()
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		rows, err := w.Query("PRAGMA incremental_vacuum(2000)")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() { // each step frees a page
		}
		return rows.Err()
	})
}

// Drain ends the polls that wait for messages: they answer that there are
// none. A server that stops calls it, so that nobody waits for them.
func (s *Service) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

// Close ends the service; calls after it fail. It may be called again.
func (s *Service) Close() error { return s.file.Close() }

// changed is closed when something of the queue may be received that could not
// be before. It must be taken before the queue is looked at.
func (s *Service) changed(queue int64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.waiting[queue]
	if ch == nil {
		ch = make(chan struct{})
		s.waiting[queue] = ch
	}
	return ch
}

func (s *Service) wake(queue int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.waiting[queue]; ch != nil {
		close(ch)
		delete(s.waiting, queue)
	}
}
