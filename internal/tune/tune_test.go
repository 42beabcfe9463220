// SPDX-License-Identifier: Apache-2.0

package tune

import (
	"strconv"
)

func number(v map[string]string, name string) float64 {
	x, err := strconv.ParseFloat(v[name], 64)
	if err != nil {
		panic(err)
	}
	return x
}

// run runs a search of n trials, one after the other.
func run(s Search, n int, f func(map[string]string) float64) []Trial {
	var h []Trial
	for i := range n {
		p, ok := s.Next(h, i)
		if !ok {
			break
		}
		h = append(h, Trial{Point: p, State: Ended, Value: f(p.Values), Order: i + 1})
	}
	return h
}
