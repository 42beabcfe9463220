// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// faultOf reads the error that a service answered, in whichever protocol: JSON
// with __type, XML of the query services, XML of S3. An answer that is none of
// these keeps its status.
func faultOf(resp *http.Response, body []byte) *fault.Fault {
	f := &fault.Fault{Status: resp.StatusCode}
	switch trimmed := bytes.TrimSpace(body); {
	case bytes.HasPrefix(trimmed, []byte("{")):
		f.Code, f.Message = jsonFault(trimmed)
	case bytes.HasPrefix(trimmed, []byte("<")):
		f.Code, f.Message = xmlFault(trimmed)
	}
	if f.Code == "" {
		f.Code, _, _ = strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
	}
	if f.Code == "" {
		f.Code = http.StatusText(resp.StatusCode)
	}
	if f.Message == "" {
		f.Message = resp.Status
	}
	return f
}

// jsonFault reads {"__type":"namespace#Code","message":"…"}; some services
// spell the member Message.
func jsonFault(body []byte) (code, message string) {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // matches Message too: encoding/json ignores case
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	if i := strings.LastIndexByte(e.Type, '#'); i >= 0 {
		e.Type = e.Type[i+1:]
	}
	return e.Type, e.Message
}

// xmlFault reads the first Code and Message, wherever the service wraps them.
func xmlFault(body []byte) (code, message string) {
	d := xml.NewDecoder(bytes.NewReader(body))
	for code == "" || message == "" {
		t, err := d.Token()
		if err != nil {
			break
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "Code":
			_ = d.DecodeElement(&code, &start) // a broken answer leaves it empty
		case "Message":
			_ = d.DecodeElement(&message, &start)
		}
	}
	return strings.TrimSpace(code), strings.TrimSpace(message)
}
