// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"reflect"
	"testing"
)

func TestPlace(t *testing.T) {
	two := []room{{4000, 8000, 0}, {4000, 8000, 0}}
	for name, c := range map[string]struct {
		instances []room
		demands   []demand
		want      map[string][]int
	}{
		"copies spread":                       {two, []demand{{name: "a", copies: 2, need: room{1000, 1000, 0}}}, map[string][]int{"a": {1, 1}}},
		"or are packed":                       {two, []demand{{name: "a", copies: 2, need: room{1000, 1000, 0}, pack: true}}, map[string][]int{"a": {2, 0}}},
		"memory is a limit":                   {two, []demand{{name: "a", copies: 9, need: room{0, 3000, 0}}}, map[string][]int{"a": {2, 2}}},
		"so are processors":                   {two, []demand{{name: "a", copies: 9, need: room{3000, 1, 0}}}, map[string][]int{"a": {1, 1}}},
		"and accelerators":                    {two, []demand{{name: "a", copies: 1, need: room{0, 1, 1}}}, map[string][]int{"a": {0, 0}}},
		"who was there first stays":           {two, []demand{{name: "a", copies: 2, need: room{4000, 1, 0}}, {name: "b", copies: 1, need: room{1, 1, 0}}}, map[string][]int{"a": {1, 1}, "b": {0, 0}}},
		"a part of the copies may fit":        {two[:1], []demand{{name: "a", copies: 3, need: room{1500, 1, 0}}}, map[string][]int{"a": {2}}},
		"no copies need no room":              {nil, []demand{{name: "a"}}, map[string][]int{"a": {}}},
		"what one leaves another may take":    {two, []demand{{name: "a", copies: 1, need: room{3000, 1, 0}, pack: true}, {name: "b", copies: 2, need: room{2000, 1, 0}}}, map[string][]int{"a": {1, 0}, "b": {0, 2}}},
		"an equal spread goes to the emptier": {two, []demand{{name: "a", copies: 1, need: room{0, 4000, 0}}, {name: "b", copies: 1, need: room{0, 1, 0}}}, map[string][]int{"a": {1, 0}, "b": {0, 1}}},
	} {
		if got := place(c.instances, c.demands); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
