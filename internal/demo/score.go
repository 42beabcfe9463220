// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// readScores reads n numbers of an answer in CSV, whether the commas or the
// line ends part them.
func readScores(answer []byte, n int) ([]float64, error) {
	fields := strings.FieldsFunc(string(answer), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
	if len(fields) != n {
		return nil, fmt.Errorf("the endpoint answered %d scores for %d rows", len(fields), n)
	}
	scores := make([]float64, n)
	for i, f := range fields {
		v, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || math.IsNaN(v) {
			return nil, fmt.Errorf("the endpoint's score %d is %q", i+1, f)
		}
		scores[i] = v
	}
	return scores, nil
}

// accuracy is the share of rows whose score is on their label's side of ½.
func accuracy(scores []float64, positive []bool) float64 {
	right := 0
	for i, s := range scores {
		if (s >= 0.5) == positive[i] {
			right++
		}
	}
	return float64(right) / float64(len(scores))
}

// auc is the area under the receiver's curve: the chance that a positive row
// scores above a negative one, ties counting half. It is not a number when
// one of the classes is missing.
func auc(scores []float64, positive []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	var ranks float64 // of the positives; equal scores share their mean rank
	positives := 0
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && scores[order[j]] == scores[order[i]] {
			j++
		}
		mean := float64(i+1+j) / 2
		for _, at := range order[i:j] {
			if positive[at] {
				ranks += mean
				positives++
			}
		}
		i = j
	}
	p, n := float64(positives), float64(len(scores)-positives)
	return (ranks - p*(p+1)/2) / (p * n)
}
