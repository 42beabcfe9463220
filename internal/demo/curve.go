// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Point is one round of training as its log line told it.
type Point struct {
	Round   int                `json:"round"`
	Metrics map[string]float64 `json:"metrics"` // "train-logloss", "validation-auc"
}

// evalLine is XGBoost's evaluation line; CloudWatch shows a tab as #011.
var evalLine = regexp.MustCompile(`\[(\d+)\]((?:(?:#011|\t)[A-Za-z0-9_@.-]+:\S+?)+)\s*$`)

// readPoint reads an evaluation line; false for any other line. Values that
// are no finite numbers are left out: JSON has no word for them.
func readPoint(line string) (Point, bool) {
	m := evalLine.FindStringSubmatch(line)
	if m == nil {
		return Point{}, false
	}
	p := Point{Metrics: map[string]float64{}}
	var err error
	if p.Round, err = strconv.Atoi(m[1]); err != nil {
		return Point{}, false
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(m[2], "#011", "\t"), "\t") {
		name, value, ok := strings.Cut(part, ":")
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return Point{}, false
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			p.Metrics[name] = v
		}
	}
	return p, true
}

// Plot draws one positive metric over the rounds on a logarithmic scale, one
// character a round, lowest value to highest. Points without the metric are
// left out.
func Plot(curve []Point, metric string) string {
	var logs []float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range curve {
		if v, ok := p.Metrics[metric]; ok && v > 0 {
			logs = append(logs, math.Log(v))
			low, high = min(low, math.Log(v)), max(high, math.Log(v))
		}
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range logs {
		at := 0
		if high > low {
			at = int((v - low) / (high - low) * float64(len(bars)))
		}
		b.WriteRune(bars[min(at, len(bars)-1)])
	}
	return b.String()
}

// Table is the curve as text: every tenth round and the last, then the plots.
func Table(curve []Point) string {
	columns := []string{"train-logloss", "validation-logloss", "train-auc", "validation-auc"}
	var b strings.Builder
	fmt.Fprintf(&b, "%5s", "round")
	for _, c := range columns {
		fmt.Fprintf(&b, "  %18s", c)
	}
	for i, p := range curve {
		if p.Round%10 != 0 && i != len(curve)-1 {
			continue
		}
		fmt.Fprintf(&b, "\n%5d", p.Round)
		for _, c := range columns {
			if v, ok := p.Metrics[c]; ok {
				fmt.Fprintf(&b, "  %18.5f", v)
			} else {
				fmt.Fprintf(&b, "  %18s", "-")
			}
		}
	}
	for _, c := range columns[:2] {
		fmt.Fprintf(&b, "\n%18s  %s", c, Plot(curve, c))
	}
	return b.String()
}
