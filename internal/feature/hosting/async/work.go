// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// maxLost is how often a request may be lost, with its instance or to an object
// store that does not answer, before it has failed: one that kills each instance
// that takes it must end.
const maxLost = 3

// pauseAfter is how long a request waits that was lost n times.
func pauseAfter(n int) time.Duration { return time.Second << n }

// The ends of a request, as notifications spell them.
const (
	completed = "Completed"
	failed    = "Failed"
	expired   = "Expired"
)

// outcome is how a request ended.
type outcome struct {
	status, reason    string
	variant, instance string
	contentType       string // of the response
	response          []byte // whole, when it is to be in the notification
	wrote             bool   // the output, or failure, object is there

	downloadFailed, uploadFailed bool
	waited                       time.Duration // in the queue
	download, model, upload      time.Duration
}

// retry is what passes: the request is tried again after a pause. last is how
// the request ends when it was lost too often.
type retry struct {
	err     error
	counted bool
	last    outcome
}

func (r *retry) Error() string { return r.err.Error() }

// work runs a request that was taken, and settles it or gives it back. When ctx
// ends it leaves the request as it is: it was dropped, or the next process runs
// it again.
func (q *Queue) work(ctx context.Context, j *job, slot Slot) {
	o, err := q.try(ctx, j, slot)
	if ctx.Err() != nil {
		return
	}
	if again, ok := errors.AsType[*retry](err); ok {
		q.Log.Warn("asynchronous request is tried again", "name", j.lane.ep.Name, "inference", j.InferenceID, "lost", j.lost, "err", again.err)
		if !again.counted || j.lost+1 < maxLost {
			pause := time.Second
			if again.counted {
				pause = pauseAfter(j.lost)
			}
			if err := q.again(ctx, j, pause, again.counted); err != nil {
				q.Log.Error("asynchronous request not given back", "name", j.lane.ep.Name, "err", err)
			}
			return
		}
		o = again.last
		q.writeReason(ctx, j, &o)
	}
	for n := 0; ; n++ { // a request must not be forgotten in the taken state
		if err = q.settle(ctx, j, &o); err == nil || ctx.Err() != nil {
			return
		}
		q.Log.Error("asynchronous request not settled", "name", j.lane.ep.Name, "inference", j.InferenceID, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pauseAfter(min(n, 5))):
		}
	}
}

// try takes the steps of a request; each may be taken again.
func (q *Queue) try(ctx context.Context, j *job, slot Slot) (outcome, error) {
	o := outcome{variant: slot.Variant, instance: slot.Instance, waited: q.Now().Sub(j.Received)}
	fail := func(format string, args ...any) (outcome, error) {
		o.status, o.reason = failed, "ClientError: "+fmt.Sprintf(format, args...)
		q.writeReason(ctx, j, &o)
		return o, nil
	}
	lost := func(err error, format string, args ...any) (outcome, error) {
		o.status, o.reason = failed, "InternalServerError: "+fmt.Sprintf(format, args...)
		return outcome{}, &retry{err: err, counted: true, last: o}
	}

	start := q.Now()
	in, size, err := q.open(ctx, j)
	switch {
	case errors.Is(err, object.ErrNotFound):
		o.downloadFailed = true
		return fail("Failed to download the input %s: %s.", j.InputLocation, missing(err))
	case err != nil:
		o.downloadFailed = true
		return lost(err, "Failed to download the input %s.", j.InputLocation)
	}
	defer in.Close()
	if size > MaxInput {
		o.downloadFailed = true
		return fail("The input %s has %d bytes, more than the limit of %d bytes.", j.InputLocation, size, MaxInput)
	}
	o.download = q.Now().Sub(start)
	source := &timed{r: in, now: q.Now}

	within, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	start = q.Now()
	resp, err := slot.Invoke(within, &j.Request, source, size)
	read, sourceErr := source.seen()
	o.download, o.model = o.download+read, q.Now().Sub(start)-read
	if err == nil {
		defer resp.Body.Close()
		o.contentType = resp.Header.Get("Content-Type")
		err = q.keep(ctx, j, resp, &o)
	}
	var store *storeError
	switch {
	case err == nil && resp.Status >= 400:
		o.status, o.reason = failed, modelReason(resp.Status)
		return o, nil
	case err == nil:
		o.status = completed
		return o, nil
	case within.Err() != nil:
		return fail("The model did not answer within %d seconds.", int(j.Timeout.Seconds()))
	case errors.Is(err, ErrNotTaken):
		return outcome{}, &retry{err: err}
	case sourceErr != nil:
		o.downloadFailed = true
		return lost(sourceErr, "Failed to download the input %s.", j.InputLocation)
	case errors.As(err, &store) && errors.Is(err, object.ErrNotFound):
		o.uploadFailed = true
		return fail("Failed to upload the response to %s: %s.", store.to, missing(err))
	case errors.As(err, &store):
		o.uploadFailed = true
		return lost(err, "Failed to upload the response to %s.", store.to)
	}
	return lost(err, "The instance that processed the request stopped before it answered.")
}

// modelReason is a model's refusal in the service's words.
func modelReason(status int) string {
	side := "client"
	if status >= 500 {
		side = "server"
	}
	return fmt.Sprintf("ClientError: Received %s error (%d) from model. See the SageMaker Endpoint logs in your account for more information.", side, status)
}

func missing(err error) string {
	if errors.Is(err, object.ErrNoBucket) {
		return "The specified bucket does not exist"
	}
	return "The specified key does not exist"
}

// open begins to read the input.
func (q *Queue) open(ctx context.Context, j *job) (io.ReadCloser, int64, error) {
	if j.InputLocation == "" {
		return io.NopCloser(bytes.NewReader(j.Body)), int64(len(j.Body)), nil
	}
	u, err := locate(j.InputLocation)
	if err != nil {
		return nil, 0, err
	}
	info, err := q.Objects.Stat(ctx, u)
	if err != nil {
		return nil, 0, err
	}
	if info.Size > MaxInput {
		return io.NopCloser(bytes.NewReader(nil)), info.Size, nil
	}
	r, err := q.Objects.Open(ctx, u, 0, info.Size)
	return r, info.Size, err
}

// storeError is a failure to write a result.
type storeError struct {
	to  string
	err error
}

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// keep writes the response where it belongs, and remembers it for the
// notification when that takes it.
func (q *Queue) keep(ctx context.Context, j *job, resp *Response, o *outcome) error {
	to, include := j.Output, j.IncludeSuccess && j.SuccessTopic != ""
	if resp.Status >= 400 {
		to, include = j.Failure, j.IncludeErr && j.ErrorTopic != ""
	}
	start := q.Now()
	body := &timed{r: resp.Body, now: q.Now}
	var from io.Reader = body
	var first head
	if include {
		from = io.TeeReader(body, &first)
	}
	var err error
	if to == "" {
		_, err = io.Copy(io.Discard, from)
	} else {
		err = q.put(ctx, to, o.contentType, from)
	}
	read, broken := body.seen()
	if broken != nil {
		return broken
	}
	// What the model still computes while it answers is its own time.
	o.upload, o.model = q.Now().Sub(start)-read, o.model+read
	if err != nil {
		return &storeError{to, err}
	}
	o.wrote = to != ""
	if include && !first.more {
		o.response = append([]byte{}, first.b...)
	}
	return nil
}

func (q *Queue) put(ctx context.Context, to, contentType string, from io.Reader) error {
	u, err := object.ParseURI(to)
	if err != nil {
		return err
	}
	_, err = object.PutTyped(ctx, q.Objects, u, contentType, from)
	return err
}

// writeReason makes the failure object of a request that has no response of the
// model's: it holds the reason. One that cannot be written is left out, for the
// notification still tells.
func (q *Queue) writeReason(ctx context.Context, j *job, o *outcome) {
	o.contentType, o.response = "text/plain", nil
	if j.Failure == "" {
		return
	}
	if err := q.put(ctx, j.Failure, o.contentType, bytes.NewReader([]byte(o.reason))); err != nil {
		q.Log.Warn("failure object not written", "name", j.lane.ep.Name, "inference", j.InferenceID, "err", err)
		return
	}
	o.wrote = true
}

// head remembers what is written up to maxIncluded bytes.
type head struct {
	b    []byte
	more bool
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), maxIncluded-len(h.b))
	h.b = append(h.b, p[:n]...)
	h.more = h.more || n < len(p)
	return len(p), nil
}

// timed tells how long its reads took, and which error ended them. The reads
// may go on beside those who ask.
type timed struct {
	r   io.Reader
	now func() time.Time

	mu   sync.Mutex
	took time.Duration
	err  error
}

func (t *timed) Read(p []byte) (int, error) {
	start := t.now()
	n, err := t.r.Read(p)
	d := t.now().Sub(start)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took += d
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

func (t *timed) seen() (took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.took, t.err
}
