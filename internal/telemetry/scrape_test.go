// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"slices"
	"testing"
	"time"
)

func TestScraper(t *testing.T) {
	tests := []struct {
		name, regex, line string
		want              []float64
	}{
		{"xgboost", `.*\[[0-9]+\].*#011validation-auc:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*`, "[12]#011train-auc:0.9#011validation-auc:8.5e-1", []float64{0.85}},
		{"a built-in", `#quality_metric: host=\S+, epoch=\S+, train loss <loss>=(\S+)`, "#quality_metric: host=algo-1, epoch=3, train loss <loss>=0.25", []float64{0.25}},
		{"no match", `loss=(\S+)`, "accuracy=1", nil},
		{"no number", `loss=(\S+)`, "loss=high", nil},
		{"no finite number", `loss=(\S+)`, "loss=nan", nil},
		{"no group: the whole match", `[0-9.]+`, "loss 0.5;", []float64{0.5}},
		{"a named group of Java", `loss=(?<loss>\d+)`, "loss=3", []float64{3}},
		{"a possessive quantifier", `loss=(\d++)`, "loss=31", []float64{31}},
		{"a plus that is meant", `\++(\d+)[+]+`, "++4+", []float64{4}},
		{"an atomic group", `(?>a|b)=(\d)`, "b=7", []float64{7}},
		{"a look ahead at the end", `loss=([0-9.]+)(?=, acc)`, "loss=1.5, acc=2", []float64{1.5}},
		{"a look ahead that does not hold", `loss=([0-9]+)(?=, acc)`, "loss=1.5, acc=2", nil},
		{"the end of the line of Python", `loss=(\S+)\Z`, "loss=2", []float64{2}},
		{"a character by its number", `\u006coss=(\S+)`, "loss=2", []float64{2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := NewScraper([]Definition{{"m", tt.regex}})
			if err != nil {
				t.Fatal(err)
			}
			var got []float64
			for _, v := range s.Scan(Event{Message: tt.line}) {
				got = append(got, v.Value)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

func TestScraperFinal(t *testing.T) {
	s, err := NewScraper([]Definition{{"loss", `train loss=(\S+)`}, {"never", `x=(\S+)`}, {"acc", `acc=(\S+)`}, {"loss", `test loss=(\S+)`}})
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range []string{"train loss=3", "acc=0.5 test loss=2", "train loss=1", "nothing", "train loss=NaN"} {
		s.Scan(Event{Time: time.UnixMilli(int64(i)), Message: line})
	}
	want := []Sample{{"loss", 1, time.UnixMilli(2)}, {"acc", 0.5, time.UnixMilli(1)}}
	if got := s.Final(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestScraperRefuses(t *testing.T) {
	for _, re := range []string{`(`, `(?<!x)a(\d)`, `(a)\1`, `a(?=b)c(\d)`} {
		if _, err := NewScraper([]Definition{{"m", re}}); err == nil {
			t.Errorf("%s was taken", re)
		}
	}
}

// Rewriting must not panic and must leave what Go understands and Java writes
// the same as it is.
func FuzzGoRegex(f *testing.F) {
	for _, re := range []string{`a++`, `\Z`, `[\]+]+`, `(?>x)(?=y)`, `\u00e9`, `(?=`} {
		f.Add(re)
	}
	f.Fuzz(func(t *testing.T, re string) {
		if s, err := NewScraper([]Definition{{"m", re}}); err == nil {
			s.Scan(Event{Message: re})
		}
	})
}
