// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// putCompositeAlarm is API_PutCompositeAlarm. The alarm has its state when this
// answers. Rules that would go in a circle, which the service stores and does
// not evaluate, are refused. Answers ValidationError.
func (s *Service) putCompositeAlarm(ctx context.Context, in *wcw.PutCompositeAlarmInput) (*wcw.PutCompositeAlarmOutput, error) {
	switch {
	case in.ActionsSuppressor != "" || in.ActionsSuppressorWaitPeriod != nil || in.ActionsSuppressorExtensionPeriod != nil:
		return nil, validation("ActionsSuppressor is not supported by Sagebrush.")
	case in.ActionConfiguration != nil:
		return nil, validation("ActionConfiguration is not supported by Sagebrush.")
	case strings.TrimSpace(in.AlarmRule) != in.AlarmRule || in.AlarmRule == "":
		return nil, validation("AlarmRule must not contain leading or trailing whitespace or be null")
	}
	k := keyOf(ctx, in.AlarmName)
	a := &alarm{alarmKey: k, Tags: in.Tags, Composite: &wcw.CompositeAlarm{
		AlarmName: in.AlarmName, AlarmArn: k.arn(), AlarmDescription: in.AlarmDescription, AlarmRule: in.AlarmRule, ActionsEnabled: orTrue(in.ActionsEnabled),
		OKActions: in.OKActions, AlarmActions: in.AlarmActions, InsufficientDataActions: in.InsufficientDataActions,
	}}
	if err := a.ready(); err != nil {
		return nil, validation("Error in AlarmRule: %v.", err)
	}
	err := s.putAlarm(ctx, a, func(tx *alarmTx) error {
		var gone []string
		for _, c := range a.children() {
			if c.account != a.account || c.region != a.region {
				return validation("Error in AlarmRule: %s is not an alarm of this account and Region.", c.arn())
			}
			if c != k && tx.get(c) == nil {
				gone = append(gone, c.name)
			}
		}
		if len(gone) > 0 {
			return validation("Could not save the composite alarm as alarms [%s] in the alarm rule do not exist", strings.Join(gone, ", "))
		}
		if tx.reaches(a, k, map[alarmKey]bool{}) {
			return validation("Error in AlarmRule: the alarm %q would depend on itself.", a.name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wcw.PutCompositeAlarmOutput{}, s.evaluateComposites(ctx)
}

// children are the alarms that a composite alarm's rule names.
func (a *alarm) children() []alarmKey {
	var out []alarmKey
	for _, text := range a.rule.alarms() {
		if k := a.child(text); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// child is the alarm that a rule names by its name or ARN.
func (a *alarm) child(text string) alarmKey {
	if at, err := arn.Parse(text); err == nil && at.Service == "cloudwatch" {
		if name, ok := strings.CutPrefix(at.Resource, "alarm:"); ok {
			return alarmKey{at.Account, at.Region, name}
		}
	}
	return alarmKey{a.account, a.region, text}
}

// reaches tells whether a depends on the alarm k.
func (tx *alarmTx) reaches(a *alarm, k alarmKey, visited map[alarmKey]bool) bool {
	for _, c := range a.children() {
		if c == k {
			return true
		}
		if visited[c] {
			continue
		}
		visited[c] = true
		if b := tx.get(c); b != nil && b.Composite != nil && tx.reaches(b, k, visited) {
			return true
		}
	}
	return false
}

// seen are the states of a composite alarm's children, and since when.
func (tx *alarmTx) seen(a *alarm) map[string]string {
	out := map[string]string{}
	for _, k := range a.children() {
		out[k.name] = ""
		if c := tx.get(k); c != nil {
			out[k.name] = fmt.Sprintf("%s %d", c.state(), c.face().Transitioned.UnixMilli())
		}
	}
	return out
}

// evaluateComposites evaluates those whose children have changed, until none is
// left: a composite alarm may be another's child, and rules have no circles.
func (s *Service) evaluateComposites(ctx context.Context) error {
	reader := &alarmTx{s: s}
	for {
		var due []alarmKey
		for _, a := range s.alarms.composites() {
			if a.Why != "" || !maps.Equal(a.Seen, reader.seen(a)) {
				due = append(due, a.alarmKey)
			}
		}
		if len(due) == 0 {
			return nil
		}
		now := s.now()
		if err := s.change(ctx, func(tx *alarmTx) error {
			for _, k := range due {
				if err := tx.evaluateComposite(k, now); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("evaluate composite alarms: %w", err)
		}
	}
}

func (l *alarms) composites() []*alarm {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*alarm
	for k := range l.composed {
		out = append(out, l.all[k])
	}
	return out
}

func (tx *alarmTx) evaluateComposite(k alarmKey, now time.Time) error {
	old := tx.get(k)
	if old == nil || old.Composite == nil {
		return nil
	}
	a := old.clone()
	a.Seen, a.Why = tx.seen(a), ""
	state := stateOK
	if a.rule.holds(func(text string) string {
		if c := tx.get(a.child(text)); c != nil {
			return c.state()
		}
		return ""
	}) {
		state = stateAlarm
	}
	if state == a.state() {
		return tx.put(a)
	}
	v := verdict{state: state}
	v.reason, v.data = tx.compositeReason(old, a, state)
	_, err := tx.move(a, v, now)
	return err
}

// compositeReason tells what changed a composite alarm's state: its creation or
// update, or a child.
func (tx *alarmTx) compositeReason(old, a *alarm, state string) (reason, data string) {
	type stateAt struct {
		Value     string `json:"value"`
		Timestamp string `json:"timestamp"`
	}
	type triggering struct {
		ARN   string  `json:"arn"`
		State stateAt `json:"state"`
	}
	list := []triggering{}
	var latest *alarm
	for _, k := range a.children() {
		c := tx.get(k)
		if c == nil || old.Why == "" && old.Seen[k.name] == a.Seen[k.name] {
			continue
		}
		list = append(list, triggering{k.arn(), stateAt{c.state(), stamp(c.face().Transitioned.Time)}})
		if latest == nil || c.face().Transitioned.After(latest.face().Transitioned.Time) {
			latest = c
		}
	}
	switch {
	case old.Why != "":
		reason = fmt.Sprintf("%s was %s and its alarm rule evaluates to %s", a.arn(), old.Why, state)
	case latest != nil:
		reason = fmt.Sprintf("%s transitioned to %s at %s", latest.arn(), latest.state(), latest.face().Transitioned.UTC().Format("Monday 02 January, 2006 15:04:05 MST"))
	default:
		reason = fmt.Sprintf("An alarm of the alarm rule of %s was deleted and the rule evaluates to %s", a.arn(), state)
	}
	return reason, compactJSON(map[string]any{"triggeringAlarms": list})
}
