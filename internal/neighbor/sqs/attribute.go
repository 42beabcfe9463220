// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// An attribute that may be set: a whole number, a boolean, one of some words,
// or a text with a check of its own.
type attribute struct {
	low, high int64 // of a number
	words     []string
	standard  string // its value when it was not set; "" for none
	fifo      bool   // of FIFO queues only
	text      bool   // anything
}

var boolean = []string{"true", "false"}

// The bounds and defaults are API_SetQueueAttributes's.
var settable = map[string]attribute{
	"VisibilityTimeout":             {low: 0, high: 43200, standard: "30"},
	"MessageRetentionPeriod":        {low: 60, high: 1209600, standard: "345600"},
	"DelaySeconds":                  {low: 0, high: 900, standard: "0"},
	"MaximumMessageSize":            {low: 1024, high: maxSize, standard: strconv.Itoa(maxSize)},
	"ReceiveMessageWaitTimeSeconds": {low: 0, high: 20, standard: "0"},
	"KmsDataKeyReusePeriodSeconds":  {low: 60, high: 86400},
	"SqsManagedSseEnabled":          {words: boolean, standard: "true"},
	"FifoQueue":                     {words: []string{"true"}, fifo: true},
	"ContentBasedDeduplication":     {words: boolean, standard: "false", fifo: true},
	"DeduplicationScope":            {words: []string{"messageGroup", "queue"}, standard: "queue", fifo: true},
	"FifoThroughputLimit":           {words: []string{"perQueue", "perMessageGroupId"}, standard: "perQueue", fifo: true},
	"KmsMasterKeyId":                {text: true},
	"Policy":                        {text: true},
	"RedrivePolicy":                 {text: true},
	"RedriveAllowPolicy":            {text: true},
}

// emptyUnsets are the attributes that an empty text takes away.
var emptyUnsets = []string{"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"}

// checkAttribute answers in the service's words; isFifo is the kind of queue.
func checkAttribute(name, value string, isFifo bool) *fault.Fault {
	a, ok := settable[name]
	if !ok || a.fifo && !isFifo {
		return refusal("InvalidAttributeName", "Unknown Attribute %s.", name)
	}
	bad := func() *fault.Fault {
		return refusal("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
	}
	switch {
	case value == "" && slices.Contains(emptyUnsets, name):
	case name == "Policy":
		var m map[string]any
		if json.Unmarshal([]byte(value), &m) != nil {
			return bad()
		}
	case a.text:
	case a.words != nil:
		if !slices.Contains(a.words, value) {
			return bad()
		}
	default:
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < a.low || n > a.high {
			return bad()
		}
	}
	return nil
}

// redrive is the RedrivePolicy of a queue.
type redrive struct {
	Target string `json:"deadLetterTargetArn"`
	Max    int64  `json:"maxReceiveCount"`
}

// parseRedrive reads a RedrivePolicy; the count may be a number or its text, as
// the service takes both.
func parseRedrive(text string) (redrive, error) {
	bad := func(reason string) (redrive, error) {
		return redrive{}, invalidValue("RedrivePolicy", text, "%s", reason)
	}
	var raw struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return bad("Redrive policy is not a valid JSON map.")
	}
	if raw.Target == "" {
		return bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	if raw.Max == nil {
		return bad("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw.Max), `"`), 10, 64)
	if err != nil || n < 1 || n > 1000 {
		return bad("Invalid value for maxReceiveCount: it must be a whole number between 1 and 1000.")
	}
	return redrive{raw.Target, n}, nil
}

// allow is the RedriveAllowPolicy of a dead letter queue.
type allow struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

func parseAllow(text string) (allow, error) {
	var a allow
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, invalidValue("RedriveAllowPolicy", text, "Redrive allow policy is not a valid JSON map.")
	}
	switch a.Permission {
	case "allowAll", "denyAll":
		if a.Sources != nil {
			return a, invalidValue("RedriveAllowPolicy", text, "sourceQueueArns goes with the redrivePermission byQueue only.")
		}
	case "byQueue":
		if len(a.Sources) == 0 || len(a.Sources) > 10 {
			return a, invalidValue("RedriveAllowPolicy", text, "With the redrivePermission byQueue there must be 1 to 10 sourceQueueArns.")
		}
	default:
		return a, invalidValue("RedriveAllowPolicy", text, "redrivePermission must be one of allowAll, denyAll, byQueue.")
	}
	return a, nil
}

// checkRedrive holds a RedrivePolicy of q against the queue that it names.
func checkRedrive(ctx context.Context, db sqlfile.Querier, q queue, text string) error {
	p, err := parseRedrive(text)
	if err != nil {
		return err
	}
	dead, err := queueByARN(ctx, db, p.Target)
	if errors.Is(err, sql.ErrNoRows) {
		return invalidValue("RedrivePolicy", text, "Dead letter target does not exist.")
	} else if err != nil {
		return err
	}
	if dead.fifo() != q.fifo() {
		return invalidValue("RedrivePolicy", text, "Dead-letter queue must be same type of queue as the source.")
	}
	if dead.arn() == q.arn() {
		return invalidValue("RedrivePolicy", text, "Dead letter target must be another queue than its source.")
	}
	if t := dead.attributes["RedriveAllowPolicy"]; t != "" {
		a, err := parseAllow(t)
		if err != nil {
			return err
		}
		if a.Permission == "denyAll" || a.Permission == "byQueue" && !slices.Contains(a.Sources, q.arn()) {
			return invalidValue("RedrivePolicy", text, "The dead letter target's redrive allow policy does not let this queue use it.")
		}
	}
	return nil
}

// queueByARN is sql.ErrNoRows for what is no queue.
func queueByARN(ctx context.Context, db sqlfile.Querier, text string) (queue, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "sqs" {
		return queue{}, sql.ErrNoRows
	}
	return findQueue(ctx, db, a.Account, a.Region, a.Resource)
}

// merge is what the queue's attributes are once those of set are.
func (q *queue) merge(ctx context.Context, db sqlfile.Querier, set map[string]string) error {
	for _, name := range sortedKeys(set) {
		value := set[name]
		if err := checkAttribute(name, value, q.fifo()); err != nil {
			return err
		}
		if value == "" && slices.Contains(emptyUnsets, name) {
			delete(q.attributes, name)
			continue
		}
		switch name {
		case "RedrivePolicy":
			if err := checkRedrive(ctx, db, *q, value); err != nil {
				return err
			}
		case "RedriveAllowPolicy":
			if _, err := parseAllow(value); err != nil {
				return err
			}
		}
		q.attributes[name] = value
	}
	if q.get("FifoThroughputLimit") == "perMessageGroupId" && q.get("DeduplicationScope") != "messageGroup" {
		return refusal("InvalidAttributeValue", "Invalid value for the parameter FifoThroughputLimit. Reason: perMessageGroupId needs the DeduplicationScope messageGroup.")
	}
	return nil
}

// get is an attribute's value, set or standard; "" when it has none.
func (q *queue) get(name string) string {
	if v, ok := q.attributes[name]; ok {
		return v
	}
	a := settable[name]
	if a.fifo && !q.fifo() {
		return ""
	}
	return a.standard
}

// number is get of a number.
func (q *queue) number(name string) int64 {
	n, _ := strconv.ParseInt(q.get(name), 10, 64) // it was checked when it was set
	return n
}

func callerOf(ctx context.Context) (account, region string) {
	c := auth.CallerFrom(ctx)
	return c.Account, c.Region
}
