// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// settle ends a request: it is removed and its notification noted, in one
// transaction. A request that is gone, since it was dropped or another run has
// settled it, stays as it is and nothing is told.
func (q *Queue) settle(ctx context.Context, j *job, o *outcome) error {
	q.tidy(ctx, j, o)
	topic := j.SuccessTopic
	if o.status != completed {
		topic = j.ErrorTopic
	}
	now := q.Now()
	ep := j.lane.ep
	settled := false
	err := q.file.Write(ctx, func(w sqlfile.Writer) error {
		res, err := w.Exec("DELETE FROM request WHERE id = ?", j.row)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if settled = n == 1; err != nil || !settled || topic == "" {
			return err
		}
		_, err = w.Exec("INSERT INTO outbox (account, region, endpoint, variant, topic, message, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
			ep.Account, ep.Region, ep.Name, o.variant, topic, message(&j.Request, ep, o, now), now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("settle request: %w", err)
	}
	if settled {
		wake(q.tell)
		q.count(ctx, j, o, now)
	}
	return nil
}

// tidy removes what an earlier run, cut off before it could settle, may have
// left of the other result, so that only one is to be seen.
func (q *Queue) tidy(ctx context.Context, j *job, o *outcome) {
	if j.starts+j.lost < 2 {
		return
	}
	other := j.Failure
	if o.status != completed {
		if other = j.Output; j.Named { // other requests may have written there
			return
		}
	}
	if other == "" {
		return
	}
	u, err := object.ParseURI(other)
	if err == nil {
		err = q.Objects.Delete(ctx, u)
	}
	if err != nil && !errors.Is(err, object.ErrNotFound) {
		q.Log.Warn("result of an earlier run not removed", "name", j.lane.ep.Name, "inference", j.InferenceID, "err", err)
	}
}

// The notification, as "Check prediction results" in the developer guide shows
// it; what topics get of a failure is of the same form.
type notification struct {
	AwsRegion          string        `json:"awsRegion"`
	EventTime          string        `json:"eventTime"`
	ReceivedTime       string        `json:"receivedTime"`
	InvocationStatus   string        `json:"invocationStatus"`
	FailureReason      string        `json:"failureReason,omitempty"`
	RequestParameters  asked         `json:"requestParameters"`
	ResponseParameters *answered     `json:"responseParameters,omitempty"`
	ResponseBody       *responseBody `json:"responseBody,omitempty"`
	InferenceID        string        `json:"inferenceId"`
	EventVersion       string        `json:"eventVersion"`
	EventSource        string        `json:"eventSource"`
	EventName          string        `json:"eventName"`
}

type asked struct {
	Accept           string `json:"accept,omitempty"`
	ContentType      string `json:"contentType,omitempty"`
	CustomAttributes string `json:"customAttributes,omitempty"`
	EndpointName     string `json:"endpointName"`
	InputLocation    string `json:"inputLocation,omitempty"`
}

type answered struct {
	ContentType     string `json:"contentType,omitempty"`
	OutputLocation  string `json:"outputLocation,omitempty"`
	FailureLocation string `json:"failureLocation,omitempty"`
}

type responseBody struct {
	Content  string `json:"content"`
	Message  string `json:"message"`
	Encoding string `json:"encoding"`
}

const eventTime = "2006-01-02T15:04:05.000Z"

func message(r *Request, ep Endpoint, o *outcome, now time.Time) []byte {
	n := notification{
		AwsRegion: ep.Region, EventTime: now.UTC().Format(eventTime), ReceivedTime: r.Received.UTC().Format(eventTime),
		InvocationStatus: o.status, FailureReason: o.reason,
		RequestParameters: asked{Accept: r.Accept, ContentType: r.ContentType, CustomAttributes: r.CustomAttributes,
			EndpointName: ep.Name, InputLocation: r.InputLocation},
		InferenceID: r.InferenceID, EventVersion: "1.0", EventSource: "aws:sagemaker", EventName: "InferenceResult",
	}
	switch {
	case o.status == completed:
		n.ResponseParameters = &answered{ContentType: o.contentType, OutputLocation: r.Output}
	case o.wrote:
		n.ResponseParameters = &answered{ContentType: o.contentType, FailureLocation: r.Failure}
	}
	if o.response != nil {
		n.ResponseBody = &responseBody{Content: base64.StdEncoding.EncodeToString(o.response), Encoding: "BASE64",
			Message: "Check S3 path location(if configured) or Cloudwatch for additional details."}
	}
	b, err := json.Marshal(n)
	if err != nil {
		panic(fmt.Sprintf("async: notification as JSON: %v", err)) // strings always can
	}
	return b
}

// letter is a row of the outbox.
type letter struct {
	row                                       int64
	account, region, endpoint, variant, topic string
	message                                   []byte
	tries                                     int
}

const letterBatch = 50

// publish tells the topics what was settled, until ctx ends. A topic that
// cannot be reached is tried again, with a growing pause, for as long as it
// takes; one that refuses is not. A notification may come twice when the
// process is killed at the moment, as SNS promises for its own.
func (q *Queue) publish(ctx context.Context) error {
	if q.Notifier == nil {
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := q.Publish(ctx); err != nil && ctx.Err() == nil {
			q.Log.Error("notifications of asynchronous requests not sent", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-q.tell:
		}
	}
}

// Publish sends the notifications that are due. Run does it.
func (q *Queue) Publish(ctx context.Context) error {
	for {
		due, err := q.letters(ctx)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, l := range due {
			err := q.Notifier.Notify(ctx, l.account, l.region, l.topic, "", l.message)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := q.sent(ctx, l, err); err != nil {
				return err
			}
		}
	}
}

func (q *Queue) letters(ctx context.Context) (due []letter, err error) {
	err = q.file.Read(ctx, func(r sqlfile.Querier) error {
		rows, err := r.QueryContext(ctx, `SELECT id, account, region, endpoint, variant, topic, message, tries FROM outbox
			WHERE due <= ? ORDER BY due, id LIMIT ?`, q.Now().UnixMilli(), letterBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l letter
			if err := rows.Scan(&l.row, &l.account, &l.region, &l.endpoint, &l.variant, &l.topic, &l.message, &l.tries); err != nil {
				return err
			}
			due = append(due, l)
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	return due, err
}

// sent removes a letter that has come or never will, and puts off any other.
func (q *Queue) sent(ctx context.Context, l letter, failure error) error {
	f := fault.Of(failure)
	refused := f != nil && f.Status >= http.StatusBadRequest && f.Status < http.StatusInternalServerError && f.Status != http.StatusTooManyRequests
	if failure != nil {
		q.Log.Warn("notification of an asynchronous request not sent", "name", l.endpoint, "topic", l.topic, "again", !refused, "err", failure)
		if l.tries == 0 {
			q.countNotificationFailure(ctx, l)
		}
	}
	return q.file.Write(ctx, func(w sqlfile.Writer) error {
		if failure == nil || refused {
			_, err := w.Exec("DELETE FROM outbox WHERE id = ?", l.row)
			return err
		}
		_, err := w.Exec("UPDATE outbox SET tries = tries + 1, due = ? WHERE id = ?", q.Now().Add(pauseAfter(min(l.tries, 6))).UnixMilli(), l.row)
		return err
	})
}
