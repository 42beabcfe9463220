// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"io"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/capture"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// kept is an invocation that is captured. What of its answer is beyond maxKept
// bytes is left out.
type kept struct {
	capture.Record
	output bytes.Buffer
}

// maxKept is the longest answer that is captured, in bytes; longer ones are cut.
const maxKept = 8 << 20

func (k *kept) Write(b []byte) (int, error) {
	k.output.Write(b[:min(len(b), maxKept-k.output.Len())])
	return len(b), nil
}

// keep begins to capture the request, if it is sampled: before it is sent, since
// its text is written over in a pipeline.
func (x *exchange) keep() {
	if !x.v.capture.Wants() {
		return
	}
	x.kept = &kept{Record: capture.Record{InferenceID: x.inferenceID, CustomAttributes: x.custom, Time: x.start.UTC(), InputType: x.contentType}}
	if x.v.capture.Input() {
		x.kept.Input = bytes.Clone(x.text.Bytes()[x.body:])
	}
}

// tee is w, and the captured answer beside it.
func (x *exchange) tee(w io.Writer) io.Writer {
	if x.kept == nil || !x.v.capture.Output() {
		return w
	}
	return io.MultiWriter(w, x.kept)
}

// offer hands a captured invocation over that went well.
func (s *Service) offer(x *exchange, err error) {
	if x.kept == nil || err != nil || x.answer.Status >= 300 {
		return
	}
	if h := x.answer.Header[0]; len(h) > 0 {
		x.kept.OutputType = h[0]
	}
	x.kept.Output = x.kept.output.Bytes()
	s.captures.Offer(x.v.capture, x.kept.Record)
}

// captureOf is what of a variant is captured; nil for nothing.
func (s *Service) captureOf(endpoint string, v *variant, c *sm.DataCaptureConfig) *capture.Variant {
	out, err := capture.NewVariant(endpoint, v.Name, c)
	if err != nil { // it was checked
		s.Log.Warn("data of an endpoint is not captured", "name", endpoint, "err", err)
	}
	return out
}

func checkCapture(c *sm.DataCaptureConfig) error {
	if _, err := capture.NewVariant("endpoint", "variant", c); err != nil {
		return fault.Validation("%s", err)
	}
	return nil
}

// captureSummary is how DescribeEndpoint tells of the capture.
func captureSummary(f *fleet) *sm.DataCaptureConfigSummary {
	c := f.Capture
	if c == nil {
		return nil
	}
	on := c.EnableCapture == nil || *c.EnableCapture
	status := sm.CaptureStatusStarted
	if !on {
		status = sm.CaptureStatusStopped
	}
	return &sm.DataCaptureConfigSummary{EnableCapture: &on, CaptureStatus: status, CurrentSamplingPercentage: c.InitialSamplingPercentage,
		DestinationS3Uri: c.DestinationS3Uri, KmsKeyId: c.KmsKeyId}
}
