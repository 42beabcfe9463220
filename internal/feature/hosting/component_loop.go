// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// noRoom is why copies cannot be placed, in AWS's words.
const noRoom = "There is not enough hardware resources on the instance(s) to create a copy for this inference component. Please update resources requirements for this inference component, remove existing inference components, or increase the number of instances for this endpoint."

// reconcileComponent looks at a component, decides, acts and writes, as
// reconcile does for an endpoint. Its copies are processes of this machine: what
// the endpoint's instances have room for limits how many there may be.
func (s *Service) reconcileComponent(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	r, err := s.components.Get(ctx, key)
	if errors.Is(err, resource.ErrNotFound) || err == nil && componentLife.Settled(r.Status) {
		s.componentRoutes.remove(key)
		return reconcile.Done, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	o := componentOwner(&r)
	seen, err := s.look(ctx, o)
	if err != nil {
		return reconcile.Result{}, err
	}
	alarms, err := s.inAlarm(ctx, r.Key, &r.Private)
	if err != nil {
		return reconcile.Result{}, err
	}
	st := decide(r.Status, &r.Private, r.Doc.FailureReason, seen, alarms, s.Now())
	var on []int
	if r.Status != sm.InferenceComponentStatusDeleting {
		var fits bool
		var wait time.Duration
		if on, fits, wait, err = s.roomFor(ctx, &r); err != nil {
			return reconcile.Result{}, err
		}
		switch {
		case wait > 0: // the endpoint gets more instances
			return reconcile.Result{After: wait}, nil
		case !fits && r.Status != sm.InferenceComponentStatusInService:
			return s.giveUpComponent(ctx, r)
		}
		s.serveComponent(&r, st)
	} else {
		s.componentRoutes.remove(key)
	}
	again := reconcile.Result{After: st.again}
	wait, err := s.actOn(ctx, o, st)
	if err != nil {
		return again, err
	}
	again.After = min(again.After, wait)
	if st.gone {
		if err := s.deregisterCopies(ctx, r.Key); err != nil {
			return again, err
		}
		s.removeFiles(r.Private.Seed, 0)
		s.forget(r.Key)
		if err := s.components.Remove(ctx, r.Key); err != nil && !errors.Is(err, resource.ErrNotFound) {
			return again, err
		}
		s.wakeEndpoint(&r)
		return reconcile.Done, nil
	}
	doc := *r.Doc
	now := r
	now.Doc = &doc
	describeComponent(&now, on, healthy(seen))
	if !st.changes() && *doc.RuntimeConfig.CurrentCopyCount == *r.Doc.RuntimeConfig.CurrentCopyCount {
		return again, nil
	}
	_, err = s.components.Revise(ctx, r, func(now *componentRecord) {
		st.applyTo(&now.Private, &now.Status, &now.Doc.FailureReason)
		if st.promote && now.Private.Spec != nil {
			now.Doc.Specification, now.Private.Spec = now.Private.Spec, nil
		}
		if st.status != "" {
			now.Private.Before = nil
		}
		describeComponent(now, on, healthy(seen))
	})
	if err != nil && !errors.Is(err, resource.ErrStale) && !errors.Is(err, resource.ErrNotFound) {
		return again, err
	}
	for _, g := range st.drop {
		s.removeFiles(r.Private.Seed, g)
	}
	s.wake(r.Key)
	s.wakeEndpoint(&r) // an instance may be free now
	return again, nil
}

// giveUpComponent is what comes of copies that have no room: a new component
// fails, another one stays as it was.
func (s *Service) giveUpComponent(ctx context.Context, r componentRecord) (reconcile.Result, error) {
	_, err := s.components.Revise(ctx, r, func(now *componentRecord) {
		now.Doc.FailureReason = noRoom
		d := &now.Private
		if f := d.fleetOf(next); f != nil {
			f.Role = old
		}
		if now.Status == sm.InferenceComponentStatusCreating {
			return // decide lets it fail once nothing of it is left
		}
		now.Status, d.Spec = sm.InferenceComponentStatusInService, nil
		if f := d.fleetOf(current); f != nil && d.Before != nil {
			f.Variants[0].Count = *d.Before
			now.Doc.RuntimeConfig.DesiredCopyCount = new(int64(*d.Before))
		}
		d.Before = nil
	})
	if errors.Is(err, resource.ErrStale) || errors.Is(err, resource.ErrNotFound) {
		err = nil
	}
	s.wake(r.Key)
	s.wakeEndpoint(&r)
	return reconcile.Result{After: time.Hour}, err
}

// roomFor tells how many copies of a component fit on which instances of its
// variant, besides those of the components that were there before it. Where they
// do not all fit and ManagedInstanceScaling allows more instances it asks for
// them, and answers when to look again.
func (s *Service) roomFor(ctx context.Context, r *componentRecord) (on []int, fits bool, wait time.Duration, err error) {
	ekey := r.Key
	ekey.Family, ekey.Name = endpointFamily.Path, r.Doc.EndpointName
	e, err := s.endpoints.Get(ctx, ekey)
	if errors.Is(err, resource.ErrNotFound) {
		return nil, false, 0, nil
	}
	if err != nil {
		return nil, false, 0, err
	}
	f := e.Private.fleetOf(current)
	if f == nil { // it is being created
		if e.Status == sm.EndpointStatusCreating {
			return nil, false, 100 * time.Millisecond, nil
		}
		return nil, false, 0, nil
	}
	i := slices.IndexFunc(f.Variants, func(v variant) bool { return v.Name == r.Doc.VariantName })
	if i < 0 {
		return nil, false, 0, nil
	}
	v := &f.Variants[i]
	all, err := s.componentsOf(ctx, ekey)
	if err != nil {
		return nil, false, 0, err
	}
	demands := demandsOf(all, v.Name)
	wanted := 0
	for _, d := range demands {
		if d.name == r.Key.Name {
			wanted = d.copies
		}
	}
	for n := v.Count; ; n++ {
		on = place(v.rooms(n), demands)[r.Key.Name]
		fits = sum(on) >= wanted
		if fits && n > v.Count {
			return on, true, 50 * time.Millisecond, s.growTo(ctx, e, v.Name, n)
		}
		if fits || n >= v.most() {
			return on, fits, 0, nil
		}
	}
}

// growTo gives a variant more instances, as ManagedInstanceScaling does.
func (s *Service) growTo(ctx context.Context, e endpointRecord, name string, n int) error {
	_, err := s.endpoints.Revise(ctx, e, func(now *endpointRecord) {
		f := now.Private.fleetOf(current)
		for i := range f.Variants {
			if v := &f.Variants[i]; v.Name == name {
				v.Count, v.Highest, v.Spare = n, max(n, v.Highest), nil
			}
		}
		describe(now, func(spot) bool { return true }, nil)
	})
	if errors.Is(err, resource.ErrStale) {
		return nil
	}
	return err
}

// demandsOf are what the components of a variant want, in the order of their
// creation.
func demandsOf(all []componentRecord, variantName string) []demand {
	var out []demand
	for _, r := range all {
		if r.Doc.VariantName != variantName || r.Status == sm.InferenceComponentStatusFailed || r.Status == sm.InferenceComponentStatusDeleting {
			continue
		}
		f := r.Private.fleetOf(next)
		if f == nil {
			f = r.Private.fleetOf(current)
		}
		if f != nil {
			v := &f.Variants[0]
			out = append(out, demand{name: r.Key.Name, copies: v.Count, need: v.Need, pack: v.Pack})
		}
	}
	return out
}

// componentsOf are the components of an endpoint, the oldest first.
func (s *Service) componentsOf(ctx context.Context, endpoint resource.Key) ([]componentRecord, error) {
	filter := resource.Filter{Account: endpoint.Account, Region: endpoint.Region, Family: componentFamily.Path}
	var keys []resource.Key
	for {
		page, err := s.DB.List(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			keys = append(keys, row.Key)
		}
		if filter.After = page.Next; page.Next == "" {
			break
		}
	}
	var out []componentRecord
	for _, k := range keys {
		r, err := s.components.Get(ctx, k)
		if errors.Is(err, resource.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.Doc.EndpointName == endpoint.Name {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b componentRecord) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return out, nil
}

func (s *Service) wakeEndpoint(r *componentRecord) {
	k := r.Key
	k.Family, k.Name = endpointFamily.Path, r.Doc.EndpointName
	s.wake(k)
}

// serveComponent routes a component's requests to those of its copies that
// answer.
func (s *Service) serveComponent(r *componentRecord, st step) {
	if r.Private.fleetOf(current) == nil && !st.promote {
		return // not in service yet
	}
	o := componentOwner(r)
	fleets := s.fleetRoutes(o, st)
	for i := range fleets {
		v := &fleets[i].variants[0]
		v.name, v.header = r.Doc.VariantName, []string{r.Doc.VariantName}
	}
	s.componentRoutes.set(r.Key, &route{endpoint: r.Doc.EndpointName, fleets: fleets})
}
