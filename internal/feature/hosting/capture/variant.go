// SPDX-License-Identifier: Apache-2.0

// Package capture keeps what an endpoint was asked and what it answered, as
// its DataCaptureConfig says: JSON lines in files of the object store,
//
//	{DestinationS3Uri}/{endpoint}/{variant}/{yyyy}/{mm}/{dd}/{HH}/{MM-SS-mmm}-{uuid}.jsonl
//
// with the times in UTC. No answer waits for it: what does not fit in a bounded
// queue is left out, counted and warned of. A file is written a few seconds
// after its first line; kill -9 loses what was not written yet, a stop of the
// server nothing.
//
// Source: "Capture data from real-time endpoint", API_DataCaptureConfig.
package capture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Variant is what is to be captured of one variant of an endpoint. nil captures
// nothing. It does not change.
type Variant struct {
	folder        object.URI // of the variant
	percent       int
	input, output bool
	csv, json     []string // content types that are kept as text
}

// NewVariant reads a config. It is nil when nothing is to be captured. The error
// is about the config, and good for the caller's eyes.
func NewVariant(endpoint, variant string, c *sm.DataCaptureConfig) (*Variant, error) {
	if c == nil || c.EnableCapture != nil && !*c.EnableCapture {
		return nil, nil
	}
	to, err := object.ParseURI(c.DestinationS3Uri)
	if err != nil {
		return nil, fmt.Errorf("DestinationS3Uri of DataCaptureConfig: %w", err)
	}
	v := &Variant{folder: to.Join(endpoint, variant)}
	if c.InitialSamplingPercentage != nil {
		v.percent = int(*c.InitialSamplingPercentage)
	}
	for _, o := range c.CaptureOptions {
		v.input = v.input || o.CaptureMode != sm.CaptureModeOutput
		v.output = v.output || o.CaptureMode != sm.CaptureModeInput
	}
	if h := c.CaptureContentTypeHeader; h != nil {
		v.csv, v.json = h.CsvContentTypes, h.JsonContentTypes
	}
	if v.percent <= 0 || !v.input && !v.output {
		return nil, nil
	}
	return v, nil
}

// Wants draws whether a request is among those that are captured. It is asked
// once for each, before anything is copied.
func (v *Variant) Wants() bool {
	return v != nil && (v.percent >= 100 || rand.IntN(100) < v.percent)
}

// Input tells whether requests are captured, Output whether answers are: what is
// not need not be copied.
func (v *Variant) Input() bool { return v != nil && v.input }

// Output is beside Input.
func (v *Variant) Output() bool { return v != nil && v.output }

// encoding is how a body of that type is kept. Without a list of types that are
// text the service keeps everything in base64.
// Source: API_CaptureContentTypeHeader.
func (v *Variant) encoding(contentType string) string {
	bare, _, _ := strings.Cut(contentType, ";")
	bare = strings.TrimSpace(bare)
	same := func(t string) bool { return strings.EqualFold(t, bare) || strings.EqualFold(t, contentType) }
	switch {
	case slices.ContainsFunc(v.csv, same):
		return "CSV"
	case slices.ContainsFunc(v.json, same):
		return "JSON"
	}
	return "BASE64"
}
