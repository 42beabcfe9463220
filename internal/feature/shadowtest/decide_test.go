// SPDX-License-Identifier: Apache-2.0

package shadowtest

import (
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func experiment(status string, p plan) *record {
	return &record{Status: status, Private: p, Doc: &sm.DescribeInferenceExperimentOutput{
		Schedule:         &sm.InferenceExperimentSchedule{StartTime: wire.At(now), EndTime: wire.At(now.Add(time.Hour))},
		ShadowModeConfig: &sm.ShadowModeConfig{SourceModelVariantName: "old", ShadowModelVariants: []sm.ShadowModelVariantConfig{{ShadowModelVariantName: "new", SamplingPercentage: new(int64(50))}}},
		ModelVariants:    []sm.ModelVariantConfigSummary{{VariantName: "old"}, {VariantName: "new"}}}}
}

func TestDecide(t *testing.T) {
	serving := endpoint{status: "InService", config: "before"}
	taken := endpoint{status: "InService", config: "mine"}
	failed := endpoint{status: "InService", config: "before", reason: "no room"}
	busy := endpoint{status: "Updating", config: "before"}
	for _, c := range []struct {
		name string
		r    *record
		e    endpoint
		at   time.Duration
		want step
	}{
		{"a new one is created", experiment("Creating", plan{}), serving, 0, step{status: "Created"}},
		{"it waits for its time", experiment("Created", plan{}), serving, -time.Minute, step{again: time.Minute}},
		{"or for the order to start", experiment("Created", plan{Started: true}), serving, -time.Minute, step{status: "Starting"}},
		{"it starts at its time", experiment("Created", plan{}), serving, 0, step{status: "Starting"}},
		{"then it makes a config", experiment("Starting", plan{}), serving, 0, step{make: true}},
		{"which the endpoint is to take", experiment("Starting", plan{Config: "mine"}), serving, 0, step{ask: true}},
		{"an endpoint that is busy is waited for", experiment("Starting", plan{Config: "mine"}), busy, 0, step{again: endpointPoll}},
		{"it runs when the endpoint has taken it", experiment("Starting", plan{Config: "mine", Asked: true}), taken, 0, step{status: "Running"}},
		{"an endpoint that cannot take it ends it", experiment("Starting", plan{Config: "mine", Asked: true}), failed, 0,
			step{status: "Stopping", undo: true, reason: "The endpoint could not be updated: no room"}},
		{"it runs until its end", experiment("Running", plan{}), taken, 0, step{again: time.Minute}},
		{"and stops then", experiment("Running", plan{}), taken, time.Hour, step{status: "Stopping", undo: true, reason: "The experiment has reached its scheduled end."}},
		{"one whose endpoint is gone stops", experiment("Running", plan{}), endpoint{gone: true}, 0, step{status: "Stopping", undo: true, reason: "The endpoint was deleted."}},
		{"a change of the sampling is a config, too", experiment("Updating", plan{}), taken, 0, step{make: true}},
		{"so is the end", experiment("Stopping", plan{Ends: "Completed"}), taken, 0, step{make: true}},
		{"it is over when the endpoint has taken that", experiment("Stopping", plan{Ends: "Completed", Config: "mine"}), taken, 0, step{status: "Completed"}},
		{"or is gone", experiment("Stopping", plan{Ends: "Cancelled"}), endpoint{gone: true}, 0, step{status: "Cancelled"}},
		{"or cannot take it", experiment("Stopping", plan{Ends: "Cancelled", Config: "mine", Asked: true}), failed, 0,
			step{status: "Cancelled", reason: "The endpoint could not be updated: no room"}},
	} {
		if got := decide(c.r, c.e, now.Add(c.at)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Whatever happens to the endpoint, every status that is reached is one that the
// life allows, and the experiment ends.
func TestEveryStepIsAllowed(t *testing.T) {
	for _, gone := range []int{0, 1, 3, 5, 8} { // the endpoint is deleted at this step; 0 for never
		r := experiment("Creating", plan{})
		e := endpoint{status: "InService", config: "before"}
		at := now
		for i := 1; !life.Settled(r.Status); i++ {
			if i > 100 {
				t.Fatalf("gone at %d: still %s", gone, r.Status)
			}
			e.gone = gone > 0 && i >= gone
			st := decide(r, e, at)
			if st.ask {
				e.config = r.Private.Config
			}
			from := r.Status
			st.apply(r, "config-of-"+r.Status, at)
			if !life.May(from, r.Status) {
				t.Fatalf("gone at %d: from %s to %s", gone, from, r.Status)
			}
			at = at.Add(st.again)
		}
		want := "Completed"
		if gone > 0 {
			want = "Cancelled"
		}
		if r.Status != want || r.Doc.CompletionTime.IsZero() {
			t.Errorf("gone at %d: %s", gone, r.Status)
		}
	}
}
