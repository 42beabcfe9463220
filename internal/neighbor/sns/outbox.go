// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

// post writes a row of the outbox.
func (s *Service) post(w sqlfile.Writer, subscription int64, n notice) error {
	b, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write notice: %w", err)
	}
	_, err = w.Exec("INSERT INTO outbox (subscription, notice, due) VALUES (?, ?, ?)", subscription, b, s.now().UnixMilli())
	return err
}

// maxLanes is how many endpoints are delivered to at the same time. Queues do
// not count: they are in this process.
const maxLanes = 64

// sweepEvery is how often subscriptions that nobody confirmed are removed.
const sweepEvery = time.Hour

// Run delivers until ctx ends, and answers nil then: what fails is logged and
// tried again. A delivery that ctx cuts off is made again by the next Run.
func (s *Service) Run(ctx context.Context) error {
	d := dispatcher{Service: s, busy: map[int64]bool{}, slots: make(chan struct{}, maxLanes)}
	defer s.client.CloseIdleConnections()
	defer d.lanes.Wait()
	var swept time.Time
	for ctx.Err() == nil {
		if now := s.now(); now.Sub(swept) >= sweepEvery {
			swept = now
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("subscription sweep failed", "err", err)
			}
		}
		wait, err := d.dispatch(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("outbox not read", "err", err)
			wait = time.Second
		}
		timer := time.NewTimer(min(wait, sweepEvery))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.kick:
		}
		timer.Stop()
	}
	return nil
}

func (s *Service) sweep(ctx context.Context) error {
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		if _, err := w.Exec("DELETE FROM subscription WHERE confirmed = 0 AND lapses <= ?", s.now().UnixMilli()); err != nil {
			return err
		}
		_, err := w.Exec("DELETE FROM outbox WHERE subscription NOT IN (SELECT id FROM subscription)")
		return err
	})
}

// dispatcher knows the lanes that run.
type dispatcher struct {
	*Service
	lanes sync.WaitGroup
	slots chan struct{}

	mu   sync.Mutex
	busy map[int64]bool
}

// dispatch starts a lane for each subscription with something due, and answers
// when to look again.
func (d *dispatcher) dispatch(ctx context.Context) (time.Duration, error) {
	type lane struct {
		subscription int64
		protocol     string
	}
	var due []lane
	wait := sweepEvery
	now := d.now()
	err := d.file.Read(ctx, func(db sqlfile.Querier) error {
		rows, err := db.QueryContext(ctx, `SELECT o.subscription, coalesce((SELECT protocol FROM subscription s WHERE s.id = o.subscription), '')
			FROM (SELECT DISTINCT subscription FROM outbox WHERE due <= ?) o`, now.UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l lane
			if err := rows.Scan(&l.subscription, &l.protocol); err != nil {
				return err
			}
			due = append(due, l)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		var next sql.NullInt64
		err = db.QueryRowContext(ctx, "SELECT min(due) FROM outbox WHERE due > ?", now.UnixMilli()).Scan(&next)
		if next.Valid {
			wait = time.UnixMilli(next.Int64).Sub(now)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read outbox: %w", err)
	}
	for _, l := range due {
		if !d.claim(l.subscription, l.protocol != "sqs") {
			continue // a lane that ends kicks
		}
		d.lanes.Go(func() {
			defer d.free(l.subscription, l.protocol != "sqs")
			if err := d.lane(ctx, l.subscription); err != nil && ctx.Err() == nil {
				d.log.Error("delivery not recorded", "err", err)
				select { // not at once again
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	return max(wait, time.Millisecond), nil
}

func (d *dispatcher) claim(subscription int64, slot bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[subscription] {
		return false
	}
	if slot {
		select {
		case d.slots <- struct{}{}:
		default:
			return false
		}
	}
	d.busy[subscription] = true
	return true
}

func (d *dispatcher) free(subscription int64, slot bool) {
	d.mu.Lock()
	delete(d.busy, subscription)
	d.mu.Unlock()
	if slot {
		<-d.slots
	}
	d.wake()
}

// parcel is a row of the outbox with its subscription.
type parcel struct {
	id, tries int64
	to        subscription
	notice    notice
}

// lane delivers what is due for a subscription, one after the other.
func (s *Service) lane(ctx context.Context, subscription int64) error {
	for ctx.Err() == nil {
		p, ok, err := s.next(ctx, subscription)
		if err != nil || !ok {
			return err
		}
		o := s.deliver(ctx, &p)
		if o.err != nil && ctx.Err() != nil {
			return nil // cut off: it did not count
		}
		if err := s.record(ctx, &p, o); err != nil {
			return err
		}
	}
	return nil
}

// next is what is due longest; false when nothing is.
func (s *Service) next(ctx context.Context, subscription int64) (p parcel, ok bool, err error) {
	err = s.file.Read(ctx, func(db sqlfile.Querier) error {
		found, err := readSubscriptions(ctx, db, "s.id = ?", subscription)
		if err != nil || len(found) == 0 {
			return err // what was for one that is gone is swept
		}
		p.to = found[0]
		var b []byte
		err = db.QueryRowContext(ctx, "SELECT id, tries, notice FROM outbox WHERE subscription = ? AND due <= ? ORDER BY due, id LIMIT 1", subscription, s.now().UnixMilli()).
			Scan(&p.id, &p.tries, &b)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		ok = true
		return json.Unmarshal(b, &p.notice)
	})
	return p, ok, err
}

// deliver makes one try.
func (s *Service) deliver(ctx context.Context, p *parcel) outcome {
	u, n := &p.to, &p.notice
	raw := n.Kind == kindNotification && u.attributes["RawMessageDelivery"] == "true"
	body := []byte(n.Message)
	if !raw {
		var err error
		if body, err = s.enclose(ctx, u, n); err != nil {
			return outcome{err, false}
		}
	}
	if u.protocol == "sqs" {
		return s.toQueue(ctx, u.endpoint, p, body, raw)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.endpoint, bytes.NewReader(body))
	if err != nil {
		return outcome{err, true}
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent") // endpoints look for it
	r.Header.Set("X-Amz-Sns-Message-Type", n.Kind)
	r.Header.Set("X-Amz-Sns-Message-Id", n.ID)
	r.Header.Set("X-Amz-Sns-Topic-Arn", u.topic.arn())
	if n.Kind != kindConfirmation {
		r.Header.Set("X-Amz-Sns-Subscription-Arn", u.arn())
	}
	if raw {
		r.Header.Set("X-Amz-Sns-Rawdelivery", "true")
	}
	return answered(s.client.Do(r)) //nolint:bodyclose // answered closes it
}

// senderName is whom queues are told as the sender of what topics deliver.
const senderName = "sns.amazonaws.com"

// toQueue puts p into a queue, under its name in the outbox. A fault of the
// queue's is final, as it is no fault of the moment.
func (s *Service) toQueue(ctx context.Context, queueARN string, p *parcel, body []byte, raw bool) outcome {
	m := &wsqs.SendMessageInput{MessageBody: string(body), MessageGroupId: p.notice.Group}
	if raw {
		m.MessageAttributes = map[string]wsqs.MessageAttributeValue{}
		for name, a := range p.notice.Attributes {
			m.MessageAttributes[name] = wsqs.MessageAttributeValue{DataType: a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
		}
	}
	err := s.queues.Deliver(ctx, queueARN, fmt.Sprintf("sns/%d/%s", p.id, p.notice.ID), senderName, m)
	return outcome{err, fault.Of(err) != nil}
}

// queueRetry is the service's policy for queues: 23 days.
//
// Source: Amazon SNS Developer Guide, "Amazon SNS message delivery retries".
var queueRetry = retry{NoDelay: 3, MinDelays: 2, MinDelay: 1, MaxDelay: 20, MaxDelays: 100000, Retries: 100015, Backoff: "exponential"}

// record writes down how a try went: the row goes, or waits for the next one.
// What is given up goes to the dead letter queue first, so that a crash between
// the two repeats it and does not lose it.
func (s *Service) record(ctx context.Context, p *parcel, o outcome) error {
	log := s.log.With("arn", p.to.arn(), "protocol", p.to.protocol, "message", p.notice.ID, "attempt", p.tries+1)
	if o.err != nil {
		policy := queueRetry
		if p.to.web() {
			var err error
			if policy, err = effective(p.to.topic.attributes["DeliveryPolicy"], p.to.attributes["DeliveryPolicy"]); err != nil {
				policy = standardRetry // it was checked when it was set
			}
		}
		pause, again := policy.pause(p.tries + 1)
		if again && !o.final {
			log.Debug("delivery failed", "err", o.err, "again", pause)
			return s.file.Write(ctx, func(w sqlfile.Writer) error {
				_, err := w.Exec("UPDATE outbox SET tries = tries + 1, due = ? WHERE id = ?", s.now().Add(pause).UnixMilli(), p.id)
				return err
			})
		}
		log.Warn("delivery given up", "err", o.err)
		if text := p.to.attributes["RedrivePolicy"]; text != "" && p.notice.Kind == kindNotification {
			if err := s.bury(ctx, p, text); err != nil {
				if fault.Of(err) == nil {
					return err
				}
				log.Warn("dead letter not kept", "err", err)
			}
		}
	}
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		_, err := w.Exec("DELETE FROM outbox WHERE id = ?", p.id)
		return err
	})
}

// bury delivers p to the queue of a RedrivePolicy.
func (s *Service) bury(ctx context.Context, p *parcel, text string) error {
	queue, err := parseDead(text)
	if err != nil {
		return invalid("RedrivePolicy: %v", err)
	}
	raw := p.to.attributes["RawMessageDelivery"] == "true"
	body := []byte(p.notice.Message)
	if !raw {
		if body, err = s.enclose(ctx, &p.to, &p.notice); err != nil {
			return err
		}
	}
	return s.toQueue(ctx, queue, p, body, raw).err
}
