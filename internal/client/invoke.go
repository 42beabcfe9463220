// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sagebrush-ml/sagebrush/internal/eventstream"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Invocation is what an endpoint is asked. Members that are "" are not sent.
type Invocation struct {
	Endpoint           string
	ContentType        string
	Accept             string
	TargetModel        string // of a multi-model endpoint; it cannot be streamed from
	TargetVariant      string
	InferenceComponent string
	Body               []byte
}

// InvokeEndpoint asks an endpoint for predictions. It returns the answer as
// the model gave it.
func (c *Client) InvokeEndpoint(ctx context.Context, endpoint, contentType, accept string, body []byte) ([]byte, error) {
	var out bytes.Buffer
	err := c.Invoke(ctx, Invocation{Endpoint: endpoint, ContentType: contentType, Accept: accept, Body: body}, &out)
	return out.Bytes(), err
}

// Invoke asks an endpoint and writes what it answers to out.
// Source: API_runtime_InvokeEndpoint.
func (c *Client) Invoke(ctx context.Context, in Invocation, out io.Writer) error {
	const operation = "InvokeEndpoint"
	resp, err := c.invoke(ctx, operation, "invocations", "Accept", in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("%s: read answer: %w", operation, err)
	}
	return nil
}

// InvokeStream asks an endpoint and writes each part of its answer to out as it
// comes. An exception within the stream is a *fault.Fault.
// Source: API_runtime_InvokeEndpointWithResponseStream.
func (c *Client) InvokeStream(ctx context.Context, in Invocation, out io.Writer) error {
	const operation = "InvokeEndpointWithResponseStream"
	if in.TargetModel != "" {
		return fmt.Errorf("%s: a target model cannot be named", operation)
	}
	resp, err := c.invoke(ctx, operation, "invocations-response-stream", "X-Amzn-SageMaker-Accept", in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for r := eventstream.NewReader(resp.Body); ; {
		m, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: read answer: %w", operation, err)
		case m.Get(":message-type") == "exception" || m.Get(":message-type") == "error":
			return fmt.Errorf("%s: %w", operation, streamFault(m))
		case m.Get(":event-type") == "PayloadPart":
			if _, err := out.Write(m.Payload); err != nil {
				return err
			}
		}
	}
}

// streamFault is what ended a stream.
func streamFault(m *eventstream.Message) *fault.Fault {
	var e struct{ Message, ErrorCode string }
	if json.Unmarshal(m.Payload, &e) != nil || e.Message == "" {
		e.Message = string(m.Payload)
	}
	code := m.Get(":exception-type")
	if code == "" { // an error that the model does not know
		code, e.Message = m.Get(":error-code"), m.Get(":error-message")
	}
	if e.ErrorCode != "" {
		e.Message = e.ErrorCode + ": " + e.Message
	}
	return &fault.Fault{Code: code, Status: http.StatusOK, Message: e.Message}
}

func (c *Client) invoke(ctx context.Context, operation, path, accept string, in Invocation) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		c.url+"/endpoints/"+url.PathEscape(in.Endpoint)+"/"+path, bytes.NewReader(in.Body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	for name, value := range map[string]string{
		"Content-Type": in.ContentType, accept: in.Accept, "X-Amzn-SageMaker-Target-Model": in.TargetModel,
		"X-Amzn-SageMaker-Target-Variant": in.TargetVariant, "X-Amzn-SageMaker-Inference-Component": in.InferenceComponent,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	c.sign(r, SageMaker, in.Body)
	return c.send(r, operation)
}
