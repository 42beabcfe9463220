// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// settled is what settle saw.
type settled struct {
	Began    float64         `json:"began"`   // when Create was sent, in seconds since 1970
	Created  float64         `json:"created"` // seconds until Create was answered
	Seconds  float64         `json:"seconds"` // until Describe told the status
	Polls    int             `json:"polls"`
	Status   string          `json:"status"`
	Describe json.RawMessage `json:"describe"` // the last answer
}

// settle sends CreateX, and DescribeX again and again until the status is no
// longer the one to wait through.
func settle(args []string) (any, error) {
	f := flags("settle")
	to := reach(f)
	noun := f.String("noun", "TrainingJob", "what is created: CreateX, DescribeX, XName, XStatus")
	body := f.String("body", "", "file with the request of Create")
	while := f.String("while", "InProgress", "status to wait through")
	every := f.Duration("every", 5*time.Millisecond, "pause between two looks")
	limit := f.Duration("limit", time.Minute, "longest wait")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	s, err := to()
	if err != nil {
		return nil, err
	}
	request, err := os.ReadFile(*body)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(request, &members); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	look, err := json.Marshal(map[string]any{*noun + "Name": members[*noun+"Name"]})
	if err != nil {
		return nil, err
	}
	c, err := dial(s.url)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	call := func(operation string, body []byte) ([]byte, error) {
		got, err := c.do(s.request("/", control(operation), body))
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", got.status, got.body)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operation, err)
		}
		return got.body, nil
	}
	begin, began := time.Now(), unix()
	if _, err := call("Create"+*noun, request); err != nil {
		return nil, err
	}
	out := settled{Began: began, Created: time.Since(begin).Seconds()}
	for {
		answer, err := call("Describe"+*noun, look)
		if err != nil {
			return nil, err
		}
		out.Polls++
		out.Seconds = time.Since(begin).Seconds()
		var seen map[string]any
		if err := json.Unmarshal(answer, &seen); err != nil {
			return nil, fmt.Errorf("read what Describe answers: %w", err)
		}
		out.Status, _ = seen[*noun+"Status"].(string)
		if out.Status != *while {
			out.Describe = append(json.RawMessage(nil), answer...)
			return out, nil
		}
		if time.Since(begin) > *limit {
			return nil, fmt.Errorf("still %s after %s", out.Status, *limit)
		}
		time.Sleep(*every)
	}
}
