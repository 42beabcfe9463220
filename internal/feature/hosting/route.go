// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// routeTable is where requests find their instances. It is swapped whole, so
// that a request takes no lock.
type routeTable struct {
	mu    sync.Mutex // one writer at a time
	table atomic.Pointer[map[routeKey]*route]
}

type routeKey struct{ account, region, name string }

// route is one endpoint in service.
type route struct {
	variants []variantRoute
	total    float64 // sum of the weights of variants that have instances
}

type variantRoute struct {
	name      string
	header    []string // the name as a header's value
	weight    float64
	instances []*backend
	meter     *meter
}

func keyOf(k resource.Key) routeKey { return routeKey{k.Account, k.Region, k.Name} }

func (t *routeTable) find(k routeKey) *route {
	m := t.table.Load()
	if m == nil {
		return nil
	}
	return (*m)[k]
}

func (t *routeTable) change(f func(map[routeKey]*route)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[routeKey]*route{}
	if m := t.table.Load(); m != nil {
		next = maps.Clone(*m)
	}
	f(next)
	t.table.Store(&next)
}

func (t *routeTable) set(k resource.Key, r *route) {
	t.change(func(m map[routeKey]*route) { m[keyOf(k)] = r })
}

func (t *routeTable) remove(k resource.Key) {
	if t.find(keyOf(k)) != nil {
		t.change(func(m map[routeKey]*route) { delete(m, keyOf(k)) })
	}
}

// serve routes the endpoint's traffic to the instances of the step.
func (s *Service) serve(r *endpointRecord, st step) {
	if len(st.serve) == 0 && s.routes.find(keyOf(r.Key)) == nil {
		return // not in service yet
	}
	out := &route{}
	byGeneration := r.Private.fleetOf(current)
	if st.promote {
		byGeneration = r.Private.fleetOf(next)
	}
	if byGeneration == nil {
		return
	}
	for i, v := range byGeneration.Variants {
		vr := variantRoute{name: v.Name, header: []string{v.Name}, weight: v.Weight, meter: s.meters.of(r.Key, v.Name)}
		for _, at := range st.serve {
			if at.generation == byGeneration.Generation && at.variant == i && at.index < v.Count {
				if b := s.backendOf(r, at); b != nil {
					vr.instances = append(vr.instances, b)
				}
			}
		}
		if len(vr.instances) > 0 {
			out.total += v.Weight
		}
		out.variants = append(out.variants, vr)
	}
	s.routes.set(r.Key, out)
}

func (s *Service) backendOf(r *endpointRecord, at spot) *backend {
	s.mu.Lock()
	in := s.instances[r.Private.taskID(at)]
	s.mu.Unlock()
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.backend
}

// choose takes the variant that was asked for, or one by weight.
func (r *route) choose(target string, u float64) *variantRoute {
	if target != "" {
		for i := range r.variants {
			if r.variants[i].name == target {
				return &r.variants[i]
			}
		}
		return nil
	}
	left := u * r.total
	var last *variantRoute
	for i := range r.variants {
		v := &r.variants[i]
		if len(v.instances) == 0 || v.weight == 0 {
			continue
		}
		last = v
		if left -= v.weight; left < 0 {
			return v
		}
	}
	return last
}

// least is the instance with the fewest requests under way, other than those
// that were tried already. Ties go round by the offset.
func (v *variantRoute) least(tried []*backend, offset int) *backend {
	var best *backend
	var fewest int64
	n := len(v.instances)
next:
	for i := range n {
		b := v.instances[(i+offset)%n]
		for _, t := range tried {
			if t == b {
				continue next
			}
		}
		if o := b.outstanding.Load(); best == nil || o < fewest {
			best, fewest = b, o
		}
	}
	return best
}
