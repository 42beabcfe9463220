// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/eventstream"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// streamTimeout is how long an answer that streams may take in all. Source:
// "Invoke models for real-time inference", streaming.
const streamTimeout = 8 * time.Minute

// invokeStream answers InvokeEndpointWithResponseStream: what the container
// sends is passed on piece by piece, as it comes.
// Source: API_runtime_InvokeEndpointWithResponseStream.
func (s *Service) invokeStream(ctx context.Context, in *smr.InvokeEndpointWithResponseStreamInput, body io.Reader, w http.ResponseWriter) error {
	q := question{caller: auth.CallerFrom(ctx), endpoint: in.EndpointName, contentType: in.ContentType, accept: in.Accept, custom: in.CustomAttributes,
		inferenceID: in.InferenceId, session: in.SessionId, variant: in.TargetVariant, container: in.TargetContainerHostname,
		component: in.InferenceComponentName}
	if q.session == newSession {
		return refuse("A session cannot be opened by InvokeEndpointWithResponseStream. Use InvokeEndpoint with SessionId NEW_SESSION.")
	}
	x := exchange{question: &q, start: time.Now(), timeout: streamTimeout, text: buffers.Get().(*bytes.Buffer)}
	defer buffers.Put(x.text)
	err := s.open(ctx, &x, body)
	if err != nil {
		return err
	}
	if x.answer.Status >= 300 {
		err := s.modelFault(&x, x.answer.Status, x.errorText())
		s.finish(&x, err)
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	for i, name := range [...]string{"X-Amzn-Sagemaker-Content-Type", "X-Amzn-Sagemaker-Custom-Attributes"} {
		if val := x.answer.Header[i]; len(val) > 0 {
			h[name] = val
		}
	}
	h["X-Amzn-Invoked-Production-Variant"] = x.v.header
	w.WriteHeader(http.StatusOK)
	parts := &parts{to: eventstream.NewWriter(w), control: http.NewResponseController(w)}
	_ = parts.control.Flush() // the caller learns at once that it was accepted
	err = x.copyBody(ctx, x.tee(parts))
	if err != nil && parts.lost == nil && ctx.Err() == nil {
		code := "StreamBroken"
		if serving.TimedOut(err) {
			code = "ModelInvocationTimeExceeded"
		}
		text, _ := json.Marshal(map[string]string{"Message": s.problem(&x, err), "ErrorCode": code})
		_ = parts.to.Exception("ModelStreamError", text)
		_ = parts.control.Flush()
		x.answer.Status, x.broken = http.StatusInternalServerError, true
	}
	if !parts.first.IsZero() {
		x.firstChunk = parts.first.Sub(x.start)
	}
	x.took = time.Since(x.start) // the model was at it all the time
	s.finish(&x, err)
	return nil
}

// parts makes an event of each piece and sends it at once.
type parts struct {
	to      *eventstream.Writer
	control *http.ResponseController
	first   time.Time // when the first piece was there
	lost    error     // the caller went away
}

func (p *parts) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if p.first.IsZero() {
		p.first = time.Now()
	}
	if p.lost = p.to.Event("PayloadPart", b); p.lost == nil {
		p.lost = p.control.Flush()
	}
	if p.lost != nil {
		return 0, p.lost
	}
	return len(b), nil
}
