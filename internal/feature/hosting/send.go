// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
)

// write builds what the first container gets: only the headers that the service
// forwards. Source: "How Containers Serve Requests".
func (x *exchange) write(body io.Reader) error {
	n := -1
	if l, ok := body.(interface{ Len() int }); ok {
		n = l.Len()
	}
	if n < 0 {
		text, err := io.ReadAll(body)
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		n, body = len(text), bytes.NewReader(text)
	}
	if x.v.gate != nil && n > serverlessBody {
		return fault.New("RequestEntityTooLargeException", http.StatusRequestEntityTooLarge,
			"The request body is larger than the limit of %d bytes of serverless endpoints.", serverlessBody)
	}
	x.head(x.path(), x.contentType, n)
	_, err := x.text.ReadFrom(body)
	return err
}

// path is where the container that is asked next takes requests.
func (x *exchange) path() string {
	if x.v.multi == x.hop+1 {
		return "/models/" + opaque(x.model) + "/invoke"
	}
	return "/invocations"
}

// head writes the head of a request with a body of n bytes into the buffer.
func (x *exchange) head(path, contentType string, n int) {
	buf := x.text
	buf.Reset()
	buf.WriteString("POST ")
	buf.WriteString(path)
	buf.WriteString(" HTTP/1.1\r\nHost: model\r\n")
	header := func(name, value string) {
		if value != "" {
			buf.WriteString(name)
			buf.WriteString(": ")
			buf.WriteString(serving.HeaderSafe(value))
			buf.WriteString("\r\n")
		}
	}
	header("Content-Type", contentType)
	header("Accept", x.accept)
	header("X-Amzn-SageMaker-Custom-Attributes", x.custom)
	header("X-Amzn-SageMaker-Inference-Id", x.inferenceID)
	header("X-Amzn-SageMaker-Session-Id", x.session)
	header("X-Amzn-SageMaker-Target-Model", x.model)
	header("Content-Length", strconv.Itoa(n))
	buf.WriteString("\r\n")
	x.body = buf.Len()
}

// ask sends the request through the containers of an instance and reads the
// head of the last one's answer. When it answers no error the caller must read
// the answer, and call finish.
func (s *Service) ask(ctx context.Context, x *exchange) error {
	var err error
	switch {
	case x.v.gate != nil:
		err = s.askServerless(ctx, x)
	case x.v.multi > 0:
		err = s.askMultiModel(ctx, x)
	case x.held != nil:
		err = x.sendHeld(ctx)
	default:
		err = x.send(ctx)
	}
	if err == nil && len(x.v.hosts) > 1 && !x.v.direct {
		err = x.chain(ctx)
	}
	x.took = time.Since(x.start)
	if err == nil {
		s.noteSession(x)
		return nil
	}
	f := fault.Of(err)
	switch {
	case f != nil:
	case errors.Is(err, serving.ErrNotSent), serving.ClosedByPeer(err) && s.died(ctx, x):
		f = unavailable(x.endpoint)
	default:
		f = s.modelFault(x, 0, s.problem(x, err))
	}
	x.answer.Status = statusOf(f)
	s.finish(x, err)
	return f
}

// statusOf is how metrics count a request that has no answer.
func statusOf(f *fault.Fault) int {
	if f.Code != "ModelError" {
		return f.Status
	}
	if status, ok := f.Extra["OriginalStatusCode"].(int); ok && status > 0 {
		return status
	}
	return http.StatusInternalServerError
}

// deathNews is how long the end of a container's task may take to be known after
// its connections have closed.
const deathNews = 250 * time.Millisecond

// died tells whether the container that hung up has ended: then it is no error
// of the model, and clients may try again, as they do by themselves after
// ServiceUnavailable. The service does not: the container may have begun.
func (s *Service) died(ctx context.Context, x *exchange) bool {
	if x.t == nil || x.hop >= len(x.t.tasks) {
		return false
	}
	for end := time.Now().Add(deathNews); ; time.Sleep(10 * time.Millisecond) {
		state, err := s.Runtime.Inspect(ctx, x.t.tasks[x.hop])
		if err != nil || state.Phase != runtime.Running {
			return err == nil
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// send tries the least busy instance, and the next one where nothing was sent.
func (x *exchange) send(ctx context.Context) error {
	var tried []*target
	for {
		t := x.v.least(tried, int(x.start.UnixNano()>>10)&0xffff)
		if t == nil {
			return serving.ErrNotSent
		}
		err := x.sendTo(ctx, t)
		if err == nil || !errors.Is(err, serving.ErrNotSent) {
			return err
		}
		tried = append(tried, t)
	}
}

// sendHeld sends the request to the instance of its session.
func (x *exchange) sendHeld(ctx context.Context) error {
	if x.held.outstanding.Load() >= maxOutstanding {
		return serving.ErrNotSent
	}
	return x.sendTo(ctx, x.held)
}

// sendTo sends the request to one instance, which counts it until finish, but
// where nothing was sent.
func (x *exchange) sendTo(ctx context.Context, t *target) (err error) {
	t.outstanding.Add(1)
	x.t, x.backend = t, t.containers[x.hop]
	if x.answer, x.conn, err = x.backend.Post(ctx, x.text.Bytes(), x.deadline()); errors.Is(err, serving.ErrNotSent) {
		t.outstanding.Add(-1)
		x.t = nil
	}
	return err
}

// chain hands each container's answer to the next as its request. Source: "Host
// models along with pre-processing logic as serial inference pipeline".
func (x *exchange) chain(ctx context.Context) error {
	last := x.start
	for {
		now := time.Now()
		x.hops = append(x.hops, now.Sub(last))
		last = now
		if x.hop == len(x.t.containers)-1 || x.answer.Status >= 300 {
			return nil
		}
		contentType := x.contentType
		if h := x.answer.Header[0]; len(h) > 0 {
			contentType = h[0]
		}
		var between bytes.Buffer
		err := x.conn.CopyBody(&between, &x.answer)
		x.backend.Done(x.conn, &x.answer, err == nil)
		if err != nil {
			return err
		}
		x.hop++
		x.head(x.path(), contentType, between.Len())
		x.text.Write(between.Bytes())
		x.backend = x.t.containers[x.hop]
		if x.answer, x.conn, err = x.backend.Post(ctx, x.text.Bytes(), x.deadline()); err != nil {
			if errors.Is(err, serving.ErrNotSent) { // but the containers before had it
				err = errors.New("the container could not be reached")
			}
			return err
		}
	}
}

// finish counts the request, which is over.
func (s *Service) finish(x *exchange, err error) {
	s.offer(x, err)
	if x.t != nil {
		x.t.outstanding.Add(-1)
		if x.release != nil {
			x.release()
			x.release = nil
		}
		if x.v.gate != nil {
			x.v.gate.release(x.t, s.Now())
		}
	}
	config := ""
	if x.fleet != nil && x.fleet.shared {
		config = x.fleet.config
	}
	x.v.meter.add(sample{config: config, hosts: x.v.hosts, broken: x.broken, status: x.answer.Status, instances: len(x.v.targets), model: max(x.took-x.setup-x.loading, 0), total: time.Since(x.start), setup: x.setup, first: x.firstChunk, hops: x.hops})
	x.t = nil
}

// containerCalled is how messages name the container that was asked last.
func (x *exchange) containerCalled() string {
	if x.hop < len(x.v.hosts) {
		return x.v.hosts[x.hop]
	}
	return "primary"
}

// problem words a failure of the connection to a container.
func (s *Service) problem(x *exchange, err error) string {
	if serving.TimedOut(err) {
		return fmt.Sprintf("Your invocation timed out while waiting for a response from container %s. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.", x.containerCalled())
	}
	switch {
	case x.answer.Status > 0:
		return "The container broke off its answer."
	case serving.ClosedByPeer(err):
		return "The container closed the connection before it answered."
	}
	return "The container's answer was not HTTP."
}

// modelFault is ModelError: the container answered with an error, or not at all
// (status 0).
func (s *Service) modelFault(x *exchange, status int, text string) *fault.Fault {
	side := "server"
	if status >= 400 && status < 500 {
		side = "client"
	}
	group := "/aws/sagemaker/Endpoints/" + x.endpoint
	f := fault.New("ModelError", http.StatusFailedDependency,
		"Received %s error (%d) from %s with message \"%s\". See https://%s.console.aws.amazon.com/cloudwatch/home?region=%s#logEventViewer:group=%s in account %s for more information.",
		side, status, x.containerCalled(), text, x.caller.Region, x.caller.Region, group, x.caller.Account)
	f.Extra = map[string]any{"OriginalStatusCode": status, "OriginalMessage": text,
		"LogStreamArn": arn.ARN{Service: "logs", Region: x.caller.Region, Account: x.caller.Account, Resource: "log-group:" + group}.String()}
	return f
}
