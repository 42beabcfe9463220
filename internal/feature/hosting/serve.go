// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// serve routes the endpoint's traffic to the instances of the step.
func (s *Service) serve(r *endpointRecord, st step) {
	if r.Status == sm.EndpointStatusCreating && !st.promote {
		return // not in service yet
	}
	main := r.Private.routed(st)
	if main == nil {
		return
	}
	out := &route{async: asyncRouteOf(r, main.Async), fleets: s.fleetRoutes(endpointOwner(r), st)}
	for _, v := range main.Variants {
		out.shared = out.shared || len(v.Model.Containers) == 0
	}
	s.routes.set(r.Key, out)
	s.gates.retire(r.Key, out.fleets)
	if out.async != nil {
		s.Async.Wake(out.async.endpoint)
	}
}

// fleetRoutes are the routes of the fleets that have a share of the traffic.
func (s *Service) fleetRoutes(o *owner, st step) []fleetRoute {
	if st.shares == nil {
		return []fleetRoute{s.fleetRoute(o, o.routed(st), st.serve, 1)}
	}
	var out []fleetRoute
	for i := range o.Fleets {
		f := &o.Fleets[i]
		if share := st.shares[f.Generation]; share > 0 && f.Role != old {
			out = append(out, s.fleetRoute(o, f, st.serve, share))
		}
	}
	for i := range out {
		out[i].shared = len(out) > 1
	}
	return out
}

// fleetRoute is the route of one fleet by way of those of its instances that are
// in serve.
func (s *Service) fleetRoute(o *owner, f *fleet, serve []spot, share float64) fleetRoute {
	out := fleetRoute{generation: f.Generation, config: f.Config, share: share}
	for i := range f.Variants {
		v := &f.Variants[i]
		vr := variantRoute{name: v.Name, header: []string{v.Name}, weight: v.Weight, random: v.Routing == "RANDOM", direct: v.Model.Direct,
			multi: v.Model.MultiModel(), meter: s.meters.of(o.key, v.Name), capture: s.captureOf(o.endpoint, v, f.Capture)}
		if len(v.Model.Containers) > 1 {
			for _, c := range v.Model.Containers {
				vr.hosts = append(vr.hosts, c.Hostname)
			}
		}
		for _, at := range serve {
			if at.generation == f.Generation && at.variant == i && at.index < v.Count {
				if t := s.targetOf(o, v, at); t != nil {
					vr.targets = append(vr.targets, t)
				}
			}
		}
		if v.Serverless != nil {
			vr.gate = s.gates.of(o, f.Generation, i, v.Serverless)
			vr.gate.offer(vr.targets)
		}
		if v.Shadow {
			out.shadow = &vr
			continue
		}
		if len(vr.targets) > 0 || vr.gate != nil {
			out.total += v.Weight
		}
		out.variants = append(out.variants, vr)
	}
	return out
}

// targetOf finds the instance at a spot, made anew when one of its containers
// is another than before; nil when one does not run.
func (s *Service) targetOf(o *owner, v *variant, at spot) *target {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &target{at: at}
	var first *instance
	for _, c := range containersOf(v, at) {
		in := s.instances[o.taskID(c)]
		if in == nil {
			return nil
		}
		in.mu.Lock()
		backend, started := in.backend, in.started
		in.mu.Unlock()
		if backend == nil {
			return nil
		}
		if first == nil {
			first, t.name = in, instanceName(in.id, started)
		}
		t.containers, t.tasks = append(t.containers, backend), append(t.tasks, in.id)
	}
	if first == nil {
		return nil
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	if first.target == nil || !slices.Equal(first.target.containers, t.containers) {
		if k := v.Model.MultiModel(); k > 0 {
			c := at
			c.container = k - 1
			_, home := s.foldersOf(o, c)
			t.models = &models{objects: s.Objects, prefix: prefixOf(v.Model.Containers[k-1].Data.URI), dir: filepath.Join(home, "models"),
				keep: v.Model.Containers[k-1].Cached, backend: t.containers[k-1], now: s.Now, meter: s.meters.of(o.key, v.Name), disk: cmp.Or(v.VolumeGB<<30, modelsDisk)}
		}
		first.target = t
	}
	first.leaving = time.Time{}
	return first.target
}

// prefixOf ends a multi-model container's ModelDataUrl with a slash, as AWS
// does, whose SDK leaves it out.
func prefixOf(uri string) string {
	return strings.TrimSuffix(uri, "/") + "/"
}
