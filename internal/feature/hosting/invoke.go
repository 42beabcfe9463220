// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// invokeTimeout is how long a container may take to answer.
// Source: "How Containers Serve Requests".
const invokeTimeout = 60 * time.Second

// maxModelError bounds what of a container's error is shown to the caller.
const maxModelError = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// invoke answers InvokeEndpoint: it finds the route, picks variant and
// instance, and hands request and answer through. Source: API_runtime_InvokeEndpoint.
func (s *Service) invoke(ctx context.Context, in *smr.InvokeEndpointInput, body io.Reader, w http.ResponseWriter) error {
	start := time.Now()
	c := auth.CallerFrom(ctx)
	r := s.routes.find(routeKey{c.Account, c.Region, in.EndpointName})
	if r == nil {
		return fault.New("ValidationError", http.StatusBadRequest, "Endpoint %s of account %s not found.", in.EndpointName, c.Account)
	}
	if err := refuseTargets(in); err != nil {
		return err
	}
	v := r.choose(in.TargetVariant, pick())
	if v == nil && in.TargetVariant != "" {
		return fault.New("ValidationError", http.StatusBadRequest, "Variant %s of endpoint %s was not found.", in.TargetVariant, in.EndpointName)
	}
	if v == nil || len(v.instances) == 0 {
		return unavailable(in.EndpointName)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	if err := writeRequest(buf, in, body); err != nil {
		return err
	}
	a, conn, b, err := v.send(ctx, buf.Bytes(), start)
	if b != nil {
		defer b.outstanding.Add(-1)
	}
	sample := sample{instances: len(v.instances), model: time.Since(start)}
	if err != nil {
		f := s.modelFault(c, in.EndpointName, 0, sendProblem(err))
		if errors.Is(err, errNotSent) {
			f = unavailable(in.EndpointName)
		}
		sample.status, sample.total = 500, time.Since(start)
		v.meter.add(sample)
		return f
	}
	sample.status = a.status
	err = s.passOn(c, in, v, &a, conn, b, w)
	sample.total = time.Since(start)
	v.meter.add(sample)
	return err
}

func refuseTargets(in *smr.InvokeEndpointInput) error {
	refuse := func(format string, args ...any) error {
		return fault.New("ValidationError", http.StatusBadRequest, format, args...)
	}
	switch {
	case in.TargetModel != "":
		return refuse("Endpoint %s is not a multi-model endpoint: TargetModel cannot be specified.", in.EndpointName)
	case in.TargetContainerHostname != "":
		return refuse("Endpoint %s is not a multi-container endpoint with direct invocation: TargetContainerHostname cannot be specified.", in.EndpointName)
	case in.InferenceComponentName != "":
		return refuse("Endpoint %s has no inference components: InferenceComponentName cannot be specified.", in.EndpointName)
	}
	return nil
}

func unavailable(name string) *fault.Fault {
	return fault.New("ServiceUnavailable", http.StatusServiceUnavailable, "Endpoint %s has no instance that can take the request now.", name)
}

// writeRequest builds what the container gets: only the headers that the
// service forwards. Source: "How Containers Serve Requests".
func writeRequest(buf *bytes.Buffer, in *smr.InvokeEndpointInput, body io.Reader) error {
	buf.Reset()
	buf.WriteString("POST /invocations HTTP/1.1\r\nHost: model\r\n")
	header := func(name, value string) {
		if value != "" {
			buf.WriteString(name)
			buf.WriteString(": ")
			buf.WriteString(headerSafe(value))
			buf.WriteString("\r\n")
		}
	}
	header("Content-Type", in.ContentType)
	header("Accept", in.Accept)
	header("X-Amzn-SageMaker-Custom-Attributes", in.CustomAttributes)
	header("X-Amzn-SageMaker-Inference-Id", in.InferenceId)
	header("X-Amzn-SageMaker-Session-Id", in.SessionId)
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
	header("Content-Length", strconv.Itoa(n))
	buf.WriteString("\r\n")
	_, err := buf.ReadFrom(body)
	return err
}

// headerSafe keeps a value from ending its line.
func headerSafe(v string) string {
	if strings.ContainsAny(v, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
	}
	return v
}

// send tries the least busy instance, and the next one where nothing was sent.
// The instance that answered counts the request until it is read.
func (v *variantRoute) send(ctx context.Context, request []byte, start time.Time) (answer, *conn, *backend, error) {
	var tried []*backend
	for {
		b := v.least(tried, int(start.UnixNano()>>10)&0xffff)
		if b == nil {
			return answer{}, nil, nil, errNotSent
		}
		b.outstanding.Add(1)
		a, c, err := b.post(ctx, request, start.Add(invokeTimeout))
		if err == nil || !errors.Is(err, errNotSent) {
			return a, c, b, err
		}
		b.outstanding.Add(-1)
		tried = append(tried, b)
	}
}

// passOn writes a good answer to the caller, or turns a bad one into ModelError.
func (s *Service) passOn(c auth.Caller, in *smr.InvokeEndpointInput, v *variantRoute, a *answer, conn *conn, b *backend, w http.ResponseWriter) error {
	if a.status >= 400 {
		text := limited{left: maxModelError}
		err := conn.copyBody(&text, a)
		b.done(conn, a, err == nil)
		return s.modelFault(c, in.EndpointName, a.status, string(text.b))
	}
	h := w.Header()
	for i, name := range passed {
		if val := a.header[i]; len(val) > 0 {
			h[name] = val
		}
	}
	h["X-Amzn-Invoked-Production-Variant"] = v.header
	if a.length > ownLength {
		h["Content-Length"] = []string{strconv.FormatInt(a.length, 10)}
	}
	w.WriteHeader(http.StatusOK)
	err := conn.copyBody(w, a)
	b.done(conn, a, err == nil)
	if err != nil { // the head is gone already: the connection must show that the answer is cut
		panic(http.ErrAbortHandler)
	}
	return nil
}

// ownLength is the longest answer, in bytes, whose length net/http finds by
// itself.
const ownLength = 2000

// limited takes the first bytes and fails at the first one too many.
type limited struct {
	b    []byte
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b, l.left = append(l.b, p[:n]...), l.left-n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// sendProblem words a failure of the connection to a container.
func sendProblem(err error) string {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
	}
	return "The container closed the connection before it answered."
}

// modelFault is ModelError: the container answered with an error, or not at all
// (status 0).
func (s *Service) modelFault(c auth.Caller, endpoint string, status int, text string) *fault.Fault {
	side := "server"
	if status >= 400 && status < 500 {
		side = "client"
	}
	group := "/aws/sagemaker/Endpoints/" + endpoint
	f := fault.New("ModelError", http.StatusFailedDependency,
		"Received %s error (%d) from primary with message \"%s\". See https://%s.console.aws.amazon.com/cloudwatch/home?region=%s#logEventViewer:group=%s in account %s for more information.",
		side, status, text, c.Region, c.Region, group, c.Account)
	f.Extra = map[string]any{"OriginalStatusCode": status, "OriginalMessage": text,
		"LogStreamArn": arn.ARN{Service: "logs", Region: c.Region, Account: c.Account, Resource: "log-group:" + group}.String()}
	return f
}
