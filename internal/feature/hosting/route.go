// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/capture"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
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
	fleets []fleetRoute // two while traffic moves from one to the other
	async  *asyncRoute  // of an endpoint that takes InvokeEndpointAsync only; nil for others
	// shared says that the endpoint's requests go to inference components, each of
	// which has a route of its own, with the endpoint's name in it.
	shared   bool
	endpoint string
}

// fleetRoute is the part of a route that one fleet serves.
type fleetRoute struct {
	generation int
	config     string
	shared     bool    // with another fleet
	share      float64 // of the endpoint's requests, 0 to 1
	variants   []variantRoute
	total      float64       // sum of the weights of variants that have instances
	shadow     *variantRoute // gets copies; nil without
}

type variantRoute struct {
	name    string
	header  []string // the name as a header's value
	weight  float64
	targets []*target
	random  bool
	direct  bool     // the caller says which container
	multi   int      // which container, from 1, holds many models, of which the caller names one; 0 for none
	hosts   []string // names of the containers, where there are several
	meter   *meter
	capture *capture.Variant
	gate    *gate // of a serverless variant, whose instances come on demand
}

// target is one instance as requests see it. It stays the same one as long as
// its containers do.
type target struct {
	at          spot
	name        string             // i-0…
	containers  []*serving.Backend // in the order of the model
	tasks       []runtime.ID       // of the containers
	models      *models            // of a multi-model container; nil without
	outstanding atomic.Int64
}

// maxOutstanding bounds the requests that one instance may have under way: what
// comes beyond is refused at once, which is better than to be late.
const maxOutstanding = 1024

func keyOf(k resource.Key) routeKey { return routeKey{k.Account, k.Region, k.Name} }

func (t *routeTable) find(k routeKey) *route {
	m := t.table.Load()
	if m == nil {
		return nil
	}
	return (*m)[k]
}

// all is the table as it is now: not to be changed.
func (t *routeTable) all() map[routeKey]*route {
	if m := t.table.Load(); m != nil {
		return *m
	}
	return nil
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

// choose takes the variant that was asked for, or one by weight: u and x are
// random in [0,1). It answers nil when there is none.
func (r *route) choose(target string, u, x float64) (*fleetRoute, *variantRoute) {
	f := r.fleet(u)
	if f == nil {
		return nil, nil
	}
	if target != "" {
		for i := range f.variants {
			if f.variants[i].name == target {
				return f, &f.variants[i]
			}
		}
		return f, nil
	}
	left := x * f.total
	var last *variantRoute
	for i := range f.variants {
		v := &f.variants[i]
		if len(v.targets) == 0 && v.gate == nil || v.weight == 0 {
			continue
		}
		last = v
		if left -= v.weight; left < 0 {
			return f, v
		}
	}
	return f, last
}

func (r *route) fleet(u float64) *fleetRoute {
	if len(r.fleets) == 1 {
		return &r.fleets[0]
	}
	for i := range r.fleets {
		if u -= r.fleets[i].share; u < 0 {
			return &r.fleets[i]
		}
	}
	for i := range slices.Backward(r.fleets) { // rounding
		if r.fleets[i].share > 0 {
			return &r.fleets[i]
		}
	}
	return nil
}

// least is the instance with the fewest requests under way, other than those
// that were tried already and those that have too many. Ties go round by the
// offset.
func (v *variantRoute) least(tried []*target, offset int) *target {
	var best *target
	fewest := int64(maxOutstanding)
	n := len(v.targets)
	for i := range n {
		t := v.targets[(i+offset)%n]
		if o := t.outstanding.Load(); o < fewest && !slices.Contains(tried, t) {
			best, fewest = t, o
			if v.random {
				break
			}
		}
	}
	return best
}
