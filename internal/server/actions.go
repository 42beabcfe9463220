// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/neighbor/autoscaling"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/cloudwatch"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sns"
)

// actions are what alarms do here: they tell topics, and call scaling policies.
type actions struct {
	topics  *sns.Service
	scaling *autoscaling.Service
}

var _ cloudwatch.Actions = actions{}

// Alarm publishes an alarm's message to the topic that action is, or calls the
// policy that it is.
func (a actions) Alarm(ctx context.Context, account, region, action string, message []byte) error {
	switch {
	case strings.HasPrefix(action, "arn:aws:sns:"):
		return a.topics.Notify(ctx, account, region, action, alarmSubject(message), message)
	case strings.HasPrefix(action, "arn:aws:autoscaling:"):
		return a.scaling.Alarm(ctx, account, region, action, message)
	}
	return cloudwatch.ErrNoAction
}

// maxSubject is how many characters the subject of a message may have.
const maxSubject = 100

// alarmSubject is the subject that CloudWatch gives an alarm's message:
// ALARM: "name" in US East (N. Virginia).
func alarmSubject(message []byte) string {
	var m struct{ NewStateValue, AlarmName, Region string }
	if json.Unmarshal(message, &m) != nil {
		return ""
	}
	r := []rune(fmt.Sprintf("%s: %q in %s", m.NewStateValue, m.AlarmName, m.Region))
	if len(r) > maxSubject {
		r = append(r[:maxSubject-3], []rune("...")...)
	}
	return string(r)
}
