// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Request is one to a container.
type Request struct {
	Method string // POST when ""
	Path   string // "/invocations" when ""
	Header http.Header
	// Body is sent with its Length in bytes; with Length -1 in chunks. A Body
	// that is a *bytes.Reader may be sent twice, where a kept connection turns
	// out to be closed.
	Body    io.Reader
	Length  int64
	Timeout time.Duration // until the answer is read to its end; InvokeTimeout when 0
}

// InvokeTimeout is how long a container of an endpoint may take to answer.
// Source: "How Containers Serve Requests".
const InvokeTimeout = 60 * time.Second

// Response is a container's answer. Its Body must be closed.
type Response struct {
	Status int
	Header http.Header
	Body   io.ReadCloser
	Length int64 // -1 when the container does not tell
}

// Do sends a request of any form and gives the answer whose body is still to be
// read. It is for what is not the plain path of InvokeEndpoint: bodies of any
// size, other paths, other time-outs. Errors that wrap ErrNotSent left nothing
// with the container.
func (b *Backend) Do(ctx context.Context, in Request) (*Response, error) {
	timeout := in.Timeout
	if timeout == 0 {
		timeout = InvokeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	method, path := in.Method, in.Path
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = "/invocations"
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://model"+path, in.Body)
	if err != nil {
		cancel()
		return nil, err
	}
	if in.Header != nil {
		req.Header = in.Header
	}
	if in.Body != nil {
		req.ContentLength = in.Length
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "") // the container gets what the service forwards, no more
	}
	resp, err := b.any.Do(req)
	if err != nil {
		cancel()
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
		}
		return nil, err
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength,
		Body: &cancelled{ReadCloser: resp.Body, cancel: cancel}}, nil
}

// cancelled ends the request's time-out with its body.
type cancelled struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelled) Close() error {
	err := c.ReadCloser.Close()
	c.cancel()
	return err
}

// Text posts a small request and reads up to limit bytes of the answer.
func (b *Backend) Text(ctx context.Context, method, path, contentType string, body []byte, timeout time.Duration, limit int64) (status int, text []byte, err error) {
	in := Request{Method: method, Path: path, Timeout: timeout}
	if body != nil {
		in.Body, in.Length = bytes.NewReader(body), int64(len(body))
		in.Header = http.Header{"Content-Type": {contentType}}
	}
	r, err := b.Do(ctx, in)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	text, err = io.ReadAll(io.LimitReader(r.Body, limit))
	return r.Status, text, err
}

// TimedOut tells whether an error of Post or Do is that of the time-out.
func TimedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// HeaderSafe keeps a value from ending its line.
func HeaderSafe(v string) string {
	if strings.ContainsAny(v, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
	}
	return v
}
