// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var testSpec = Spec{Name: "test", Params: []Param{
	{Name: "num_round", Kind: Int, Required: true, Min: new(1.0)},
	{Name: "eta", Alias: []string{"learning_rate"}, Kind: Float, Default: "0.3", Min: new(0.0), Max: new(1.0)},
	{Name: "power", Kind: Float, Default: "1.5", Min: new(1.0), Max: new(2.0), OpenMin: true, OpenMax: true},
	{Name: "booster", Kind: Enum, Default: "gbtree", Values: []string{"gbtree", "dart"}},
	{Name: "keep", Kind: Enum, Default: "false", Values: []string{"true", "false"}},
	{Name: "fast", Kind: Bool},
	{Name: "updater", Kind: List, Values: []string{"prune", "refresh"}},
	{Name: "eval_metric", Kind: List},
	{Name: "_tuning_objective_metric", Kind: String},
}}

func TestParseParams(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  map[string]string
		want string // error; "" for none
	}{
		{"what is required is enough", map[string]string{"num_round": "5"}, ""},
		{"an alias stands for its name", map[string]string{"num_round": "5", "learning_rate": "0.1"}, ""},
		{"JSON quotes around a number and a word", map[string]string{"num_round": `"5"`, "booster": `"dart"`}, ""},
		{"the tuning metric is hidden but known", map[string]string{"num_round": "5", "_tuning_objective_metric": ""}, ""},
		{"a required one is missing", nil, "Missing required hyperparameter: num_round"},
		{"a number above its bound", map[string]string{"num_round": "5", "eta": "1.5"}, "Hyperparameter eta: 1.5 is not in [0, 1]"},
		{"an alias in the error as it was given", map[string]string{"num_round": "5", "learning_rate": "-1"}, "Hyperparameter learning_rate: -1 is not in [0, 1]"},
		{"an open bound itself", map[string]string{"num_round": "5", "power": "2"}, "Hyperparameter power: 2 is not in (1, 2)"},
		{"an integer below its bound", map[string]string{"num_round": "0"}, "Hyperparameter num_round: 0 is not in [1, +inf)"},
		{"an integer beyond 64 bits", map[string]string{"num_round": "99999999999999999999"}, "Hyperparameter num_round: 99999999999999999999 is not in [1, +inf)"},
		{"a float for an integer", map[string]string{"num_round": "5.0"}, `Hyperparameter num_round: could not parse value "5.0" as an integer in [1, +inf)`},
		{"text for a float", map[string]string{"num_round": "5", "eta": "slow"}, `Hyperparameter eta: could not parse value "slow" as a number in [0, 1]`},
		{"nan is in no range", map[string]string{"num_round": "5", "eta": "nan"}, "Hyperparameter eta: nan is not in [0, 1]"},
		{"another word than the enum has", map[string]string{"num_round": "5", "booster": "tree"}, "Hyperparameter booster: tree is not in ['gbtree', 'dart']"},
		{"no boolean", map[string]string{"num_round": "5", "fast": "yes"}, "Hyperparameter fast: yes is not in ['true', 'false']"},
		{"a list item that is not known", map[string]string{"num_round": "5", "updater": "prune,sync"}, "Hyperparameter updater: value ['prune', 'sync'] not in range ['prune', 'refresh']"},
		{"an unknown name", map[string]string{"num_round": "5", "foo": "1"}, "Extraneous hyperparameter found: foo"},
		{"a name and its alias that differ", map[string]string{"num_round": "5", "eta": "0.1", "learning_rate": "0.2"}, "Hyperparameter eta: given as eta=0.1 and learning_rate=0.2"},
		{"everything wrong is told at once", map[string]string{"eta": "2", "b": "1", "a": "1"},
			"Missing required hyperparameter: num_round; Hyperparameter eta: 2 is not in [0, 1]; Extraneous hyperparameter found: a; Extraneous hyperparameter found: b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseParams(testSpec, c.raw)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("error %q", err)
			case c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("error %v, want %s", err, c.want)
			case c.want != "" && !IsClientError(err):
				t.Error("not a client error")
			}
		})
	}
}

func TestGetters(t *testing.T) {
	p, err := ParseParams(testSpec, map[string]string{
		"num_round": " 7 ", "learning_rate": "1e-1", "keep": "True", "fast": "1", "updater": `["prune","refresh"]`, "eval_metric": "auc, error@0.7",
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Int("num_round"); n != 7 {
		t.Errorf("num_round %d", n)
	}
	if x := p.Float("eta"); x != 0.1 {
		t.Errorf("eta %v", x)
	}
	if x := p.Float("power"); x != 1.5 {
		t.Errorf("power %v, want the default", x)
	}
	if !p.Bool("fast") || !p.Bool("keep") || p.String("keep") != "true" {
		t.Errorf("fast %v, keep %q", p.Bool("fast"), p.String("keep"))
	}
	if got := p.List("updater"); !slices.Equal(got, []string{"prune", "refresh"}) {
		t.Errorf("updater %q", got)
	}
	if got := p.List("eval_metric"); !slices.Equal(got, []string{"auc", "error@0.7"}) {
		t.Errorf("eval_metric %q", got)
	}
	if !p.Has("eta") || p.Has("power") || p.Has("booster") {
		t.Error("Has tells given from default wrong")
	}
	defer func() {
		if recover() == nil {
			t.Error("a name that the Spec lacks did not panic")
		}
	}()
	p.Int("no_such_name")
}

func TestClientError(t *testing.T) {
	inner := errors.New("inner")
	err := fmt.Errorf("train channel: %w", ClientErrorf("line %d: %w", 3, inner))
	if !IsClientError(err) || !errors.Is(err, inner) || IsClientError(inner) {
		t.Error("a wrapped client error is not seen for what it is")
	}
	if got := failureText(err); got != "ClientError: train channel: line 3: inner" {
		t.Errorf("failure %q", got)
	}
	long := failureText(errors.New(strings.Repeat("é", 1000)))
	if len(long) > maxFailure || !strings.HasPrefix(long, "AlgorithmError: é") || strings.ContainsRune(long, '\ufffd') {
		t.Errorf("failure of %d bytes: %q", len(long), long[:30])
	}
}

func TestAppendNumberIsPythons(t *testing.T) {
	// Each text is what Python 3 prints for str(float(numpy.float32(v))).
	for _, c := range []struct {
		v    float32
		want string
	}{
		{0.99817282, "0.9981728196144104"},
		{0, "0.0"}, {1, "1.0"}, {-3, "-3.0"},
		{float32(math.Copysign(0, -1)), "-0.0"},
		{0.1, "0.10000000149011612"},
		{1e-5, "9.999999747378752e-06"},
		{0.0001, "9.999999747378752e-05"},
		{0.00012207031, "0.0001220703125"},
		{16777216, "16777216.0"},
		{1e16, "1.0000000272564224e+16"},
		{1e15, "999999986991104.0"},
		{float32(math.NaN()), "nan"}, {float32(math.Inf(1)), "inf"}, {float32(math.Inf(-1)), "-inf"},
	} {
		if got := string(AppendNumber(nil, c.v)); got != c.want {
			t.Errorf("%v prints %s, want %s", c.v, got, c.want)
		}
	}
	if got := string(AppendJSONNumber(nil, float32(math.NaN()))); got != "NaN" {
		t.Errorf("NaN in JSON is %s", got)
	}
}
