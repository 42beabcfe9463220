// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	_ "embed" // the tables
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

//go:embed alarms.sql
var alarmTables string

// The states of an alarm, and its kinds.
const (
	stateOK           = "OK"
	stateAlarm        = "ALARM"
	stateInsufficient = "INSUFFICIENT_DATA"

	kindMetric    = "MetricAlarm"
	kindComposite = "CompositeAlarm"
)

// alarmKey is an alarm's identity: metric and composite alarms share one space
// of names.
type alarmKey struct{ account, region, name string }

func (k alarmKey) arn() string {
	return arn.ARN{Service: "cloudwatch", Region: k.region, Account: k.account, Resource: "alarm:" + k.name}.String()
}

// keyOf is the key of an alarm of the caller's.
func keyOf(ctx context.Context, name string) alarmKey {
	c := auth.CallerFrom(ctx)
	return alarmKey{c.Account, c.Region, name}
}

// alarm is one alarm as DescribeAlarms tells it, and what is remembered beside
// that. One that is in the store is never changed: a change makes another.
type alarm struct {
	alarmKey  `json:"-"`
	Metric    *wcw.MetricAlarm    `json:",omitempty"` // this
	Composite *wcw.CompositeAlarm `json:",omitempty"` // or this
	Tags      []wcw.Tag           `json:",omitempty"`

	// Held is until when a state that was set by hand is left alone.
	Held time.Time `json:",omitzero"`
	// Seen are the states of a composite alarm's children when it was last
	// evaluated, and Why is why it is to be evaluated whatever they are.
	Seen map[string]string `json:",omitempty"`
	Why  string            `json:",omitempty"`

	plan *plan // of a metric alarm with Metrics
	rule *rule // of a composite alarm
}

// face is what both kinds have.
type face struct {
	Enabled                           **bool
	OK, Alarm, Insufficient           *[]string
	Description, State, Reason, Data  *string
	Configured, Updated, Transitioned *wire.Time
}

func (a *alarm) face() face {
	if m := a.Metric; m != nil {
		return face{&m.ActionsEnabled, &m.OKActions, &m.AlarmActions, &m.InsufficientDataActions, &m.AlarmDescription,
			&m.StateValue, &m.StateReason, &m.StateReasonData,
			&m.AlarmConfigurationUpdatedTimestamp, &m.StateUpdatedTimestamp, &m.StateTransitionedTimestamp}
	}
	c := a.Composite
	return face{&c.ActionsEnabled, &c.OKActions, &c.AlarmActions, &c.InsufficientDataActions, &c.AlarmDescription,
		&c.StateValue, &c.StateReason, &c.StateReasonData,
		&c.AlarmConfigurationUpdatedTimestamp, &c.StateUpdatedTimestamp, &c.StateTransitionedTimestamp}
}

func (a *alarm) kind() string {
	if a.Metric != nil {
		return kindMetric
	}
	return kindComposite
}

func (a *alarm) state() string { return *a.face().State }

// actions are those of a state.
func (f face) actions(state string) []string {
	switch state {
	case stateOK:
		return *f.OK
	case stateAlarm:
		return *f.Alarm
	}
	return *f.Insufficient
}

// clone is a copy whose face may be changed.
func (a *alarm) clone() *alarm {
	b := *a
	if a.Metric != nil {
		b.Metric = new(*a.Metric)
	} else {
		b.Composite = new(*a.Composite)
	}
	return &b
}

// ready makes what is not stored: lists that clients index unasked, the plan,
// the rule.
func (a *alarm) ready() (err error) {
	f := a.face()
	for _, list := range []*[]string{f.OK, f.Alarm, f.Insufficient} {
		if *list == nil {
			*list = []string{}
		}
	}
	if m := a.Metric; m != nil {
		if m.Dimensions == nil {
			m.Dimensions = []wcw.Dimension{}
		}
		if len(m.Metrics) > 0 {
			a.plan, err = newPlan(m.Metrics, "Metrics")
		}
		return err
	}
	a.rule, err = parseRule(a.Composite.AlarmRule)
	return err
}

// alarms holds all alarms in memory, as they are on disk.
type alarms struct {
	mu  sync.RWMutex
	all map[alarmKey]*alarm
	// composed are the keys of the composite ones.
	composed map[alarmKey]bool
	// evaluated is up to when a metric alarm was evaluated, seconds since 1970;
	// one that is not in it is to be evaluated at once.
	evaluated map[alarmKey]int64

	turn chan struct{} // holds one token: who has it changes alarms
	kick chan struct{} // actions are to be done
}

func newAlarms() *alarms {
	a := &alarms{all: map[alarmKey]*alarm{}, composed: map[alarmKey]bool{}, evaluated: map[alarmKey]int64{}, turn: make(chan struct{}, 1), kick: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	return a
}

// loadAlarms makes the tables where they are missing, since the file may be
// older than they are, and reads the alarms. The first evaluation of each comes
// with the next period: a state that was set by hand outlives the restart.
func (s *Service) loadAlarms(ctx context.Context) error {
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		for text := range strings.SplitSeq(alarmTables, ";\n") {
			if strings.TrimSpace(text) == "" {
				continue
			}
			if _, err := w.Exec(text); err != nil {
				return fmt.Errorf("make tables of alarms: %w", err)
			}
		}
		rows, err := w.Query("SELECT account, region, name, doc FROM alarm")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a := &alarm{}
			var doc []byte
			if err := rows.Scan(&a.account, &a.region, &a.name, &doc); err != nil {
				return err
			}
			if err := json.Unmarshal(doc, a); err != nil {
				return fmt.Errorf("read alarm %q: %w", a.name, err)
			}
			if err := a.ready(); err != nil {
				return fmt.Errorf("read alarm %q: %w", a.name, err)
			}
			s.alarms.keep(a)
			if a.Metric != nil {
				s.alarms.evaluated[a.alarmKey] = a.boundary(s.now())
			}
		}
		return rows.Err()
	})
}

// keep is called with mu, or before anyone else knows of l.
func (l *alarms) keep(a *alarm) {
	l.all[a.alarmKey] = a
	if a.Composite != nil {
		l.composed[a.alarmKey] = true
	}
}

func (l *alarms) get(k alarmKey) *alarm {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.all[k]
}

// of are the alarms of one account and Region, ordered by name.
func (l *alarms) of(account, region string) []*alarm {
	l.mu.RLock()
	var out []*alarm
	for k, a := range l.all {
		if k.account == account && k.region == region {
			out = append(out, a)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(out, func(a, b *alarm) int { return strings.Compare(a.name, b.name) })
	return out
}

// alarmTx is a change of alarms with its history: all of it is stored, or none.
type alarmTx struct {
	s       *Service
	w       sqlfile.Writer
	changed map[alarmKey]*alarm // nil: deleted
	again   map[alarmKey]bool   // are to be evaluated at once
	done    map[alarmKey]int64  // count as evaluated up to then
	acts    bool
}

// change runs fn in one transaction.
func (s *Service) change(ctx context.Context, fn func(*alarmTx) error) error {
	l := s.alarms
	select {
	case <-l.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	tx := &alarmTx{s: s, changed: map[alarmKey]*alarm{}, again: map[alarmKey]bool{}, done: map[alarmKey]int64{}}
	if err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		tx.w = w
		return fn(tx)
	}); err != nil {
		return err
	}
	l.mu.Lock()
	for k, a := range tx.changed {
		if a == nil {
			delete(l.all, k)
			delete(l.composed, k)
			delete(l.evaluated, k)
		} else {
			l.keep(a)
		}
	}
	maps.Copy(l.evaluated, tx.done)
	for k := range tx.again {
		delete(l.evaluated, k)
	}
	l.mu.Unlock()
	if tx.acts {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

func (tx *alarmTx) get(k alarmKey) *alarm {
	if a, ok := tx.changed[k]; ok {
		return a
	}
	return tx.s.alarms.get(k)
}

func (tx *alarmTx) put(a *alarm) error {
	doc, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("alarm %q as JSON: %w", a.name, err)
	}
	if _, err := tx.w.Exec("INSERT INTO alarm (account, region, name, doc) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc",
		a.account, a.region, a.name, doc); err != nil {
		return fmt.Errorf("store alarm %q: %w", a.name, err)
	}
	tx.changed[a.alarmKey] = a
	return nil
}

func (tx *alarmTx) delete(k alarmKey) error {
	if _, err := tx.w.Exec("DELETE FROM alarm WHERE account = ? AND region = ? AND name = ?", k.account, k.region, k.name); err != nil {
		return fmt.Errorf("delete alarm %q: %w", k.name, err)
	}
	tx.changed[k] = nil
	return nil
}

// verdict is the state that an alarm is to have; "" keeps the one that it has.
// data is JSON.
type verdict struct{ state, reason, data string }

// move gives an alarm a state. When that is another than it had, the history
// tells it and the actions of the new state are due.
func (tx *alarmTx) move(a *alarm, v verdict, now time.Time) (*alarm, error) {
	old, a := a, a.clone()
	f := a.face()
	*f.State, *f.Reason, *f.Data, *f.Updated = v.state, v.reason, v.data, wire.At(now)
	if old.state() == v.state {
		return a, tx.put(a)
	}
	*f.Transitioned = wire.At(now)
	if err := tx.history(a, now, "StateUpdate", fmt.Sprintf("Alarm updated from %s to %s", old.state(), v.state), stateUpdate(old, a)); err != nil {
		return nil, err
	}
	if *f.Enabled == nil || **f.Enabled {
		if err := tx.act(old, a, now); err != nil {
			return nil, err
		}
	}
	return a, tx.put(a)
}

func noAlarm(name string) error {
	return fault.New("ResourceNotFound", http.StatusNotFound, "The alarm %q does not exist.", name)
}
