// SPDX-License-Identifier: Apache-2.0

// Package model holds digests of the AWS service models: shapes, constraints,
// errors and bindings. They are facts without prose, made by tool/wiregen from
// the botocore release that botocore.version pins, and are never edited by hand.
package model

import "embed"

//go:embed *.json
var files embed.FS

// Digest is the digest of one service, "sagemaker" for instance.
func Digest(service string) ([]byte, error) { return files.ReadFile(service + ".json") }

// Service is the digest of one service as it is stored.
type Service struct {
	Name        string                `json:"name"`    // botocore's directory, "sagemaker-runtime"
	Version     string                `json:"version"` // API version, "2017-07-24"
	ServiceID   string                `json:"serviceId"`
	Protocol    string                `json:"protocol"` // json, rest-json, query
	JSONVersion string                `json:"jsonVersion,omitempty"`
	Target      string                `json:"target,omitempty"` // X-Amz-Target prefix
	Signing     string                `json:"signing"`          // credential scope
	Namespace   string                `json:"xmlNamespace,omitempty"`
	QueryCompat bool                  `json:"queryCompatible,omitempty"`
	Operations  map[string]*Operation `json:"operations"`
	Others      []string              `json:"others,omitempty"` // operations that are known by name only
	Shapes      map[string]*Shape     `json:"shapes"`
}

// Operation is one operation's messages and HTTP binding.
type Operation struct {
	Input      string   `json:"in,omitempty"`
	Output     string   `json:"out,omitempty"`
	Wrapper    string   `json:"wrapper,omitempty"` // query: element around the result
	Errors     []string `json:"errors,omitempty"`
	Method     string   `json:"method,omitempty"` // POST when absent
	URI        string   `json:"uri,omitempty"`    // / when absent
	Status     int      `json:"status,omitempty"` // 200 when absent
	Paginator  *Pager   `json:"page,omitempty"`
	HostPrefix string   `json:"hostPrefix,omitempty"`
}

// Pager is how an operation pages, from botocore's paginators.
type Pager struct {
	In     string `json:"in"`
	Out    string `json:"out"`
	Limit  string `json:"limit,omitempty"`
	Result string `json:"result,omitempty"`
}

// Shape is one shape.
type Shape struct {
	Type     string   `json:"t"` // structure, list, map, string, integer, long, float, double, boolean, timestamp, blob
	Members  []Member `json:"m,omitempty"`
	Elem     *Member  `json:"e,omitempty"` // of a list
	Key      *Member  `json:"k,omitempty"` // of a map
	Value    *Member  `json:"v,omitempty"` // of a map
	Enum     []string `json:"enum,omitempty"`
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
	Pattern  string   `json:"re,omitempty"`
	GoRE     string   `json:"gore,omitempty"`  // Pattern for Go, where it differs
	NotRE    string   `json:"nore,omitempty"`  // and must not match this
	Payload  string   `json:"body,omitempty"`  // member that is the HTTP body
	Union    bool     `json:"union,omitempty"` // exactly one member is set
	Flat     bool     `json:"flat,omitempty"`
	Time     string   `json:"time,omitempty"` // iso8601, unixTimestamp, rfc822
	Code     string   `json:"code,omitempty"` // of an exception, where it differs from the name
	Status   int      `json:"status,omitempty"`
	Fault    bool     `json:"fault,omitempty"` // exception
	EventStr bool     `json:"events,omitempty"`
	Event    bool     `json:"event,omitempty"`
}

// Member is one member of a structure, or the element of a list or map.
type Member struct {
	Name     string `json:"n,omitempty"`
	Shape    string `json:"s"`
	Required bool   `json:"r,omitempty"`
	Location string `json:"l,omitempty"`  // header, headers, uri, querystring, statusCode; body when absent
	Wire     string `json:"w,omitempty"`  // name on the wire, where it differs
	Stream   bool   `json:"st,omitempty"` // streaming blob
	Token    bool   `json:"tok,omitempty"`
	Flat     bool   `json:"flat,omitempty"`
	Time     string `json:"time,omitempty"`
	Payload  bool   `json:"evp,omitempty"` // event payload
	Shown    bool   `json:"sh,omitempty"`  // in an answer even when it is empty
}
