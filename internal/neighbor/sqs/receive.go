// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

// stored is a row of the table of messages.
type stored struct {
	seq                                               int64
	id, body, attributes, trace, sender, group, dedup string
	sent, received, first                             int64
	source                                            string
}

// ready finds what may be received of a standard queue.
const ready = `SELECT seq, id, body, attributes, trace, sender, grp, dedup, sent, received, first, source FROM message m
	WHERE queue = ?1 AND visible <= ?2 AND expires > ?2 `

// readyFIFO leaves out the groups of which a message is in flight, and what
// stands behind one that is delayed.
const readyFIFO = ready + `AND NOT EXISTS (SELECT 1 FROM message e WHERE e.queue = m.queue AND e.grp = m.grp AND e.visible > ?2 AND e.expires > ?2
	AND (e.seq < m.seq OR e.received > e.base)) `

// receiveMessage is API_ReceiveMessage. It waits for the first message when it
// is asked to, and answers what is there then.
func (s *Service) receiveMessage(ctx context.Context, in *wsqs.ReceiveMessageInput) (*wsqs.ReceiveMessageOutput, error) {
	if n := in.MaxNumberOfMessages; n != nil && (*n < 1 || *n > 10) {
		return nil, invalidValue("MaxNumberOfMessages", *n, "Must be between 1 and 10, if provided.")
	}
	if n := in.WaitTimeSeconds; n != nil && (*n < 0 || *n > 20) {
		return nil, invalidValue("WaitTimeSeconds", *n, "Must be >= 0 and <= 20, if provided.")
	}
	if n := in.VisibilityTimeout; n != nil && (*n < 0 || *n > 43200) {
		return nil, invalidValue("VisibilityTimeout", *n, "Must be between 0 and 43200, if provided.")
	}
	var q queue
	if err := s.file.Read(ctx, func(db sqlfile.Querier) (err error) {
		q, err = find(ctx, db, in.QueueUrl)
		return err
	}); err != nil {
		return nil, err
	}
	wait := q.number("ReceiveMessageWaitTimeSeconds")
	if in.WaitTimeSeconds != nil {
		wait = *in.WaitTimeSeconds
	}
	end := s.now().Add(time.Duration(wait) * time.Second)
	for {
		changed := s.changed(q.id)
		out, next, err := s.take(ctx, in)
		if err != nil || len(out.Messages) > 0 {
			return out, err
		}
		now := s.now()
		left := end.Sub(now)
		if left <= 0 {
			return out, nil
		}
		if !next.IsZero() {
			left = min(left, max(next.Sub(now), time.Millisecond))
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
		case <-s.drain:
			end = now
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// take receives what is there now. Next is when a message may be visible that
// is not yet, or zero.
func (s *Service) take(ctx context.Context, in *wsqs.ReceiveMessageInput) (*wsqs.ReceiveMessageOutput, time.Time, error) {
	out := &wsqs.ReceiveMessageOutput{}
	var next time.Time
	var dead int64
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		q, err := find(ctx, w, in.QueueUrl) // it may be gone, or another, since the poll began
		if err != nil {
			return err
		}
		at := s.now().UnixMilli()
		if dead, err = s.bury(ctx, w, q, at); err != nil {
			return err
		}
		hide := q.number("VisibilityTimeout")
		if in.VisibilityTimeout != nil {
			hide = *in.VisibilityTimeout
		}
		limit := int64(1)
		if in.MaxNumberOfMessages != nil {
			limit = *in.MaxNumberOfMessages
		}
		found, err := readMessages(w, q, at, limit)
		if err != nil {
			return err
		}
		for _, m := range found {
			m.received++
			if m.first == 0 {
				m.first = at
			}
			if _, err := w.Exec("UPDATE message SET visible = ?, received = ?, first = ? WHERE seq = ?", at+1000*hide, m.received, m.first, m.seq); err != nil {
				return err
			}
			message, err := m.message(q, in)
			if err != nil {
				return err
			}
			out.Messages = append(out.Messages, message)
		}
		var soon sql.NullInt64
		err = w.QueryRowContext(ctx, "SELECT min(visible) FROM message WHERE queue = ? AND visible > ?", q.id, at).Scan(&soon)
		if soon.Valid {
			next = time.UnixMilli(soon.Int64)
		}
		return err
	})
	if err == nil && dead != 0 {
		s.wake(dead)
	}
	return out, next, err
}

func readMessages(w sqlfile.Writer, q queue, at, limit int64) ([]stored, error) {
	text := ready + "ORDER BY visible, seq LIMIT ?3"
	if q.fifo() {
		text = readyFIFO + "ORDER BY seq LIMIT ?3"
	}
	rows, err := w.Query(text, q.id, at, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []stored
	for rows.Next() {
		var m stored
		if err := rows.Scan(&m.seq, &m.id, &m.body, &m.attributes, &m.trace, &m.sender, &m.group, &m.dedup, &m.sent, &m.received, &m.first, &m.source); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return found, errors.Join(rows.Err(), rows.Close())
}

// bury moves what was received too often to the dead letter queue and answers
// that queue's ID, or 0. A message keeps the time when it was sent, from which
// its retention there is counted.
func (s *Service) bury(ctx context.Context, w sqlfile.Writer, q queue, at int64) (int64, error) {
	text := q.attributes["RedrivePolicy"]
	if text == "" {
		return 0, nil
	}
	p, err := parseRedrive(text)
	if err != nil {
		return 0, err
	}
	dead, err := queueByARN(ctx, w, p.Target)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil // it was deleted; messages stay where they are
	} else if err != nil {
		return 0, err
	}
	sent := "sent"
	if q.fifo() { // there the clock begins anew
		sent = strconv.FormatInt(at, 10)
	}
	res, err := w.Exec(`UPDATE message SET queue = ?1, visible = ?2, base = received, source = ?3, sent = `+sent+`, expires = `+sent+` + ?4
		WHERE queue = ?5 AND visible <= ?2 AND expires > ?2 AND received - base >= ?6`,
		dead.id, at, q.arn(), dead.number("MessageRetentionPeriod")*1000, q.id, p.Max)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return dead.id, nil
}

// message is what the receiver sees of m.
func (m *stored) message(q queue, in *wsqs.ReceiveMessageInput) (wsqs.Message, error) {
	var attributes map[string]value
	if err := json.Unmarshal([]byte(m.attributes), &attributes); err != nil {
		return wsqs.Message{}, err
	}
	out := wsqs.Message{MessageId: m.id, Body: m.body, MD5OfBody: md5Of(m.body), ReceiptHandle: handle{q.id, m.seq, m.received, m.id}.String()}
	if c := chosen(attributes, in.MessageAttributeNames); len(c) > 0 {
		out.MessageAttributes, out.MD5OfMessageAttributes = c, md5OfAttributes(c)
	}
	system := map[string]string{
		"SenderId":                         m.sender,
		"SentTimestamp":                    strconv.FormatInt(m.sent, 10),
		"ApproximateReceiveCount":          strconv.FormatInt(m.received, 10),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first, 10),
		"AWSTraceHeader":                   m.trace,
		"MessageGroupId":                   m.group,
		"DeadLetterQueueSourceArn":         m.source,
	}
	if q.fifo() {
		system["SequenceNumber"], system["MessageDeduplicationId"] = sequence(m.seq), m.dedup
	}
	names := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	for name, v := range system {
		if v != "" && (slices.Contains(names, "All") || slices.Contains(names, name)) {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = v
		}
	}
	return out, nil
}
