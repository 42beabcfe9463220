// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestData(t *testing.T) {
	rows, err := Rows(breastCancer)
	if err != nil {
		t.Fatal(err)
	}
	malignant := 0
	for _, r := range rows {
		switch r.Label {
		case "0":
			malignant++
		case "1":
		default:
			t.Errorf("label %q", r.Label)
		}
		if n := strings.Count(r.Features, ",") + 1; n != 30 {
			t.Errorf("%d features", n)
		}
	}
	if len(rows) != 569 || malignant != 212 {
		t.Errorf("%d rows, %d malignant; the source says 569 and 212", len(rows), malignant)
	}
	sum := sha256.Sum256([]byte(breastCancer))
	if got := hex.EncodeToString(sum[:]); got != "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed" {
		t.Errorf("the file is not the source's: SHA-256 %s", got)
	}
}

func TestSplit(t *testing.T) {
	rows, err := Rows(breastCancer)
	if err != nil {
		t.Fatal(err)
	}
	s := Split(rows)
	if len(s.Train) != 343 || len(s.Validation) != 113 || len(s.HeldOut) != 113 {
		t.Errorf("%d, %d, %d rows", len(s.Train), len(s.Validation), len(s.HeldOut))
	}
	all := slices.Concat(s.Train, s.Validation, s.HeldOut)
	seen := map[Row]bool{}
	for _, r := range all {
		seen[r] = true
	}
	for _, r := range rows {
		if !seen[r] {
			t.Fatalf("row %v is lost", r)
		}
	}
	slices.Reverse(rows)
	if !reflect.DeepEqual(Split(rows), s) {
		t.Error("the split depends on the order of the rows")
	}
}

func TestRowsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no counts":         "a,b\n1,2\n",
		"nothing":           "",
		"a row too few":     "2,1,a,b\n1,0\n",
		"a column too many": "1,1,a,b\n1,2,0\n",
	} {
		if rows, err := Rows(text); err == nil {
			t.Errorf("%s: %v", name, rows)
		}
	}
}

func TestScores(t *testing.T) {
	for _, c := range []struct {
		name     string
		scores   []float64
		positive []bool
		accuracy float64
		auc      float64
	}{
		{"all right", []float64{.9, .8, .1}, []bool{true, true, false}, 1, 1},
		{"all wrong", []float64{.1, .9}, []bool{true, false}, 0, 0},
		{"all equal", []float64{.5, .5, .5, .5}, []bool{true, false, true, false}, .5, .5},
		{"one pair turned", []float64{.1, .4, .35, .8}, []bool{false, false, true, true}, .75, .75},
		{"a tie counts half", []float64{.2, .2, .7}, []bool{false, true, true}, 2. / 3, .75},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := accuracy(c.scores, c.positive); math.Abs(a-c.accuracy) > 1e-12 {
				t.Errorf("accuracy %v, want %v", a, c.accuracy)
			}
			if a := auc(c.scores, c.positive); math.Abs(a-c.auc) > 1e-12 {
				t.Errorf("AUC %v, want %v", a, c.auc)
			}
		})
	}
	if a := auc([]float64{1, 2}, []bool{true, true}); !math.IsNaN(a) {
		t.Errorf("AUC of one class is %v", a)
	}
}

func TestReadScores(t *testing.T) {
	for _, answer := range []string{"0.5\n0.25\n", "0.5,0.25", "0.5, 0.25\r\n"} {
		if got, err := readScores([]byte(answer), 2); err != nil || !slices.Equal(got, []float64{.5, .25}) {
			t.Errorf("%q: %v, %v", answer, got, err)
		}
	}
	for _, answer := range []string{"", "0.5", "a,b", "NaN,1", "1,2,3"} {
		if got, err := readScores([]byte(answer), 2); err == nil {
			t.Errorf("%q: %v", answer, got)
		}
	}
}

func TestReadPoint(t *testing.T) {
	want := Point{Round: 12, Metrics: map[string]float64{"train-logloss": .25, "validation-auc": 1}}
	for _, line := range []string{
		"[12]\ttrain-logloss:0.25\tvalidation-auc:1",
		"[12]#011train-logloss:0.25#011validation-auc:1",
		"[2026-01-02 03:04:05.678] [12]#011train-logloss:2.5e-1#011validation-auc:1.00000 ",
	} {
		if got, ok := readPoint(line); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "[12]", "[2026-01-02:INFO] Train matrix has 343 rows", "[1]\ta:b"} {
		if got, ok := readPoint(line); ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestPlot(t *testing.T) {
	var curve []Point
	for i, v := range []float64{8, 4, 2, 1} {
		curve = append(curve, Point{i, map[string]float64{"train-logloss": v}})
	}
	if got := Plot(curve, "train-logloss"); got != "█▆▃▁" {
		t.Errorf("falling: %s", got)
	}
	if got := Plot(curve[:1], "train-logloss"); got != "▁" {
		t.Errorf("one point: %s", got)
	}
	if got := Plot(curve, "no such"); got != "" {
		t.Errorf("none: %s", got)
	}
}

func FuzzRows(f *testing.F) {
	f.Add("1,2,a,b\n1,2,0\n")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := Rows(text)
		if err != nil {
			return
		}
		if s := Split(rows); len(s.Train)+len(s.Validation)+len(s.HeldOut) != len(rows) {
			t.Error("the split loses rows")
		}
	})
}

func FuzzReadPoint(f *testing.F) {
	f.Add("[0]#011train-logloss:0.5")
	f.Add("[0]\ta:1\tb:nan")
	f.Fuzz(func(t *testing.T, line string) {
		if p, ok := readPoint(line); ok {
			if p.Round < 0 {
				t.Errorf("%q: %v", line, p)
			}
			if _, err := json.Marshal(p); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			Table([]Point{p})
		}
	})
}
