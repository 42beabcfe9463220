// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"
)

// slot is how many good answers of each kind came in a span of time.
type slot struct {
	At float64        `json:"at"` // its begin, in seconds since 1970
	Of map[string]int `json:"of"`
}

// maxKinds bounds the kinds that are told apart; what is beyond is "other".
const maxKinds = 64

// tally counts good answers by a header of theirs or by their body.
type tally struct {
	header string // "" for the body
	length time.Duration

	mu    sync.Mutex
	kinds map[string]bool
	found map[int64]map[string]int // by the number of the slot since 1970
}

func newTally(by string, length time.Duration) *tally {
	if by == "body" {
		by = ""
	}
	return &tally{header: by, length: length, kinds: map[string]bool{}, found: map[int64]map[string]int{}}
}

func (t *tally) add(now time.Time, got reply) {
	kind := string(bytes.TrimSpace(got.body))
	if t.header != "" {
		kind = got.header.Get(t.header)
	}
	at := now.UnixNano() / int64(t.length)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.kinds[kind] {
		if len(t.kinds) == maxKinds {
			kind = "other"
		}
		t.kinds[kind] = true
	}
	if t.found[at] == nil {
		t.found[at] = map[string]int{}
	}
	t.found[at][kind]++
}

// slots are those with an answer, in order.
func (t *tally) slots() []slot {
	out := make([]slot, 0, len(t.found))
	for at, of := range t.found {
		out = append(out, slot{At: float64(at) * t.length.Seconds(), Of: of})
	}
	slices.SortFunc(out, func(a, b slot) int { return cmp.Compare(a.At, b.At) })
	return out
}
