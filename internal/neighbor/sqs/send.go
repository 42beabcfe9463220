// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

// recently is the deduplication interval of the service.
const recently = 5 * time.Minute

// outgoing is a message on its way into a queue.
type outgoing struct {
	wsqs.SendMessageInput
	sender string
	name   string // under which it is delivered once; "" for none
}

// size is what counts against the limits, in bytes.
func (m *outgoing) size() int {
	n := len(m.MessageBody)
	for name, v := range m.MessageAttributes {
		n += len(name) + len(v.DataType) + len(v.StringValue) + len(v.BinaryValue)
	}
	return n
}

var fifoID = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]{1,128}$")

// check answers what is wrong with m for q; it fills in the ID by which a FIFO
// queue knows it again.
func (m *outgoing) check(q queue) *fault.Fault {
	if m.MessageBody == "" {
		return refusal("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	if err := checkText(m.MessageBody); err != nil {
		return err
	}
	if _, err := checkAttributes(m.MessageAttributes); err != nil {
		return err
	}
	for _, v := range m.MessageSystemAttributes {
		if v.DataType != "String" || v.StringValue == "" {
			return refusal("InvalidParameterValue", "The system attribute AWSTraceHeader must be a String with a value.")
		}
	}
	if limit := q.number("MaximumMessageSize"); int64(m.size()) > limit {
		return refusal("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	if d := m.DelaySeconds; d != nil && (*d < 0 || *d > 900) {
		return invalidValue("DelaySeconds", *d, "DelaySeconds must be >= 0 and <= 900.")
	}
	if m.MessageGroupId != "" && !fifoID.MatchString(m.MessageGroupId) {
		return invalidValue("MessageGroupId", m.MessageGroupId, "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if m.MessageDeduplicationId != "" && !fifoID.MatchString(m.MessageDeduplicationId) {
		return invalidValue("MessageDeduplicationId", m.MessageDeduplicationId, "MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if !q.fifo() {
		if m.MessageDeduplicationId != "" {
			return invalidValue("MessageDeduplicationId", m.MessageDeduplicationId, wrongKind)
		}
		return nil
	}
	if m.DelaySeconds != nil && *m.DelaySeconds != 0 {
		return invalidValue("DelaySeconds", *m.DelaySeconds, wrongKind)
	}
	if m.MessageGroupId == "" {
		return refusal("MissingParameter", "The request must contain the parameter MessageGroupId.")
	}
	if m.MessageDeduplicationId == "" {
		if q.get("ContentBasedDeduplication") != "true" {
			return refusal("InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
		}
		sum := sha256.Sum256([]byte(m.MessageBody)) // of the body without the attributes
		m.MessageDeduplicationId = hex.EncodeToString(sum[:])
	}
	return nil
}

// put stores m, or finds that it was sent a moment ago.
func (s *Service) put(ctx context.Context, w sqlfile.Writer, q queue, m outgoing) (*wsqs.SendMessageOutput, error) {
	if f := m.check(q); f != nil {
		return nil, f
	}
	now := s.now()
	out := &wsqs.SendMessageOutput{MessageId: uuid.NewString(), MD5OfMessageBody: md5Of(m.MessageBody), MD5OfMessageAttributes: md5OfAttributes(m.MessageAttributes)}
	system := map[string]value{}
	for k, v := range m.MessageSystemAttributes {
		system[k] = value(v)
	}
	out.MD5OfMessageSystemAttributes = md5OfAttributes(system)
	var key string
	switch {
	case m.name != "":
		key = "name/" + m.name
	case q.fifo() && q.get("DeduplicationScope") == "messageGroup":
		key = "group/" + m.MessageGroupId + " " + m.MessageDeduplicationId // no ID has a space
	case q.fifo():
		key = "id/" + m.MessageDeduplicationId
	}
	var seq int64
	if key != "" {
		err := w.QueryRowContext(ctx, "SELECT message, seq FROM recent WHERE queue = ? AND key = ? AND at > ?", q.id, key, now.Add(-recently).UnixMilli()).
			Scan(&out.MessageId, &seq)
		if err == nil {
			if q.fifo() {
				out.SequenceNumber = sequence(seq)
			}
			return out, nil
		} else if !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	delay := q.number("DelaySeconds")
	if m.DelaySeconds != nil && !q.fifo() {
		delay = *m.DelaySeconds
	}
	attributes, err := json.Marshal(m.MessageAttributes)
	if err != nil {
		return nil, fmt.Errorf("write attributes: %w", err)
	}
	at := now.UnixMilli()
	res, err := w.Exec(`INSERT INTO message (queue, id, body, attributes, trace, sender, grp, dedup, sent, expires, visible)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, q.id, out.MessageId, m.MessageBody, string(attributes), system["AWSTraceHeader"].StringValue, m.sender,
		m.MessageGroupId, m.MessageDeduplicationId, at, at+1000*q.number("MessageRetentionPeriod"), at+1000*delay)
	if err != nil {
		return nil, err
	}
	if seq, err = res.LastInsertId(); err != nil {
		return nil, err
	}
	if q.fifo() {
		out.SequenceNumber = sequence(seq)
	}
	if key != "" {
		_, err = w.Exec("INSERT INTO recent (queue, key, message, seq, at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET message = ?3, seq = ?4, at = ?5",
			q.id, key, out.MessageId, seq, at)
	}
	return out, err
}

// sequence is a number of 20 digits, as the service's are.
func sequence(seq int64) string { return fmt.Sprintf("%020d", seq) }

// sendMessage is API_SendMessage. The message is stored when it is answered.
func (s *Service) sendMessage(ctx context.Context, in *wsqs.SendMessageInput) (*wsqs.SendMessageOutput, error) {
	var out *wsqs.SendMessageOutput
	var q queue
	err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
		if q, err = find(ctx, w, in.QueueUrl); err != nil {
			return err
		}
		out, err = s.put(ctx, w, q, outgoing{SendMessageInput: *in, sender: sender(ctx)})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.wake(q.id)
	return out, nil
}

func sender(ctx context.Context) string {
	c := auth.CallerFrom(ctx)
	if c.UserID != "" {
		return c.UserID
	}
	return c.Account
}

// Deliver puts a message into the queue with this ARN in the name of another
// service, its sender. What comes a second time under a name within five
// minutes is there once. A queue that is not there, and a message that the
// queue cannot take, are faults; a QueueUrl in m is not looked at.
func (s *Service) Deliver(ctx context.Context, queueARN, name, sender string, m *wsqs.SendMessageInput) error {
	var q queue
	err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
		if q, err = queueByARN(ctx, w, queueARN); errors.Is(err, sql.ErrNoRows) {
			return noQueue()
		} else if err != nil {
			return err
		}
		_, err = s.put(ctx, w, q, outgoing{SendMessageInput: *m, sender: sender, name: name})
		return err
	})
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", queueARN, err)
	}
	s.wake(q.id)
	return nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// maxBatch is how many entries a batch has at most.
const maxBatch = 10

// checkBatch holds the IDs of a batch's entries against the rules.
func checkBatch(ids []string) error {
	if len(ids) == 0 {
		return refusal("EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(ids) > maxBatch {
		return refusal("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(ids))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !entryID.MatchString(id) {
			return refusal("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return refusal("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

// failed is a batch's entry that was refused. An error of ours fails the whole
// request instead.
func failed(id string, err error) (wsqs.BatchResultErrorEntry, error) {
	f := fault.Of(err)
	if f == nil {
		return wsqs.BatchResultErrorEntry{}, err
	}
	code := f.Code
	if c := old[code]; c != "" {
		code = c
	}
	return wsqs.BatchResultErrorEntry{Id: id, SenderFault: new(true), Code: code, Message: f.Message}, nil
}

// ids are the IDs of a batch's entries.
func ids[E any](entries []E, id func(*E) string) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = id(&entries[i])
	}
	return out
}

// sendMessageBatch is API_SendMessageBatch: each entry is stored or refused for
// itself.
func (s *Service) sendMessageBatch(ctx context.Context, in *wsqs.SendMessageBatchInput) (*wsqs.SendMessageBatchOutput, error) {
	if err := checkBatch(ids(in.Entries, func(e *wsqs.SendMessageBatchRequestEntry) string { return e.Id })); err != nil {
		return nil, err
	}
	messages, total := make([]outgoing, len(in.Entries)), 0
	for i, e := range in.Entries {
		messages[i] = outgoing{sender: sender(ctx), SendMessageInput: wsqs.SendMessageInput{MessageBody: e.MessageBody, DelaySeconds: e.DelaySeconds,
			MessageAttributes: e.MessageAttributes, MessageSystemAttributes: e.MessageSystemAttributes,
			MessageDeduplicationId: e.MessageDeduplicationId, MessageGroupId: e.MessageGroupId}}
		total += messages[i].size()
	}
	if total > maxSize {
		return nil, refusal("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxSize, total)
	}
	out := &wsqs.SendMessageBatchOutput{}
	var q queue
	err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
		if q, err = find(ctx, w, in.QueueUrl); err != nil {
			return err
		}
		for i, m := range messages {
			id := in.Entries[i].Id
			r, err := s.put(ctx, w, q, m)
			if err != nil {
				f, err := failed(id, err)
				if err != nil {
					return err
				}
				out.Failed = append(out.Failed, f)
				continue
			}
			out.Successful = append(out.Successful, wsqs.SendMessageBatchResultEntry{Id: id, MessageId: r.MessageId, MD5OfMessageBody: r.MD5OfMessageBody,
				MD5OfMessageAttributes: r.MD5OfMessageAttributes, MD5OfMessageSystemAttributes: r.MD5OfMessageSystemAttributes, SequenceNumber: r.SequenceNumber})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.wake(q.id)
	return out, nil
}
