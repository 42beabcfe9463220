// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"fmt"
	"net/http"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// old are the codes that clients know from the time when the service spoke
// query, for the shapes whose name is another. botocore shows them as the
// error's code, and finds the exception's class by the shape.
var old = map[string]string{
	"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":              "QueueAlreadyExists",
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"PurgeQueueInProgress":         "AWS.SimpleQueueService.PurgeQueueInProgress",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
}

// refusal is a fault of the service; all of them are 400.
func refusal(shape, format string, args ...any) *fault.Fault {
	f := fault.New(shape, http.StatusBadRequest, format, args...)
	if code := old[shape]; code != "" {
		f.Header = map[string]string{"X-Amzn-Query-Error": code + ";Sender"}
	}
	return f
}

func noQueue() error {
	return refusal("QueueDoesNotExist", "The specified queue does not exist.")
}

// invalidValue is the service's sentence for a parameter whose value is wrong.
func invalidValue(parameter string, value any, reason string, args ...any) *fault.Fault {
	return refusal("InvalidParameterValue", "Value %v for parameter %s is invalid. Reason: %s", value, parameter, fmt.Sprintf(reason, args...))
}

func missing(parameter string) error {
	return refusal("MissingParameter", "The request must contain the parameter %s.", parameter)
}

const wrongKind = "The request include parameter that is not valid for this queue type."
