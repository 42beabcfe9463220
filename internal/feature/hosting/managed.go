// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Defaults of a ScaleInPolicy. Source:
// API_ProductionVariantManagedInstanceScalingScaleInPolicy.
const (
	scaleInCooldown = 20 * time.Minute
	scaleInStep     = 1
)

// The strategies of a ScaleInPolicy.
const consolidation = "CONSOLIDATION" // the other is IDLE_RELEASE

// spare is what ManagedInstanceScaling remembers of a variant that has more
// instances than its copies need. It is kept in the record, so that a restart
// does not begin to wait anew.
type spare struct {
	Since  time.Time `json:"since"`  // of the last change
	Enough int       `json:"enough"` // instances
}

// managed tells whether ManagedInstanceScaling looks after the variant.
func (v *variant) managed() bool {
	return v.Managed != nil && v.Managed.Status == sm.ManagedInstanceScalingStatusENABLED && len(v.Model.Containers) == 0
}

// most is how many instances the variant may be given for copies.
func (v *variant) most() int {
	if v.managed() && v.Managed.MaxInstanceCount != nil {
		return max(v.Count, int(*v.Managed.MaxInstanceCount))
	}
	return v.Count
}

// scaleIn decides how many instances a variant of inference components keeps
// now, what it has to remember, and after which time to ask again (0: when
// something changes). It touches nothing.
//
// Instances go that hold no copy, or with CONSOLIDATION that would hold none if
// all copies were placed anew on fewer, MaximumStepSize at a time and down to
// MinInstanceCount, once CooldownInMinutes have passed without a change; a step
// is a change. While a component changes (busy) nothing goes. Without a
// ScaleInPolicy it is IDLE_RELEASE with the defaults.
func (v *variant) scaleIn(demands []demand, busy bool, now time.Time) (keep int, left *spare, again time.Duration) {
	if !v.managed() || busy {
		return v.Count, nil, 0
	}
	least, strategy, step, cooldown := 1, "", scaleInStep, scaleInCooldown
	if m := v.Managed.MinInstanceCount; m != nil {
		least = int(*m)
	}
	if p := v.Managed.ScaleInPolicy; p != nil {
		strategy = p.Strategy
		if p.MaximumStepSize != nil {
			step = int(*p.MaximumStepSize)
		}
		if p.CooldownInMinutes != nil {
			cooldown = time.Duration(*p.CooldownInMinutes) * time.Minute
		}
	}
	enough := v.occupied(demands)
	if strategy == consolidation {
		enough = v.consolidated(demands, enough)
	}
	if enough = max(enough, least); enough >= v.Count {
		return v.Count, nil, 0
	}
	if v.Spare == nil || v.Spare.Enough != enough {
		return v.Count, &spare{now.UTC(), enough}, cooldown
	}
	if wait := v.Spare.Since.Add(cooldown).Sub(now); wait > 0 {
		return v.Count, v.Spare, wait
	}
	keep = max(enough, v.Count-step)
	if keep == enough {
		return keep, nil, 0
	}
	return keep, &spare{now.UTC(), enough}, cooldown
}

// rooms are n instances of the variant, empty.
func (v *variant) rooms(n int) []room { return slices.Repeat([]room{roomOf(v.InstanceType)}, n) }

// occupied is how many instances hold copies. A copy goes to an empty instance
// only where none that has some is better for it, so without the empty ones all
// of them are placed as before.
func (v *variant) occupied(demands []demand) int {
	used := make([]bool, v.Count)
	for _, on := range place(v.rooms(v.Count), demands) {
		for i, n := range on {
			used[i] = used[i] || n > 0
		}
	}
	n := 0
	for _, is := range used {
		n += int(truth(is))
	}
	return n
}

// consolidated is the least number of instances that hold the copies which the
// variant's instances hold now, each component placed by its own
// SchedulingConfig.
func (v *variant) consolidated(demands []demand, occupied int) int {
	now := place(v.rooms(v.Count), demands)
	for n := range occupied {
		then := place(v.rooms(n), demands)
		if !slices.ContainsFunc(demands, func(d demand) bool { return sum(then[d.name]) < sum(now[d.name]) }) {
			return n
		}
	}
	return occupied
}

// releaseInstances lets the instances go that copies do not need any more.
// It answers that the record changed, or else when to ask again; 0 for never.
func (s *Service) releaseInstances(ctx context.Context, r *endpointRecord) (changed bool, again time.Duration, err error) {
	f := r.Private.fleetOf(current)
	if f == nil || r.Status != sm.EndpointStatusInService || !slices.ContainsFunc(f.Variants, func(v variant) bool { return v.managed() }) {
		return false, 0, nil
	}
	all, err := s.componentsOf(ctx, r.Key)
	if err != nil {
		return false, 0, err
	}
	type outcome struct {
		keep int
		left *spare
	}
	todo := map[string]outcome{}
	now := s.Now()
	for i := range f.Variants {
		v := &f.Variants[i]
		keep, left, wait := v.scaleIn(demandsOf(all, v.Name), changing(all, v.Name), now)
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
		if keep != v.Count || left != v.Spare {
			todo[v.Name] = outcome{keep, left}
		}
	}
	if len(todo) == 0 {
		return false, again, nil
	}
	_, err = s.endpoints.Revise(ctx, *r, func(now *endpointRecord) {
		f := now.Private.fleetOf(current)
		for i := range f.Variants {
			if o, ok := todo[f.Variants[i].Name]; ok {
				f.Variants[i].Count, f.Variants[i].Spare = o.keep, o.left
			}
		}
		describe(now, func(spot) bool { return true }, nil)
	})
	if errors.Is(err, resource.ErrStale) || errors.Is(err, resource.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, again, err
	}
	for i := range f.Variants {
		v := &f.Variants[i]
		if o, ok := todo[v.Name]; ok && o.keep != v.Count {
			s.Log.Info("instances released", "name", r.Key.Name, "variant", v.Name, "from", v.Count, "to", o.keep)
			for i := range all { // one that was asked for more copies meanwhile must see what is left
				s.wake(all[i].Key)
			}
		}
	}
	return true, again, nil
}

// changing tells whether a component of the variant is on its way to another
// state.
func changing(all []componentRecord, variantName string) bool {
	return slices.ContainsFunc(all, func(r componentRecord) bool {
		return r.Doc.VariantName == variantName && r.Status != sm.InferenceComponentStatusInService && r.Status != sm.InferenceComponentStatusFailed
	})
}
