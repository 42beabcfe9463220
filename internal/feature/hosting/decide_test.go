// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func aFleet(generation int, r role, counts ...int) fleet {
	f := fleet{Generation: generation, Role: r, Config: "c"}
	for i, n := range counts {
		f.Variants = append(f.Variants, variant{Name: string(rune('A' + i)), Count: n, Highest: n, Weight: 1, Startup: 4 * time.Minute,
			Model: serving.Model{Containers: []serving.Container{{Image: "image"}}}})
	}
	return f
}

func TestDecide(t *testing.T) {
	running := look{phase: runtime.Running, started: now.Add(-time.Second)}
	healthy := look{phase: runtime.Running, started: now.Add(-time.Second), healthy: true}
	exited := look{phase: runtime.Exited, crashes: 1}
	a, b := spot{generation: 1, variant: 0, index: 0}, spot{generation: 1, variant: 0, index: 1}
	n := spot{generation: 2, variant: 0, index: 0}
	for _, c := range []struct {
		name   string
		status string
		fleets []fleet
		reason string
		seen   map[spot]look
		want   step
	}{
		{"a new endpoint starts its instances", sm.EndpointStatusCreating, []fleet{aFleet(1, next, 2)}, "", nil,
			step{start: []spot{a, b}}},
		{"it is in service when all answer", sm.EndpointStatusCreating, []fleet{aFleet(1, next, 2)}, "", map[spot]look{a: healthy, b: healthy},
			step{serve: []spot{a, b}, promote: true, status: sm.EndpointStatusInService}},
		{"one that does not answer yet holds it up", sm.EndpointStatusCreating, []fleet{aFleet(1, next, 2)}, "", map[spot]look{a: healthy, b: running},
			step{serve: []spot{a}, again: 4*time.Minute - time.Second + time.Second}},
		{"an instance in service that died is removed", sm.EndpointStatusInService, []fleet{aFleet(1, current, 2)}, "", map[spot]look{a: healthy, b: exited},
			step{serve: []spot{a}, remove: []spot{b}}},
		{"and started again after its back-off", sm.EndpointStatusInService, []fleet{aFleet(1, current, 1)}, "", map[spot]look{a: {phase: runtime.Missing, notUntil: now.Add(time.Second)}},
			step{again: time.Second}},
		{"a sick instance is stopped", sm.EndpointStatusInService, []fleet{aFleet(1, current, 1)}, "", map[spot]look{a: {phase: runtime.Running, sick: true}},
			step{stop: []spot{a}}},
		{"an old fleet is stopped", sm.EndpointStatusInService, []fleet{aFleet(1, old, 1), aFleet(2, current, 1)}, "", map[spot]look{a: healthy, n: healthy},
			step{serve: []spot{n}, stop: []spot{a}}},
		{"and forgotten when it is gone", sm.EndpointStatusInService, []fleet{aFleet(1, old, 1), aFleet(2, current, 1)}, "", map[spot]look{n: healthy},
			step{serve: []spot{n}, drop: []int{1}}},
		{"a failed creation ends when nothing is left", sm.EndpointStatusCreating, []fleet{aFleet(1, old, 1)}, "why", nil,
			step{drop: []int{1}, status: sm.EndpointStatusFailed}},
		{"fewer instances: the surplus is stopped, the update is over", sm.EndpointStatusUpdating,
			[]fleet{{Generation: 1, Role: current, Variants: []variant{{Name: "A", Model: serving.Model{Containers: []serving.Container{{}}}, Count: 1, Highest: 2, Startup: time.Minute}}}}, "",
			map[spot]look{a: healthy, b: healthy},
			step{serve: []spot{a}, stop: []spot{b}, status: sm.EndpointStatusInService}},
		{"a deleted endpoint stops what runs", sm.EndpointStatusDeleting, []fleet{aFleet(1, current, 2)}, "", map[spot]look{a: healthy, b: exited},
			step{stop: []spot{a}, remove: []spot{b}}},
		{"and is gone when nothing does", sm.EndpointStatusDeleting, []fleet{aFleet(1, current, 2)}, "", nil,
			step{gone: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want.again == 0 {
				c.want.again = time.Hour
			}
			got := decide(c.status, &deployment{Fleets: c.fleets}, c.reason, c.seen, nil, now)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			r := &endpointRecord{Status: c.status, Doc: &sm.DescribeEndpointOutput{}, Private: deployment{Fleets: c.fleets}}
			got.apply(r)
			if !endpointLife.May(c.status, r.Status) {
				t.Errorf("status may not go from %s to %s", c.status, r.Status)
			}
		})
	}
}

// Whatever is seen, deciding again and again with obedient instances ends at
// rest: the loop never goes round for ever.
func TestDecideComesToRest(t *testing.T) {
	r := &endpointRecord{Status: sm.EndpointStatusCreating, Doc: &sm.DescribeEndpointOutput{},
		Private: deployment{Fleets: []fleet{aFleet(1, next, 2, 1)}}}
	seen := map[spot]look{}
	settle := func() {
		for range 50 {
			st := decide(r.Status, &r.Private, r.Doc.FailureReason, seen, nil, now)
			for _, at := range st.start {
				seen[at] = look{phase: runtime.Running, started: now, healthy: true}
			}
			for _, at := range append(st.stop, st.remove...) {
				delete(seen, at)
			}
			st.apply(r)
			if st.gone || len(st.start)+len(st.stop)+len(st.remove) == 0 && !st.changes() {
				return
			}
		}
		t.Fatal("never at rest")
	}
	settle()
	if r.Status != sm.EndpointStatusInService || len(seen) != 3 {
		t.Fatalf("created: %s with %d instances", r.Status, len(seen))
	}
	r.Private.Fleets = append(r.Private.Fleets, aFleet(2, next, 1, 1))
	r.Status = sm.EndpointStatusUpdating
	settle()
	if r.Status != sm.EndpointStatusInService || len(r.Private.Fleets) != 1 || len(seen) != 2 {
		t.Fatalf("updated: %s with %d instances in %d fleets", r.Status, len(seen), len(r.Private.Fleets))
	}
	if err := applyWeights(r, []sm.DesiredWeightAndCapacity{{VariantName: "A", DesiredInstanceCount: new(int64(4)), DesiredWeight: new(3.0)}}); err != nil {
		t.Fatal(err)
	}
	r.Status = sm.EndpointStatusUpdating
	settle()
	if len(seen) != 5 {
		t.Fatalf("scaled: %d instances", len(seen))
	}
	r.Status = sm.EndpointStatusDeleting
	settle()
	if len(seen) != 0 {
		t.Fatalf("deleted: %d instances left", len(seen))
	}
}

func TestADeploymentMovesTheTrafficOrComesBack(t *testing.T) {
	healthy := look{phase: runtime.Running, started: now.Add(-time.Second), healthy: true}
	a, n := spot{generation: 1}, spot{generation: 2}
	policy := &sm.DeploymentConfig{BlueGreenUpdatePolicy: &sm.BlueGreenUpdatePolicy{
		TrafficRoutingConfiguration: &sm.TrafficRoutingConfig{Type: "CANARY", WaitIntervalInSeconds: new(int64(60)),
			CanarySize: &sm.CapacitySize{Type: "CAPACITY_PERCENT", Value: new(int64(10))}}}}
	for _, c := range []struct {
		name   string
		policy *sm.DeploymentConfig
		green  look
		alarm  time.Duration // after which the alarm goes off
		want   string        // config at the end
		reason string
		shares []float64 // of the new fleet, that were seen
	}{
		{"all at once", nil, healthy, 0, "c2", "", []float64{1}},
		{"a canary", policy, healthy, 0, "c2", "", []float64{0.1, 1}},
		{"a canary that is called back", policy, healthy, 30 * time.Second, "c1", "auto-rollback alarms went into ALARM state: bad", []float64{0.1}},
		{"one that never answers", policy, look{phase: runtime.Running, started: now.Add(-time.Hour)}, 0, "c1", "did not pass the ping health check", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			green := aFleet(2, next, 1)
			green.Config, green.Policy = "c2", c.policy
			blue := aFleet(1, current, 1)
			blue.Config = "c1"
			r := &endpointRecord{Doc: &sm.DescribeEndpointOutput{}, Status: sm.EndpointStatusUpdating, Private: deployment{Fleets: []fleet{blue, green}}}
			seen, at := map[spot]look{a: healthy, n: c.green}, now
			var shares []float64
			for range 1000 {
				var alarms []string
				if c.alarm > 0 && at.Sub(now) >= c.alarm {
					alarms = []string{"bad"}
				}
				st := decide(r.Status, &r.Private, r.Doc.FailureReason, seen, alarms, at)
				if len(st.serve) == 0 {
					t.Fatal("nobody serves")
				}
				if s := st.shares[2]; s > 0 && (len(shares) == 0 || shares[len(shares)-1] != s) {
					shares = append(shares, s)
				}
				st.apply(r)
				if r.Status != sm.EndpointStatusUpdating {
					break
				}
				at = at.Add(time.Second)
			}
			var kept *fleet
			if kept = r.Private.fleetOf(current); r.Status != sm.EndpointStatusInService || kept.Config != c.want || !strings.Contains(r.Doc.FailureReason, c.reason) || c.reason == "" && r.Doc.FailureReason != "" {
				t.Errorf("%s %s %q", r.Status, kept.Config, r.Doc.FailureReason)
			}
			if !slices.Equal(shares, c.shares) {
				t.Errorf("shares %v, want %v", shares, c.shares)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	some := []*target{{}}
	r := &route{fleets: []fleetRoute{{share: 1, total: 4, variants: []variantRoute{{name: "A", weight: 3, targets: some}, {name: "B", weight: 1, targets: some}, {name: "C", weight: 9}}}}}
	for _, c := range []struct {
		target string
		x      float64
		want   string
	}{{"", 0, "A"}, {"", 0.74, "A"}, {"", 0.76, "B"}, {"", 0.9999, "B"}, {"B", 0, "B"}} {
		if _, v := r.choose(c.target, 0, c.x); v == nil || v.name != c.want {
			t.Errorf("choose(%q, %g) = %v, want %s", c.target, c.x, v, c.want)
		}
	}
	if _, v := r.choose("D", 0, 0); v != nil {
		t.Error("an unknown variant was found")
	}

	two := &route{fleets: []fleetRoute{{generation: 1, share: 0.9, total: 1, variants: r.fleets[0].variants}, {generation: 2, share: 0.1, total: 1, variants: r.fleets[0].variants}, {generation: 3}}}
	for u, want := range map[float64]int{0: 1, 0.89: 1, 0.91: 2, 0.9999999999: 2} {
		if f, _ := two.choose("", u, 0); f == nil || f.generation != want {
			t.Errorf("of two fleets, at %g: %v, want %d", u, f, want)
		}
	}
}

func TestLeastBusyInstance(t *testing.T) {
	a, b, c := &target{name: "a"}, &target{name: "b"}, &target{name: "c"}
	a.outstanding.Store(2)
	b.outstanding.Store(1)
	c.outstanding.Store(3)
	v := variantRoute{targets: []*target{a, b, c}}
	if got := v.least(nil, 2); got != b {
		t.Errorf("got %s", got.name)
	}
	if got := v.least([]*target{b}, 0); got != a {
		t.Errorf("without b got %s", got.name)
	}
	if got := v.least([]*target{a, b, c}, 0); got != nil {
		t.Errorf("with none left got %s", got.name)
	}
	for _, at := range v.targets {
		at.outstanding.Store(maxOutstanding)
	}
	if got := v.least(nil, 0); got != nil {
		t.Errorf("%s has too many and got one more", got.name)
	}
}

func TestLifeIsATable(t *testing.T) {
	if endpointLife.Settled(sm.EndpointStatusInService) || endpointLife.Settled(sm.EndpointStatusDeleting) {
		t.Error("an endpoint in service or being deleted has work left")
	}
	if !endpointLife.Settled(sm.EndpointStatusFailed) {
		t.Error("a failed endpoint has none")
	}
}

// What Create's input has and the Describe document does not take over by name
// is listed here, so that no member is lost unseen.
func TestProjectionLeavesOnlyTheseBehind(t *testing.T) {
	for name, c := range map[string]struct {
		doc, in any
		want    []string
	}{
		"model":           {&sm.DescribeModelOutput{}, &sm.CreateModelInput{}, []string{"Tags"}},
		"endpoint config": {&sm.DescribeEndpointConfigOutput{}, &sm.CreateEndpointConfigInput{}, []string{"Tags"}},
		// DeploymentConfig becomes LastDeploymentConfig.
		"endpoint": {&sm.DescribeEndpointOutput{}, &sm.CreateEndpointInput{}, []string{"DeploymentConfig", "Tags"}},
	} {
		if got := wire.Project(c.doc, c.in, nil); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v are left behind, want %v", name, got, c.want)
		}
	}
}
