// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// owner is a record whose deployment runs tasks: an endpoint, or an inference
// component.
type owner struct {
	*deployment
	key      resource.Key
	endpoint string // name of the endpoint whose requests the tasks answer
}

func endpointOwner(r *endpointRecord) *owner {
	return &owner{deployment: &r.Private, key: r.Key, endpoint: r.Key.Name}
}

// logGroup is where what the owner's containers say goes.
func (o *owner) logGroup() string {
	if o.key.Family != endpointFamily.Path {
		return "/aws/sagemaker/InferenceComponents/" + o.key.Name
	}
	return "/aws/sagemaker/Endpoints/" + o.key.Name
}

// wake lets the loop of a record look again.
func (s *Service) wake(key resource.Key) {
	if loop := s.loops[key.Family]; loop != nil {
		loop.Wake(key)
	}
}

// instancesOf are the wanted instances of a variant whose containers all do
// what is asked.
func instancesOf(f *fleet, variant int, ok func(spot) bool) []spot {
	var out []spot
	v := &f.Variants[variant]
	for i := range v.Count {
		at := spot{generation: f.Generation, variant: variant, index: i}
		if !slices.ContainsFunc(containersOf(v, at), func(c spot) bool { return !ok(c) }) {
			out = append(out, at)
		}
	}
	return out
}

// containersOf are the spots of an instance's containers.
func containersOf(v *variant, at spot) []spot {
	out := make([]spot, len(v.Model.Containers))
	for c := range out {
		out[c] = at
		out[c].container = c
	}
	return out
}
