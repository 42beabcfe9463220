// SPDX-License-Identifier: Apache-2.0

package async

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// Endpoint names one endpoint. Seed tells it from an earlier one of its name.
type Endpoint struct{ Account, Region, Name, Seed string }

// Config is where the results of an endpoint go: AsyncInferenceConfig's
// OutputConfig. All of it may be empty.
type Config struct {
	OutputPath, FailurePath    string // s3:// URIs
	SuccessTopic, ErrorTopic   string // ARNs
	IncludeSuccess, IncludeErr bool   // the response is part of the notification
}

// Limits and defaults of a request. Source: API_runtime_InvokeEndpointAsync and
// "Asynchronous inference".
const (
	DefaultTTL     = 6 * time.Hour
	DefaultTimeout = 15 * time.Minute
	MaxInput       = 1 << 30 // bytes
	maxIncluded    = 128 << 10
)

// Request is one invocation. Fill it, then let Prepare check it and decide where
// its result goes.
type Request struct {
	InferenceID      string        `json:"inferenceId"`
	InputLocation    string        `json:"input,omitempty"` // or Body
	Body             []byte        `json:"-"`
	ContentType      string        `json:"contentType,omitempty"`
	Accept           string        `json:"accept,omitempty"`
	CustomAttributes string        `json:"custom,omitempty"`
	TTL              time.Duration `json:"ttl"`     // how long it may wait; DefaultTTL when 0
	Timeout          time.Duration `json:"timeout"` // how long the model may take; DefaultTimeout when 0
	// Variant is the one whose metrics count a request that no instance has had.
	Variant  string    `json:"variant"`
	Received time.Time `json:"received"`

	Output  string `json:"output,omitempty"`  // s3:// URI; decided by Prepare
	Failure string `json:"failure,omitempty"` // the same
	// Named says that the caller gave the output its file name, so that other
	// requests may write there too.
	Named bool `json:"named,omitempty"`

	SuccessTopic   string `json:"successTopic,omitempty"`
	ErrorTopic     string `json:"errorTopic,omitempty"`
	IncludeSuccess bool   `json:"includeSuccess,omitempty"`
	IncludeErr     bool   `json:"includeErr,omitempty"`
}

func refuse(format string, args ...any) error {
	return fault.New("ValidationError", http.StatusBadRequest, format, args...)
}

// Prepare checks what the service's model cannot say and decides the keys of
// output and failure: S3OutputPath, then the path extension, then the file name
// or one of our own. extension and filename may be empty.
// Source: API_runtime_InvokeEndpointAsync.
func (r *Request) Prepare(c Config, extension, filename string) error {
	switch {
	case r.InputLocation == "" && len(r.Body) == 0:
		return refuse("Either Body or InputLocation must be specified.")
	case r.InputLocation != "" && len(r.Body) > 0:
		return refuse("Body and InputLocation cannot both be specified.")
	case c.OutputPath == "" && (extension != "" || filename != ""):
		return refuse("S3OutputPathExtension and Filename can be specified only for an endpoint that has an S3OutputPath.")
	}
	if r.InputLocation != "" {
		if _, err := locate(r.InputLocation); err != nil {
			return refuse("Invalid InputLocation %q: %s.", r.InputLocation, err.Error())
		}
	}
	extension = strings.Trim(extension, "/")
	for part := range strings.SplitSeq(extension, "/") {
		if part == "." || part == ".." || part == "" && extension != "" {
			return refuse("Invalid S3OutputPathExtension %q: it must be a path without empty, \".\" or \"..\" parts.", extension)
		}
	}
	id := uuid.NewString()
	if r.InferenceID == "" {
		r.InferenceID = uuid.NewString()
	}
	if r.TTL == 0 {
		r.TTL = DefaultTTL
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	r.SuccessTopic, r.ErrorTopic, r.IncludeSuccess, r.IncludeErr = c.SuccessTopic, c.ErrorTopic, c.IncludeSuccess, c.IncludeErr
	if c.OutputPath != "" {
		r.Named = filename != ""
		if !r.Named {
			filename = id + ".out"
		}
		u, err := object.ParseURI(c.OutputPath)
		if err != nil {
			return refuse("Invalid S3OutputPath: %s.", err.Error())
		}
		if extension != "" {
			u = u.Join(extension)
		}
		r.Output = u.Join(filename).String()
	}
	if c.FailurePath != "" {
		u, err := object.ParseURI(c.FailurePath)
		if err != nil {
			return refuse("Invalid S3FailurePath: %s.", err.Error())
		}
		r.Failure = u.Join(id + "-error.out").String()
	}
	return nil
}
