// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"fmt"
	"strings"
)

// The chart's geometry, in pixels.
const (
	chartWide         = 860
	left, right       = 60, 20
	upperTop, upperHi = 50, 230
	lowerTop, lowerHi = 340, 120
)

// chart draws a day as SVG: above, the requests and what the instances in service
// take at the target; below, the metric that the policy tracks.
func chart(day []minute) string {
	var b strings.Builder
	x := func(m int) float64 { return left + float64(m)*float64(chartWide-left-right)/float64(len(day)) }
	scale := func(top, high int, most float64) func(float64) float64 {
		return func(v float64) float64 { return float64(top+high) - min(v, most)/most*float64(high) }
	}
	const mostLoad, mostMetric = 3600, 900
	upper, lower := scale(upperTop, upperHi, mostLoad), scale(lowerTop, lowerHi, mostMetric)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d 500" font-family="sans-serif" font-size="12" role="img" aria-label="A day of requests, and the instances that follow it">`+"\n", chartWide)
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	text := func(x, y float64, anchor, color, s string) {
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, color, s)
	}
	line := func(x1, y1, x2, y2 float64, more string) {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`+"\n", x1, y1, x2, y2, more)
	}
	text(left, 24, "start", "#1f2328", "Requests a minute, and what the instances in service take at the target of 300 each")
	for n := 0; n <= 12; n += 2 {
		y := upper(float64(n) * dayTarget)
		line(left, y, chartWide-right, y, `stroke="#e5e7eb"`)
		text(left-8, y+4, "end", "#57606a", fmt.Sprint(float64(n)*dayTarget))
	}
	text(left, lowerTop-16, "start", "#1f2328", "InvocationsPerInstance: the target, and 90 % of it")
	for v := 0.0; v <= mostMetric; v += dayTarget {
		line(left, lower(v), chartWide-right, lower(v), `stroke="#e5e7eb"`)
		text(left-8, lower(v)+4, "end", "#57606a", fmt.Sprint(v))
	}
	for h := 0; h <= 24; h += 3 {
		text(x(h*60), lowerTop+lowerHi+20, "middle", "#57606a", fmt.Sprintf("%02d:00", h))
		line(x(h*60), lowerTop+lowerHi, x(h*60), lowerTop+lowerHi+4, `stroke="#57606a"`)
	}
	// The capacity is a filled staircase.
	fmt.Fprintf(&b, `<path fill="#bfdbfe" stroke="#2563eb" d="M%.1f %.1f`, x(0), upper(0))
	for m, p := range day {
		if m == 0 || day[m-1].instances != p.instances {
			if m > 0 {
				fmt.Fprintf(&b, "H%.1f", x(m))
			}
			fmt.Fprintf(&b, "V%.1f", upper(float64(p.instances)*dayTarget))
		}
	}
	fmt.Fprintf(&b, "H%.1fV%.1fZ\"/>\n", x(len(day)), upper(0))
	curve := func(color string, value func(minute) float64) {
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="1.3" d="`, color)
		for m := 0; m < len(day); m += 2 {
			fmt.Fprintf(&b, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[m == 0], x(m), value(day[m]))
		}
		b.WriteString("\"/>\n")
	}
	curve("#b91c1c", func(p minute) float64 { return upper(p.load) })
	line(left, lower(dayTarget), chartWide-right, lower(dayTarget), `stroke="#57606a"`)
	line(left, lower(0.9*dayTarget), chartWide-right, lower(0.9*dayTarget), `stroke="#57606a" stroke-dasharray="4 4"`)
	curve("#7c3aed", func(p minute) float64 { return lower(p.metric) })
	// The legend.
	fmt.Fprintf(&b, `<rect x="%d" y="34" width="14" height="10" fill="#bfdbfe" stroke="#2563eb"/>`+"\n", left)
	text(left+20, 43, "start", "#1f2328", "instances in service × 300")
	line(left+200, 39, left+220, 39, `stroke="#b91c1c" stroke-width="2"`)
	text(left+226, 43, "start", "#1f2328", "requests a minute")
	b.WriteString("</svg>\n")
	return b.String()
}
