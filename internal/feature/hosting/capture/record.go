// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Record is one invocation. The bodies belong to the writer once it was offered.
type Record struct {
	EventID          string    // one is made if it is ""
	InferenceID      string    // the caller's, if it gave one
	CustomAttributes string    // the caller's, if it gave some
	Time             time.Time // when it was invoked; now if it is zero
	InputType        string    // Content-Type of the request
	Input            []byte
	OutputType       string // Content-Type of the answer
	Output           []byte
}

// size is what a record costs while it waits, in bytes.
func (r *Record) size() int64 {
	const rest = 256 // lengths, pointers, short texts
	return int64(rest + len(r.Input) + len(r.Output) + len(r.CustomAttributes))
}

type line struct {
	CaptureData struct {
		EndpointInput  *side `json:"endpointInput,omitempty"`
		EndpointOutput *side `json:"endpointOutput,omitempty"`
	} `json:"captureData"`
	EventMetadata struct {
		EventID          string   `json:"eventId"`
		InferenceID      string   `json:"inferenceId,omitempty"`
		CustomAttributes []string `json:"customAttributes,omitempty"`
		InferenceTime    string   `json:"inferenceTime"`
	} `json:"eventMetadata"`
	EventVersion string `json:"eventVersion"`
}

type side struct {
	ObservedContentType string `json:"observedContentType"`
	Mode                string `json:"mode"`
	Data                string `json:"data"`
	Encoding            string `json:"encoding"`
}

// appendLine writes the record as the line of a file.
// Source: "Capture data from real-time endpoint", the example of a line.
func (v *Variant) appendLine(to *bytes.Buffer, r *Record) error {
	l := line{EventVersion: "0"}
	if v.input {
		l.CaptureData.EndpointInput = v.side("INPUT", r.InputType, r.Input)
	}
	if v.output {
		l.CaptureData.EndpointOutput = v.side("OUTPUT", r.OutputType, r.Output)
	}
	m := &l.EventMetadata
	if m.EventID = r.EventID; m.EventID == "" {
		m.EventID = uuid.NewString()
	}
	m.InferenceID = r.InferenceID
	if r.CustomAttributes != "" {
		m.CustomAttributes = []string{r.CustomAttributes}
	}
	m.InferenceTime = r.Time.UTC().Format(time.RFC3339)
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false) // "<" of a text stays readable
	return e.Encode(&l)
}

// side is a body. What is said to be text and is not UTF-8 would not survive as
// a JSON string; it is kept in base64.
func (v *Variant) side(mode, contentType string, body []byte) *side {
	s := &side{ObservedContentType: contentType, Mode: mode, Encoding: v.encoding(contentType)}
	if s.Encoding != "BASE64" && utf8.Valid(body) {
		s.Data = string(body)
		return s
	}
	s.Data, s.Encoding = base64.StdEncoding.EncodeToString(body), "BASE64"
	return s
}
