// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

// handle is what a receipt handle says: which message of which queue, and
// which of its receives. The ID guards against a number made up.
type handle struct {
	queue, seq, received int64
	id                   string
}

func (h handle) String() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "1/%d/%d/%d/%s", h.queue, h.seq, h.received, h.id))
}

func parseHandle(text string) (handle, bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return handle{}, false
	}
	parts := strings.Split(string(b), "/")
	if len(parts) != 5 || parts[0] != "1" {
		return handle{}, false
	}
	var n [3]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(parts[i+1], 10, 64); err != nil {
			return handle{}, false
		}
	}
	return handle{n[0], n[1], n[2], parts[4]}, true
}

// held is the message of a receipt handle, as it stands.
type held struct {
	handle
	gone    bool  // it was deleted, or its time is over
	stale   bool  // it was received again since
	visible int64 // from when it may be received
	first   int64
}

// look reads the message of a receipt handle of q.
func (s *Service) look(ctx context.Context, w sqlfile.Writer, q queue, text string) (held, error) {
	h, ok := parseHandle(text)
	if !ok || h.queue != q.id {
		return held{}, refusal("ReceiptHandleIsInvalid", "The input receipt handle \"%s\" is not a valid receipt handle.", text)
	}
	m := held{handle: h}
	var received, expires int64
	err := w.QueryRowContext(ctx, "SELECT received, visible, first, expires FROM message WHERE seq = ? AND queue = ? AND id = ?", h.seq, q.id, h.id).
		Scan(&received, &m.visible, &m.first, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		m.gone = true
		return m, nil
	}
	m.stale, m.gone = received != h.received, expires <= s.now().UnixMilli()
	return m, err
}

func expired(text string) error {
	return invalidValue("ReceiptHandle", text, "The receipt handle has expired.")
}

// remove deletes the message of a receipt handle. One that is deleted already
// is no error. An old handle of a standard queue deletes nothing and is no
// error either; a FIFO queue says so.
func (s *Service) remove(ctx context.Context, w sqlfile.Writer, q queue, text string) error {
	m, err := s.look(ctx, w, q, text)
	if err != nil {
		return err
	}
	if q.fifo() && !m.gone && (m.stale || m.visible <= s.now().UnixMilli()) {
		return expired(text)
	}
	if m.gone || m.stale {
		return nil
	}
	_, err = w.Exec("DELETE FROM message WHERE seq = ?", m.seq)
	return err
}

// maxHidden is how long a message may stay hidden after its receive.
const maxHidden = 12 * time.Hour

// hide changes when the message of a receipt handle is visible again.
func (s *Service) hide(ctx context.Context, w sqlfile.Writer, q queue, text string, seconds *int64) error {
	if seconds == nil {
		return missing("VisibilityTimeout")
	}
	if *seconds < 0 || *seconds > int64(maxHidden/time.Second) {
		return invalidValue("VisibilityTimeout", *seconds, "VisibilityTimeout must be an integer between 0 and 43200.")
	}
	m, err := s.look(ctx, w, q, text)
	if err != nil {
		return err
	}
	now := s.now().UnixMilli()
	switch {
	case m.gone:
		return invalidValue("ReceiptHandle", text, "Message does not exist or is not available for visibility timeout change.")
	case q.fifo() && (m.stale || m.visible <= now):
		return expired(text)
	case m.stale || m.visible <= now:
		return refusal("MessageNotInflight", "The specified message is not in flight.")
	}
	_, err = w.Exec("UPDATE message SET visible = ? WHERE seq = ?", now+1000**seconds, m.seq)
	return err
}

// edit runs fn over the queue that a request names, in one transaction, and
// wakes who waits there.
func (s *Service) edit(ctx context.Context, queueURL string, fn func(w sqlfile.Writer, q queue) error) error {
	var q queue
	err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
		if q, err = find(ctx, w, queueURL); err != nil {
			return err
		}
		return fn(w, q)
	})
	if err == nil {
		s.wake(q.id) // a group may go on, a message may be back
	}
	return err
}

// deleteMessage is API_DeleteMessage.
func (s *Service) deleteMessage(ctx context.Context, in *wsqs.DeleteMessageInput) (*wsqs.DeleteMessageOutput, error) {
	return &wsqs.DeleteMessageOutput{}, s.edit(ctx, in.QueueUrl, func(w sqlfile.Writer, q queue) error { return s.remove(ctx, w, q, in.ReceiptHandle) })
}

// changeMessageVisibility is API_ChangeMessageVisibility.
func (s *Service) changeMessageVisibility(ctx context.Context, in *wsqs.ChangeMessageVisibilityInput) (*wsqs.ChangeMessageVisibilityOutput, error) {
	return &wsqs.ChangeMessageVisibilityOutput{}, s.edit(ctx, in.QueueUrl, func(w sqlfile.Writer, q queue) error {
		return s.hide(ctx, w, q, in.ReceiptHandle, in.VisibilityTimeout)
	})
}

// batch runs one step for each ID, good or refused for itself.
func (s *Service) batch(ctx context.Context, queueURL string, ids []string, step func(w sqlfile.Writer, q queue, i int) error) (good []string, bad []wsqs.BatchResultErrorEntry, err error) {
	if err := checkBatch(ids); err != nil {
		return nil, nil, err
	}
	err = s.edit(ctx, queueURL, func(w sqlfile.Writer, q queue) error {
		for i, id := range ids {
			if err := step(w, q, i); err != nil {
				f, err := failed(id, err)
				if err != nil {
					return err
				}
				bad = append(bad, f)
				continue
			}
			good = append(good, id)
		}
		return nil
	})
	return good, bad, err
}

// deleteMessageBatch is API_DeleteMessageBatch.
func (s *Service) deleteMessageBatch(ctx context.Context, in *wsqs.DeleteMessageBatchInput) (*wsqs.DeleteMessageBatchOutput, error) {
	good, bad, err := s.batch(ctx, in.QueueUrl, ids(in.Entries, func(e *wsqs.DeleteMessageBatchRequestEntry) string { return e.Id }),
		func(w sqlfile.Writer, q queue, i int) error { return s.remove(ctx, w, q, in.Entries[i].ReceiptHandle) })
	out := &wsqs.DeleteMessageBatchOutput{Failed: bad}
	for _, id := range good {
		out.Successful = append(out.Successful, wsqs.DeleteMessageBatchResultEntry{Id: id})
	}
	return out, err
}

// changeMessageVisibilityBatch is API_ChangeMessageVisibilityBatch.
func (s *Service) changeMessageVisibilityBatch(ctx context.Context, in *wsqs.ChangeMessageVisibilityBatchInput) (*wsqs.ChangeMessageVisibilityBatchOutput, error) {
	good, bad, err := s.batch(ctx, in.QueueUrl, ids(in.Entries, func(e *wsqs.ChangeMessageVisibilityBatchRequestEntry) string { return e.Id }),
		func(w sqlfile.Writer, q queue, i int) error {
			return s.hide(ctx, w, q, in.Entries[i].ReceiptHandle, in.Entries[i].VisibilityTimeout)
		})
	out := &wsqs.ChangeMessageVisibilityBatchOutput{Failed: bad}
	for _, id := range good {
		out.Successful = append(out.Successful, wsqs.ChangeMessageVisibilityBatchResultEntry{Id: id})
	}
	return out, err
}
