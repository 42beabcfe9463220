// SPDX-License-Identifier: Apache-2.0

package algotest

import (
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// bounds tries values at and beyond the bounds of every parameter of spec; base
// is parameters that are right.
func bounds(t *testing.T, spec algo.Spec, base map[string]string) {
	for _, p := range spec.Params {
		if p.Default != "" {
			try(t, spec, base, p, p.Default, true)
		}
		switch p.Kind {
		case algo.Int, algo.Float:
			for _, v := range atBounds(p) {
				try(t, spec, base, p, v.text, v.ok)
			}
			try(t, spec, base, p, "many", false)
			try(t, spec, base, p, "nan", false)
			try(t, spec, base, p, "", false)
		case algo.Enum:
			for _, v := range p.Values {
				try(t, spec, base, p, v, true)
				try(t, spec, base, p, strconv.Quote(v), true)
			}
			try(t, spec, base, p, "none of them", false)
		case algo.Bool:
			for _, v := range []string{"true", "True", "1", "false", "False", "0"} {
				try(t, spec, base, p, v, true)
			}
			try(t, spec, base, p, "maybe", false)
		case algo.List:
			if len(p.Values) > 0 {
				try(t, spec, base, p, strings.Join(p.Values, ","), true)
				try(t, spec, base, p, p.Values[0]+",none of them", false)
			}
		}
	}
	try(t, spec, base, algo.Param{Name: "no_such_parameter"}, "1", false)
}

// trial is a value and whether it is allowed.
type trial struct {
	text string
	ok   bool
}

// atBounds is the values at, just inside and just outside p's bounds.
func atBounds(p algo.Param) (trials []trial) {
	near := func(bound float64, open bool, inward float64) {
		trials = append(trials, trial{number(p, bound), !open})
		if p.Kind == algo.Int {
			trials = append(trials, trial{number(p, bound-inward), false}, trial{number(p, bound+inward), true})
			return
		}
		trials = append(trials,
			trial{number(p, math.Nextafter(bound, bound-inward)), false},
			trial{number(p, math.Nextafter(bound, bound+inward)), true})
	}
	if p.Min != nil {
		near(*p.Min, p.OpenMin, 1)
	}
	if p.Max != nil {
		near(*p.Max, p.OpenMax, -1)
	}
	if p.Min != nil && p.Max != nil && *p.Max-*p.Min < 2 && p.Kind == algo.Int {
		for i := range trials { // a range of one or two: what lies inside one bound may be outside the other
			x, _ := strconv.ParseFloat(trials[i].text, 64)
			trials[i].ok = trials[i].ok && x >= *p.Min && x <= *p.Max
		}
	}
	return trials
}

func number(p algo.Param, x float64) string {
	if p.Kind == algo.Int {
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// try parses base with p set to value. A refusal must be a client error that
// names p.
func try(t *testing.T, spec algo.Spec, base map[string]string, p algo.Param, value string, ok bool) {
	t.Helper()
	params := maps.Clone(base)
	if params == nil {
		params = map[string]string{}
	}
	for _, alias := range p.Alias {
		delete(params, alias)
	}
	params[p.Name] = value
	_, err := algo.ParseParams(spec, params)
	switch {
	case ok && err != nil:
		t.Errorf("%s=%q is refused: %v", p.Name, value, err)
	case !ok && err == nil:
		t.Errorf("%s=%q is allowed, range %s", p.Name, value, p.Range())
	case !ok && (!algo.IsClientError(err) || !strings.Contains(err.Error(), p.Name)):
		t.Errorf("%s=%q is refused by %q, not by a client error that names it", p.Name, value, err)
	}
}
