// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func count(n int64) *sm.CapacitySize   { return &sm.CapacitySize{Type: "INSTANCE_COUNT", Value: &n} }
func percent(n int64) *sm.CapacitySize { return &sm.CapacitySize{Type: "CAPACITY_PERCENT", Value: &n} }

func blueGreen(t sm.TrafficRoutingConfig, wait, termination int64) *sm.DeploymentConfig {
	t.WaitIntervalInSeconds = &wait
	return &sm.DeploymentConfig{BlueGreenUpdatePolicy: &sm.BlueGreenUpdatePolicy{TrafficRoutingConfiguration: &t, TerminationWaitInSeconds: &termination}}
}

func rolling(batch, back *sm.CapacitySize, wait int64) *sm.DeploymentConfig {
	return &sm.DeploymentConfig{RollingUpdatePolicy: &sm.RollingUpdatePolicy{MaximumBatchSize: batch, RollbackMaximumBatchSize: back, WaitIntervalInSeconds: &wait}}
}

var began = time.Date(2026, 11, 25, 13, 0, 0, 0, time.UTC)

// fleets are instances that do what is wanted, each as soon as it can.
type fleets struct {
	t    *testing.T
	plan *Plan
	now  time.Time
	s    Stage
	seen Seen
}

func newFleets(t *testing.T, c *sm.DeploymentConfig, variants ...Variant) *fleets {
	t.Helper()
	if err := Check(c, variants); err != nil {
		t.Fatal(err)
	}
	f := &fleets{t: t, plan: New(c, variants), now: began, s: Start(began)}
	for _, v := range variants {
		f.seen.Counts = append(f.seen.Counts, Count{Blue: v.Old, BlueLeft: v.Old})
	}
	return f
}

// look decides once, after the record went through JSON as it does in the store.
func (f *fleets) look() Decision {
	f.t.Helper()
	d := f.plan.Decide(f.s, f.seen, f.now)
	b, err := json.Marshal(d.Stage)
	if err != nil {
		f.t.Fatal(err)
	}
	f.s = Stage{}
	if err := json.Unmarshal(b, &f.s); err != nil || f.s != d.Stage {
		f.t.Fatalf("the record came back as %+v, %v", f.s, err)
	}
	return d
}

// obey starts and ends instances as wanted.
func (f *fleets) obey(d Decision) {
	for i := range f.seen.Counts {
		f.seen.Counts[i] = Count{Green: d.Green[i], Blue: d.Blue[i], BlueLeft: d.Blue[i]}
	}
}

// trace tells each change of what is wanted, until the deployment ends: after
// how many seconds, phase, instances of green and of blue, share of green. at is
// asked before each look.
func (f *fleets) trace(at func(Stage)) []string {
	f.t.Helper()
	var out []string
	last := ""
	for range 1000 {
		if at != nil {
			at(f.s)
		}
		d := f.look()
		state := fmt.Sprintf("%s %v/%v %.0f%%", d.Stage.Phase, d.Green, d.Blue, 100*d.Share)
		if state != last {
			out = append(out, fmt.Sprintf("%ds %s", int(f.now.Sub(began).Seconds()), state))
		}
		before := f.seen.Counts
		f.seen.Counts = slices.Clone(before)
		f.obey(d)
		if d.Stage.Phase.Ended() {
			return out
		}
		if state == last && slices.Equal(before, f.seen.Counts) {
			if !d.Again.After(f.now) {
				f.t.Fatalf("%s: it wants to be looked at again at once, and nothing changes\n%s", state, strings.Join(out, "\n"))
			}
			f.now = d.Again
		}
		last = state
	}
	f.t.Fatalf("no end:\n%s", strings.Join(out, "\n"))
	return nil
}

func TestDeployments(t *testing.T) {
	alarm := func(f *fleets, ph Phase, shifted int) func(Stage) {
		return func(s Stage) {
			if s.Phase == ph && s.Shifted == shifted {
				f.seen.Alarms = []string{"errors"}
			}
		}
	}
	for _, c := range []struct {
		name     string
		config   *sm.DeploymentConfig
		variants []Variant
		phase    Phase // in which an alarm goes off
		shifted  int
		want     []string
	}{
		{"no policy: all at once, and blue goes", nil, []Variant{{"A", 2, 3}}, "", 0, []string{
			"0s Provisioning [3]/[2] 0%", "0s Activating [3]/[2] 100%", "0s Baking [3]/[2] 100%", "0s Waiting [3]/[2] 100%", "0s Done [3]/[0] 100%"}},
		{"all at once with waits", blueGreen(sm.TrafficRoutingConfig{Type: "ALL_AT_ONCE"}, 60, 30), []Variant{{"A", 1, 1}}, "", 0, []string{
			"0s Provisioning [1]/[1] 0%", "0s Activating [1]/[1] 100%", "0s Baking [1]/[1] 100%", "60s Waiting [1]/[1] 100%", "90s Done [1]/[0] 100%"}},
		{"a canary", blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: count(1)}, 60, 30), []Variant{{"A", 4, 4}}, "", 0, []string{
			"0s Provisioning [4]/[4] 0%", "0s Activating [4]/[4] 25%", "0s Baking [4]/[4] 25%",
			"60s Provisioning [4]/[4] 25%", "60s Activating [4]/[4] 100%", "60s Baking [4]/[4] 100%", "120s Waiting [4]/[4] 100%", "150s Done [4]/[0] 100%"}},
		{"a canary of a tenth of one instance is a tenth of the traffic", blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: percent(10)}, 0, 0), []Variant{{"A", 1, 1}}, "", 0, []string{
			"0s Provisioning [1]/[1] 0%", "0s Activating [1]/[1] 10%", "0s Baking [1]/[1] 10%",
			"0s Provisioning [1]/[1] 10%", "0s Activating [1]/[1] 100%", "0s Baking [1]/[1] 100%", "0s Waiting [1]/[1] 100%", "0s Done [1]/[0] 100%"}},
		{"linear steps", blueGreen(sm.TrafficRoutingConfig{Type: "LINEAR", LinearStepSize: percent(40)}, 60, 0), []Variant{{"A", 5, 5}}, "", 0, []string{
			"0s Provisioning [5]/[5] 0%", "0s Activating [5]/[5] 40%", "0s Baking [5]/[5] 40%",
			"60s Provisioning [5]/[5] 40%", "60s Activating [5]/[5] 80%", "60s Baking [5]/[5] 80%",
			"120s Provisioning [5]/[5] 80%", "120s Activating [5]/[5] 100%", "120s Baking [5]/[5] 100%", "180s Waiting [5]/[5] 100%", "180s Done [5]/[0] 100%"}},
		{"a rolling deployment to a larger fleet", rolling(percent(50), nil, 60), []Variant{{"A", 2, 4}}, "", 0, []string{
			"0s Provisioning [2]/[2] 0%", "0s Activating [2]/[2] 50%", "0s Baking [2]/[2] 50%",
			"60s Provisioning [2]/[1] 50%", "60s Provisioning [4]/[1] 50%", "60s Activating [4]/[1] 100%", "60s Baking [4]/[1] 100%", "120s Done [4]/[0] 100%"}},
		{"a rolling deployment of variants of different sizes", rolling(percent(25), nil, 0), []Variant{{"A", 4, 4}, {"B", 1, 2}, {"gone", 2, 0}}, "", 0, []string{
			"0s Provisioning [1 1 0]/[4 1 2] 0%", "0s Activating [1 1 0]/[4 1 2] 25%", "0s Baking [1 1 0]/[4 1 2] 25%",
			"0s Provisioning [1 1 0]/[3 1 2] 25%", "0s Provisioning [2 2 0]/[3 1 2] 25%", "0s Activating [2 2 0]/[3 1 2] 50%", "0s Baking [2 2 0]/[3 1 2] 50%",
			"0s Provisioning [2 2 0]/[2 1 1] 50%", "0s Provisioning [3 2 0]/[2 1 1] 50%", "0s Activating [3 2 0]/[2 1 1] 75%", "0s Baking [3 2 0]/[2 1 1] 75%",
			"0s Provisioning [3 2 0]/[1 1 1] 75%", "0s Provisioning [4 2 0]/[1 1 1] 75%", "0s Activating [4 2 0]/[1 1 1] 100%", "0s Baking [4 2 0]/[1 1 1] 100%",
			"0s Done [4 2 0]/[0 0 0] 100%"}},

		{"an alarm before the first step", blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: count(1)}, 60, 30), []Variant{{"A", 2, 2}}, Provisioning, 0, []string{
			"0s RollingBack [0]/[2] 0%", "0s RolledBack [0]/[2] 0%"}},
		{"an alarm while a canary is baked", blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: count(1)}, 60, 30), []Variant{{"A", 2, 2}}, Baking, 1, []string{
			"0s Provisioning [2]/[2] 0%", "0s Activating [2]/[2] 50%", "0s Baking [2]/[2] 50%", "0s RollingBack [0]/[2] 0%", "0s RolledBack [0]/[2] 0%"}},
		{"an alarm while blue is kept", blueGreen(sm.TrafficRoutingConfig{Type: "ALL_AT_ONCE"}, 0, 30), []Variant{{"A", 2, 2}}, Waiting, 1, []string{
			"0s Provisioning [2]/[2] 0%", "0s Activating [2]/[2] 100%", "0s Baking [2]/[2] 100%", "0s Waiting [2]/[2] 100%", "0s RollingBack [0]/[2] 0%", "0s RolledBack [0]/[2] 0%"}},
		{"an alarm in the third batch of a rolling deployment: blue comes back whole", rolling(count(1), nil, 60), []Variant{{"A", 4, 4}}, Baking, 3, []string{
			"0s Provisioning [1]/[4] 0%", "0s Activating [1]/[4] 25%", "0s Baking [1]/[4] 25%",
			"60s Provisioning [1]/[3] 25%", "60s Provisioning [2]/[3] 25%", "60s Activating [2]/[3] 50%", "60s Baking [2]/[3] 50%",
			"120s Provisioning [2]/[2] 50%", "120s Provisioning [3]/[2] 50%", "120s Activating [3]/[2] 75%", "120s Baking [3]/[2] 75%",
			"120s RollingBack [2]/[4] 50%", "120s RolledBack [0]/[4] 0%"}},
		{"the same in batches of one", rolling(count(1), count(1), 60), []Variant{{"A", 4, 4}}, Baking, 3, []string{
			"0s Provisioning [1]/[4] 0%", "0s Activating [1]/[4] 25%", "0s Baking [1]/[4] 25%",
			"60s Provisioning [1]/[3] 25%", "60s Provisioning [2]/[3] 25%", "60s Activating [2]/[3] 50%", "60s Baking [2]/[3] 50%",
			"120s Provisioning [2]/[2] 50%", "120s Provisioning [3]/[2] 50%", "120s Activating [3]/[2] 75%", "120s Baking [3]/[2] 75%",
			"120s RollingBack [2]/[3] 50%", "120s RollingBack [1]/[4] 25%", "120s RolledBack [0]/[4] 0%"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleets(t, c.config, c.variants...)
			got := f.trace(alarm(f, c.phase, c.shifted))
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			if rolled := strings.Contains(f.s.Reason, "went into ALARM state: errors."); rolled != (c.phase != "") {
				t.Errorf("reason %q", f.s.Reason)
			}
		})
	}
}

func TestWhatEndsADeployment(t *testing.T) {
	canary := func() *sm.DeploymentConfig {
		c := blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: count(1)}, 60, 30)
		c.BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds = new(int64(600))
		return c
	}
	two := Variant{"A", 2, 2}
	t.Run("green is not up in time", func(t *testing.T) {
		f := newFleets(t, canary(), two)
		f.seen.Counts[0].Green = 1
		if d := f.look(); d.Stage.Phase != Provisioning || !d.Again.Equal(began.Add(600*time.Second)) || d.Share != 0 {
			t.Errorf("%+v", d)
		}
		f.now = began.Add(600 * time.Second)
		f.look()
		if d := f.look(); d.Stage.Phase != RolledBack || !strings.Contains(d.Stage.Reason, "maximum execution timeout of 600 seconds") {
			t.Errorf("%+v", d)
		}
	})
	t.Run("green is given up", func(t *testing.T) {
		f := newFleets(t, canary(), two)
		f.seen.GreenFault = "it did not pass the ping health check"
		f.look()
		if d := f.look(); d.Stage.Phase != RolledBack || d.Stage.Reason != f.seen.GreenFault {
			t.Errorf("%+v", d)
		}
	})
	t.Run("the time ends while blue is kept: what was baked stays", func(t *testing.T) {
		f := newFleets(t, canary(), two)
		f.s = Stage{Phase: Waiting, Shifted: 2, Retired: 2, Began: began, Since: began.Add(590 * time.Second)}
		f.seen.Counts[0].Green, f.now = 2, began.Add(600*time.Second)
		if d := f.look(); d.Stage.Phase != Done {
			t.Errorf("%+v", d)
		}
	})
	t.Run("blue does not go while green has nobody", func(t *testing.T) {
		f := newFleets(t, canary(), two)
		f.s = Stage{Phase: Waiting, Shifted: 2, Retired: 2, Began: began, Since: began}
		f.now = began.Add(100 * time.Second)
		if d := f.look(); d.Stage.Phase != Waiting || d.Share != 0 || d.Blue[0] != 2 {
			t.Errorf("%+v", d)
		}
		f.now = began.Add(600 * time.Second)
		f.look()
		if d := f.look(); d.Stage.Phase != RolledBack {
			t.Errorf("%+v", d)
		}
	})
	t.Run("blue has nobody when it is rolled back: green serves on until it has", func(t *testing.T) {
		f := newFleets(t, canary(), two)
		f.s = Stage{Phase: Baking, Shifted: 1, Began: began, Since: began}
		f.seen = Seen{Counts: []Count{{Green: 2, BlueLeft: 2}}, Alarms: []string{"errors"}}
		for range 3 {
			if d := f.look(); d.Stage.Phase != RollingBack || d.Share != 1 || d.Green[0] != 2 || d.Blue[0] != 2 || d.ActiveBlue[0] != 0 {
				t.Errorf("%+v", d)
			}
		}
		f.seen.Counts[0].Blue = 1
		if d := f.look(); d.Stage.Phase != RolledBack || d.Share != 0 || d.Green[0] != 0 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("neither fleet comes up", func(t *testing.T) {
		f := newFleets(t, rolling(count(1), nil, 60), two)
		f.s = Stage{Phase: Baking, Shifted: 2, Retired: 1, Began: began, Since: began}
		f.seen = Seen{Counts: []Count{{Green: 2, Blue: 1, BlueLeft: 1}}, Alarms: []string{"errors"}, BlueFault: "no room"}
		f.look()
		d := f.look()
		if d.Stage.Phase != Stuck || !strings.Contains(d.Stage.Reason, "no room") || d.Share != 0.5 || d.Green[0] != 1 || !d.Again.IsZero() {
			t.Errorf("%+v", d)
		}
		if again := f.look(); again.Stage != d.Stage {
			t.Errorf("what is stuck moved: %+v", again)
		}
	})
	t.Run("a rollback has its time, too", func(t *testing.T) {
		f := newFleets(t, rolling(count(1), nil, 60), two)
		f.s = Stage{Phase: RollingBack, Shifted: 1, Retired: 1, Began: began, Since: began, Reason: "An alarm."}
		f.seen = Seen{Counts: []Count{{Green: 1, Blue: 1, BlueLeft: 1}}}
		d := f.look()
		if d.Stage.Phase != RollingBack || d.Blue[0] != 2 {
			t.Errorf("%+v", d)
		}
		f.now = d.Again
		f.look()
		f.now = began.Add(longest)
		if d := f.look(); d.Stage.Phase != Stuck || !strings.HasPrefix(d.Stage.Reason, "An alarm. The rollback did not complete") {
			t.Errorf("%+v", d)
		}
	})
}

func TestWhoGetsTraffic(t *testing.T) {
	f := newFleets(t, blueGreen(sm.TrafficRoutingConfig{Type: "LINEAR", LinearStepSize: percent(30)}, 60, 0), Variant{"A", 4, 10}, Variant{"B", 1, 1})
	var got []string
	f.trace(func(s Stage) {
		if s.Phase == Baking {
			d := f.plan.Decide(s, f.seen, f.now)
			if line := fmt.Sprint(d.ActiveGreen, d.ActiveBlue); d.Stage.Phase == Baking && !slices.Contains(got, line) {
				got = append(got, line)
			}
		}
	})
	if want := []string{"[3 1] [3 1]", "[6 1] [2 1]", "[9 1] [1 1]", "[10 1] [0 0]"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestStatus(t *testing.T) {
	canary := New(blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: count(1)}, 60, 30), []Variant{{"A", 3, 3}})
	linear := New(blueGreen(sm.TrafficRoutingConfig{Type: "LINEAR", LinearStepSize: count(1)}, 60, 30), []Variant{{"A", 3, 3}})
	rolls := New(rolling(count(1), nil, 60), []Variant{{"A", 3, 3}})
	for _, c := range []struct {
		plan        *Plan
		s           Stage
		seen        Count
		green, blue string
	}{
		{canary, Stage{Phase: Provisioning}, Count{1, 3, 3}, "Creating: Launching 2 instance(s).", ""},
		{canary, Stage{Phase: Activating, Shifted: 1}, Count{3, 3, 3}, "ActivatingTraffic: Activating traffic on canary capacity of 1 instance(s).", ""},
		{canary, Stage{Phase: Baking, Shifted: 1}, Count{3, 3, 3}, "Baking: Baking for 60 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).", ""},
		{canary, Stage{Phase: Waiting, Shifted: 2, Retired: 2}, Count{3, 3, 3}, "Baking: Baking for 30 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 3 instance(s).", ""},
		{linear, Stage{Phase: Activating, Shifted: 2}, Count{3, 3, 3}, "ActivatingTraffic: Activating traffic on partial capacity of 2 instance(s).", ""},
		{canary, Stage{Phase: RollingBack, Shifted: 1}, Count{3, 3, 3}, "Deleting: Terminating 3 instance(s).", ""},
		{canary, Stage{Phase: Done, Shifted: 2, Retired: 2}, Count{3, 3, 3}, "", "Deleting: Terminating 3 instance(s)."},
		{rolls, Stage{Phase: RollingBack, Shifted: 1, Retired: 1}, Count{1, 2, 2}, "", "Creating: Launching 1 instance(s)."},
		{rolls, Stage{Phase: Provisioning, Shifted: 1, Retired: 1}, Count{1, 3, 3}, "Creating: Launching 0 instance(s).", "Deleting: Terminating 1 instance(s)."},
	} {
		c.s.Began, c.s.Since = began, began
		seen := Seen{Counts: []Count{c.seen}}
		green, blue := c.plan.Status(c.plan.want(c.s, seen, began), seen, 0)
		text := func(s []sm.ProductionVariantStatus) string {
			if len(s) == 0 {
				return ""
			}
			if !s[0].StartTime.Time.Equal(began) {
				t.Errorf("since %v", s[0].StartTime)
			}
			return s[0].Status + ": " + s[0].StatusMessage
		}
		if g, b := text(green), text(blue); g != c.green || b != c.blue {
			t.Errorf("%+v: %q and %q", c.s, g, b)
		}
	}
}

func TestCheck(t *testing.T) {
	fleet := []Variant{{"A", 1, 4}, {"B", 1, 10}}
	both := rolling(percent(10), nil, 0)
	both.BlueGreenUpdatePolicy = blueGreen(sm.TrafficRoutingConfig{Type: "ALL_AT_ONCE"}, 0, 0).BlueGreenUpdatePolicy
	timed := func(c *sm.DeploymentConfig, n int64) *sm.DeploymentConfig {
		if c.BlueGreenUpdatePolicy != nil {
			c.BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds = &n
		} else {
			c.RollingUpdatePolicy.MaximumExecutionTimeoutInSeconds = &n
		}
		return c
	}
	alarms := func(names ...string) *sm.DeploymentConfig {
		c := &sm.DeploymentConfig{AutoRollbackConfiguration: &sm.AutoRollbackConfig{}}
		for _, n := range names {
			c.AutoRollbackConfiguration.Alarms = append(c.AutoRollbackConfiguration.Alarms, sm.Alarm{AlarmName: n})
		}
		return c
	}
	eleven := strings.Split("abcdefghijk", "")
	canary, linear := sm.TrafficRoutingConfigTypeCANARY, sm.TrafficRoutingConfigTypeLINEAR
	for _, c := range []struct {
		name   string
		config *sm.DeploymentConfig
		says   string // "" is taken
	}{
		{"nothing", nil, ""},
		{"no policy", &sm.DeploymentConfig{}, ""},
		{"both policies", both, "only one update policy"},
		{"no routing", &sm.DeploymentConfig{BlueGreenUpdatePolicy: &sm.BlueGreenUpdatePolicy{}}, "TrafficRoutingConfiguration must be specified"},
		{"a canary", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(2)}, 0, 0), ""},
		{"a canary of one per cent", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: percent(1)}, 0, 0), ""},
		{"a canary without a size", blueGreen(sm.TrafficRoutingConfig{Type: canary}, 0, 0), "CanarySize must be specified"},
		{"a canary that is too large for one variant", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(3)}, 0, 0), "CanarySize must be less than or equal to 50% of the new fleet's capacity; 3 of the 4 instance(s) of variant \"A\" is not"},
		{"a canary of most", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: percent(51)}, 0, 0), "less than or equal to 50%"},
		{"a canary with linear steps", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(1), LinearStepSize: count(1)}, 0, 0), "LinearStepSize can be specified only"},
		{"a canary of no kind", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: &sm.CapacitySize{Value: new(int64(1))}}, 0, 0), "Type of CanarySize must be"},
		{"a canary of none", blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(0)}, 0, 0), "at least 1"},
		{"all at once with a canary", blueGreen(sm.TrafficRoutingConfig{Type: "ALL_AT_ONCE", CanarySize: count(1)}, 0, 0), "CanarySize can be specified only"},
		{"linear steps", blueGreen(sm.TrafficRoutingConfig{Type: linear, LinearStepSize: count(1)}, 0, 0), ""},
		{"linear steps that are too small", blueGreen(sm.TrafficRoutingConfig{Type: linear, LinearStepSize: percent(9)}, 0, 0), "between 10% and 50%"},
		{"linear steps without a size", blueGreen(sm.TrafficRoutingConfig{Type: linear}, 0, 0), "LinearStepSize must be specified"},
		{"rolling", rolling(percent(5), percent(100), 0), ""},
		{"rolling without a size", rolling(nil, nil, 0), "MaximumBatchSize must be specified"},
		{"rolling in batches that are too small", rolling(percent(4), nil, 0), "between 5% and 50%"},
		{"rolling in batches that are too large", rolling(count(3), nil, 0), "MaximumBatchSize must be between 5% and 50%"},
		{"rolling back more than all", rolling(percent(50), percent(101), 0), "RollbackMaximumBatchSize must be less than or equal to 100%"},
		{"rolling back by more instances than there are", rolling(percent(50), count(100), 0), ""},
		{"a time that the waits take up: canary", timed(blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(1)}, 300, 0), 600), "must be greater than the total waiting time of the deployment (600 seconds)"},
		{"a time that is longer than the waits", timed(blueGreen(sm.TrafficRoutingConfig{Type: canary, CanarySize: count(1)}, 300, 0), 601), ""},
		{"a time that the waits take up: linear", timed(blueGreen(sm.TrafficRoutingConfig{Type: linear, LinearStepSize: percent(10)}, 60, 1), 601), "(601 seconds)"},
		{"a time that the waits take up: rolling", timed(rolling(percent(25), nil, 300), 1200), "(1200 seconds)"},
		{"an alarm", alarms("a"), ""},
		{"no alarm", alarms(), "at least 1 and at most 10"},
		{"eleven alarms", alarms(eleven...), "it has 11"},
		{"an alarm twice", alarms("a", "b", "a"), "non-unique"},
		{"an alarm without a name", alarms(""), "AlarmName must be specified"},
	} {
		err := Check(c.config, fleet)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if f := fault.Of(err); f == nil || f.Code != "ValidationException" || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// When an endpoint is created there is no new fleet yet to hold it against.
	if err := Check(rolling(count(3), nil, 0), nil); err != nil {
		t.Error(err)
	}
}

// randomConfig is any that Check takes for these variants.
func randomConfig(r *rand.Rand, variants []Variant) *sm.DeploymentConfig {
	size := func(lo, hi int64) *sm.CapacitySize {
		if r.IntN(2) == 0 {
			return count(1 + r.Int64N(5))
		}
		return percent(lo + r.Int64N(hi-lo+1))
	}
	for {
		var c *sm.DeploymentConfig
		switch wait, termination := r.Int64N(3)*100, r.Int64N(3)*100; r.IntN(5) {
		case 0:
			return nil
		case 1:
			c = blueGreen(sm.TrafficRoutingConfig{Type: "ALL_AT_ONCE"}, wait, termination)
		case 2:
			c = blueGreen(sm.TrafficRoutingConfig{Type: "CANARY", CanarySize: size(1, 50)}, wait, termination)
		case 3:
			c = blueGreen(sm.TrafficRoutingConfig{Type: "LINEAR", LinearStepSize: size(10, 50)}, wait, termination)
		default:
			c = rolling(size(5, 50), size(5, 100), wait)
			if r.IntN(2) == 0 {
				c.RollingUpdatePolicy.RollbackMaximumBatchSize = nil
			}
		}
		if Check(c, variants) == nil {
			return c
		}
	}
}

// TestAnyDeploymentEnds lives through random deployments in which instances die,
// alarms go off and time passes: each ends, and no traffic goes to a fleet that
// cannot take it while the other can.
func TestAnyDeploymentEnds(t *testing.T) {
	ends := map[Phase]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var variants []Variant
		for i := range 1 + r.IntN(3) {
			variants = append(variants, Variant{Name: fmt.Sprint(i), Old: r.IntN(6), New: r.IntN(6)})
		}
		variants[0].Old, variants[0].New = max(variants[0].Old, 1), max(variants[0].New, 1)
		f := newFleets(t, randomConfig(r, variants), variants...)
		quiet := r.IntN(2) == 0 // no alarms, so that some come through
		looks := 0
		for ; !f.s.Phase.Ended(); looks++ {
			if looks > 20_000 {
				t.Fatalf("seed %d: no end of %+v", seed, f.s)
			}
			d := f.look()
			for i, v := range variants {
				if d.Green[i] < 0 || d.Green[i] > v.New || d.Blue[i] < 0 || d.Blue[i] > v.Old {
					t.Fatalf("seed %d: %+v wants more than there is", seed, d)
				}
				if d.ActiveGreen[i] > v.New || d.ActiveBlue[i] > v.Old || d.Share > 0 && v.New > 0 && d.ActiveGreen[i] == 0 || d.Share < 1 && v.Old > 0 && d.ActiveBlue[i] == 0 {
					t.Fatalf("seed %d: %+v sends traffic to none", seed, d)
				}
				// Who takes traffic is not told to go.
				if d.Share > 0 && v.New > 0 && d.Green[i] == 0 || d.Share < 1 && v.Old > 0 && d.Blue[i] == 0 {
					t.Fatalf("seed %d: %+v takes away who serves", seed, d)
				}
			}
			green, blue := f.plan.usable(f.seen, false), f.plan.usable(f.seen, true)
			if math.IsNaN(d.Share) || d.Share < 0 || d.Share > 1 || d.Share > 0 && !green && blue || d.Share < 1 && !blue && green && d.Stage.Phase != RolledBack {
				t.Fatalf("seed %d: %+v with %+v sends traffic where nobody is", seed, d, f.seen)
			}
			if d.Stage.Phase == Done && !green {
				t.Fatalf("seed %d: blue goes while green is not in service: %+v", seed, f.seen)
			}
			if d.Stage.Phase == RolledBack && !blue {
				t.Fatalf("seed %d: green goes while blue is not in service: %+v", seed, f.seen)
			}
			// A look that is repeated, as after a crash, changes nothing but the stage.
			if again := f.plan.want(f.s, f.seen, f.now); !reflect.DeepEqual(again, d) {
				t.Fatalf("seed %d: %+v, then %+v", seed, d, again)
			}
			if f.seen.Counts = slices.Clone(f.seen.Counts); r.IntN(3) > 0 {
				f.obey(d)
			}
			for i := range f.seen.Counts {
				c := &f.seen.Counts[i]
				if r.IntN(20) == 0 {
					c.Green = r.IntN(c.Green + 1)
				}
				if r.IntN(40) == 0 {
					c.Blue = r.IntN(c.Blue + 1)
				}
			}
			if !quiet && r.IntN(40) == 0 {
				f.seen.Alarms = []string{"a"}
			}
			if r.IntN(500) == 0 {
				f.seen.GreenFault = "green is broken."
			}
			if r.IntN(500) == 0 {
				f.seen.BlueFault = "blue is broken."
			}
			if f.now = f.now.Add(time.Duration(r.IntN(60)) * time.Second); r.IntN(5) == 0 && d.Again.After(f.now) {
				f.now = d.Again
			}
		}
		ends[f.s.Phase]++
	}
	for _, ph := range []Phase{Done, RolledBack, Stuck} {
		if ends[ph] == 0 {
			t.Errorf("none ended as %s: %v", ph, ends)
		}
	}
}
